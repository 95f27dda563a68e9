// Reading a published store: its consolidated metadata, and whole chunks of its arrays. Everything in it is untrusted.

import { ZarrArray } from "./zarrita.js";
import { ITEM_BYTES, MOST_BYTES } from "./codecs.js";
import { StoreError } from "./errors.js";
import { count, counted, plain, short } from "./words.js";

/** The layout that this page reads. */
export const FORMAT = 4;

const MOST_GENES = 2_000_000;
const MOST_CHUNKS = 20_000;
const REQUESTS_AT_ONCE = 48;
/** Object stores answer 403 for a key that is not there, where nobody may list them. */
const MISSING_STATUS = [403, 404, 410];
const CODECS = ["bytes", "vlen-utf8", "zstd", "crc32c"];

/** A published store. Numbers come as Float64Array, NaN where their chunk is missing; texts as arrays, null there. */
export class Store {
  #url;
  #nodes;
  #arrays = new Map();
  #missing = new Set();
  #limit = limiter(REQUESTS_AT_ONCE);

  /**
   * @param {URL} url of the root, with a slash at its end
   * @param {object} root its zarr.json
   */
  constructor(url, root) {
    this.#url = url;
    this.#nodes = new Map(Object.entries(root.consolidated_metadata.metadata));
    this.attributes = root.attributes;
  }

  /** Last part of the URL. */
  get name() {
    const title = this.attributes.published?.options?.title;
    if (typeof title === "string" && title) return title;
    const parts = this.#url.pathname.split("/").filter(Boolean);
    return parts.length ? decoded(parts.at(-1)) : this.#url.host;
  }

  /** Whether nobody's genotypes and expression are in the store. */
  get isSummary() {
    return this.attributes.level !== "full";
  }

  /** Whether there is an array of this path. */
  has(path) {
    return this.#nodes.get(path)?.node_type === "array";
  }

  /** Attributes of a group; none where there is no such group. */
  attributesOf(path) {
    const attributes = this.#nodes.get(path)?.attributes;
    return isObject(attributes) ? attributes : {};
  }

  /** Names of the groups in a group, of those that can be part of a path. */
  groups(parent) {
    const prefix = `${parent}/`;
    return [...this.#nodes]
      .filter(([path, node]) => path.startsWith(prefix) && node?.node_type === "group")
      .map(([path]) => path.slice(prefix.length))
      .filter((name) => name !== "" && name !== "." && name !== ".." && !/[/\\]/.test(name));
  }

  /** Shape of an array. */
  shape(path) {
    return this.#array(path).shape;
  }

  /** Number of genes. */
  get geneCount() {
    if (!this.has("genes/gene_id"))
      throw new StoreError("refused", "The store has no genes: get it again from a copy.");
    const [genes] = this.shape("genes/gene_id");
    if (genes > MOST_GENES) {
      throw new StoreError("refused", `The store says it has ${count(genes)} genes: too many for this page.`);
    }
    return genes;
  }

  /** All values of an array over one dimension; null where the store has none. */
  async read(path) {
    if (!this.has(path)) return null;
    return this.readRange(path, 0, this.shape(path)[0]);
  }

  /** A row of an array, flattened; null where the store has no such array, or its chunk is missing. */
  async readRow(path, row) {
    if (!this.has(path)) return null;
    const values = await this.readRange(path, row, row + 1);
    return this.lacks(path, row, row + 1) ? null : values;
  }

  /** Whether a chunk of rows that were read is missing. */
  lacks(path, start, stop) {
    if (!this.has(path) || stop <= start) return false;
    const length = this.#array(path).chunks[0];
    for (let chunk = Math.floor(start / length); chunk * length < stop; chunk++) {
      if (this.#missing.has(`${path} ${chunk}`)) return true;
    }
    return false;
  }

  /** Rows `start` to `stop` of an array, flattened; null where the store has none. */
  async readRange(path, start, stop) {
    if (!this.has(path)) return null;
    const array = this.#array(path);
    const { shape, chunks, dtype } = array;
    if (!(start >= 0 && start <= stop && stop <= shape[0])) {
      throw new StoreError("damaged", `${path} has no rows ${start} to ${stop}: get the store again from a copy.`);
    }
    const width = shape.slice(1).reduce((product, length) => product * length, 1);
    const first = Math.floor(start / chunks[0]);
    const last = stop === start || width === 0 ? first - 1 : Math.floor((stop - 1) / chunks[0]);
    const inChunk = chunks[0] * width;
    checkSize(path, (last - first + 1) * inChunk * ITEM_BYTES[dtype], last - first + 1);
    const coordinates = Array.from({ length: last - first + 1 }, (_, i) => first + i);
    const decodedChunks = await Promise.all(coordinates.map((chunk) => this.#chunk(array, path, chunk, inChunk)));
    const values = dtype === "string" ? new Array((stop - start) * width).fill(null) : nans((stop - start) * width);
    decodedChunks.forEach((chunk, i) => {
      if (chunk === null) return;
      const offset = coordinates[i] * chunks[0];
      const from = Math.max(start, offset);
      const to = Math.min(stop, offset + chunks[0]);
      for (let at = (from - offset) * width, out = (from - start) * width; at < (to - offset) * width; at++, out++) {
        values[out] = dtype === "string" ? chunk[at] : Number(chunk[at]);
      }
    });
    return values;
  }

  async #chunk(array, path, chunk, items) {
    const coordinates = [chunk, ...array.shape.slice(1).map(() => 0)];
    try {
      const { data } = await this.#limit(() => array.getChunk(coordinates));
      if (data.length !== items) throw new StoreError("damaged", "has another size than its metadata say");
      this.#missing.delete(`${path} ${chunk}`);
      return data;
    } catch (error) {
      const cause = error.cause instanceof Error ? error.cause : error;
      if (cause.kind === "absent") {
        this.#missing.add(`${path} ${chunk}`);
        return null;
      }
      if (cause.kind === "network") throw cause;
      const what = cause instanceof StoreError ? cause.message : "cannot be decoded";
      throw new StoreError("damaged", `A chunk of ${path} ${what}: get the store again from a copy.`);
    }
  }

  #array(path) {
    if (!this.#arrays.has(path)) {
      const metadata = checkedMetadata(path, this.#nodes.get(path));
      // The array knows nothing of paths: keys are chunk coordinates, and what is before them is encoded here.
      const base = new URL(path.split("/").map(encodeURIComponent).join("/"), this.#url);
      const chunks = { get: (key) => fetchBytes(new URL(base.href + key)) };
      this.#arrays.set(path, new ZarrArray(chunks, "/", metadata));
    }
    return this.#arrays.get(path);
  }
}

/** Open the store at a URL; raises StoreError. */
export async function openStore(url) {
  let bytes;
  try {
    // A store that was published again has other metadata.
    bytes = await fetchBytes(new URL("zarr.json", url), "no-cache");
  } catch (error) {
    if (error.kind !== "absent") throw error;
    throw new StoreError("absent", `There is no store at ${url.href}: it has no zarr.json.`);
  }
  const root = parsed(bytes);
  const attributes = root?.attributes;
  if (!isObject(attributes) || attributes.pdstore_format === undefined) {
    throw new StoreError("refused", `What lies at ${url.href} is no pdstore store.`);
  }
  const format = attributes.pdstore_format;
  if (format !== FORMAT) {
    const age = format > FORMAT ? "newer than this page knows" : "older than this page reads";
    throw new StoreError(
      "refused",
      `The store has format ${short(plain(format), 20)}, ${age} (${FORMAT}): publish it again.`,
    );
  }
  if (!isObject(root.consolidated_metadata?.metadata)) {
    throw new StoreError("refused", "The store has no consolidated metadata: run pdstore publish.");
  }
  return new Store(url, root);
}

async function fetchBytes(url, cache = "default") {
  let response;
  try {
    response = await fetch(url, { cache });
    if (response.ok) return new Uint8Array(await response.arrayBuffer());
  } catch {
    throw new StoreError("network", "The store cannot be reached: is the network there?");
  }
  if (MISSING_STATUS.includes(response.status)) throw new StoreError("absent", "is missing");
  throw new StoreError("network", `The server answers ${response.status} for a part of the store.`);
}

/** What zarrita needs of an array's metadata, where they are what schemas/ lets them be; raises StoreError. */
function checkedMetadata(path, node) {
  const shape = node.shape;
  const chunks = node.chunk_grid?.configuration?.chunk_shape;
  const separator = node.chunk_key_encoding?.configuration?.separator ?? "/";
  const codecs = Array.isArray(node.codecs) ? node.codecs : [];
  const readable =
    isShape(shape, 0) &&
    isShape(chunks, 1) &&
    shape.length === chunks.length &&
    Object.hasOwn(ITEM_BYTES, node.data_type) &&
    node.chunk_key_encoding?.name === "default" &&
    separator === "/" &&
    codecs.length > 0 &&
    codecs.every((codec) => CODECS.includes(codec?.name) && (codec.configuration?.endian ?? "little") === "little") &&
    chunks.slice(1).every((length, i) => length === shape[i + 1] || shape[i + 1] === 0);
  if (!readable) throw new StoreError("refused", `${path} has a layout that this page does not read.`);
  checkSize(
    path,
    chunks.reduce((product, length) => product * length, ITEM_BYTES[node.data_type]),
    1,
  );
  return {
    zarr_format: 3,
    node_type: "array",
    shape,
    data_type: node.data_type,
    chunk_grid: { name: "regular", configuration: { chunk_shape: chunks } },
    chunk_key_encoding: { name: "default", configuration: { separator } },
    codecs: codecs.map(({ name }) => ({ name, configuration: name === "bytes" ? { endian: "little" } : {} })),
    fill_value: node.data_type === "string" ? "" : 0,
    attributes: {},
  };
}

function checkSize(path, bytes, chunks) {
  if (bytes <= MOST_BYTES && chunks <= MOST_CHUNKS) return;
  const size = `${count(Math.round(bytes / 2 ** 20))} MB in ${counted(chunks, "chunk")}`;
  throw new StoreError("refused", `${path} is too large for this page: ${size}.`);
}

function isShape(lengths, least) {
  return (
    Array.isArray(lengths) &&
    lengths.length > 0 &&
    lengths.length <= 4 &&
    lengths.every((length) => Number.isSafeInteger(length) && length >= least)
  );
}

function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function parsed(bytes) {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return null;
  }
}

function nans(length) {
  return new Float64Array(length).fill(NaN);
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Runs so many tasks at once, the others after them. */
function limiter(most) {
  const waiting = [];
  let running = 0;
  return async (task) => {
    if (running >= most) await new Promise((resolve) => waiting.push(resolve));
    running++;
    try {
      return await task();
    } finally {
      running--;
      waiting.shift()?.();
    }
  };
}
