// The codecs of a store that zarrita lacks, or does not check: crc32c is held against the bytes, zstd never writes more than
// the chunk's metadata promise, whatever its frame says, and texts lie within their bytes.

import { decompress, registry } from "./zarrita.js";
import { StoreError } from "./errors.js";

/** Bytes that one read, or one chunk, may take. */
export const MOST_BYTES = 512 * 2 ** 20;

/** Data type → bytes of an element; of a string, what its length takes at least. */
export const ITEM_BYTES = {
  bool: 1,
  int8: 1,
  uint8: 1,
  int16: 2,
  uint16: 2,
  int32: 4,
  uint32: 4,
  int64: 8,
  uint64: 8,
  float32: 4,
  float64: 8,
  string: 4,
};

const ZSTD_MAGIC = 0xfd2fb528;
const CRC_TABLE = crcTable();

/** CRC-32C (Castagnoli) of some bytes. */
export function crc32c(bytes) {
  let crc = ~0;
  for (let i = 0; i < bytes.length; i++) crc = CRC_TABLE[(crc ^ bytes[i]) & 0xff] ^ (crc >>> 8);
  return ~crc >>> 0;
}

/** Bytes that a Zstandard frame says it holds (RFC 8878, 3.1.1.1); null where it does not say. */
export function frameContentSize(bytes) {
  if (bytes.length < 6) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint32(0, true) !== ZSTD_MAGIC) return null;
  const descriptor = bytes[4];
  const singleSegment = (descriptor >> 5) & 1;
  const sizeBytes = [singleSegment, 2, 4, 8][descriptor >> 6];
  const at = 5 + (1 - singleSegment) + [0, 1, 2, 4][descriptor & 3];
  if (sizeBytes === 0 || bytes.length < at + sizeBytes) return null;
  if (sizeBytes === 1) return bytes[at];
  if (sizeBytes === 2) return view.getUint16(at, true) + 256;
  return sizeBytes === 4 ? view.getUint32(at, true) : Number(view.getBigUint64(at, true));
}

class CheckedCrc32c {
  kind = "bytes_to_bytes";

  static fromConfig() {
    return new CheckedCrc32c();
  }

  decode(bytes) {
    if (bytes.length < 4) throw new StoreError("damaged", "is cut off");
    const end = bytes.length - 4;
    const stored = new DataView(bytes.buffer, bytes.byteOffset + end, 4).getUint32(0, true);
    const content = bytes.subarray(0, end);
    if (crc32c(content) !== stored) throw new StoreError("damaged", "does not match its checksum");
    return content;
  }
}

class BoundedZstd {
  kind = "bytes_to_bytes";
  #size;

  constructor(size) {
    this.#size = size;
  }

  static fromConfig(_, { dataType, shape }) {
    const items = shape.reduce((product, length) => product * length, 1);
    return new BoundedZstd(dataType === "string" ? null : items * ITEM_BYTES[dataType]);
  }

  decode(bytes) {
    const size = frameContentSize(bytes);
    const fits = size !== null && (this.#size === null ? size <= MOST_BYTES : size === this.#size);
    if (!fits) throw new StoreError("damaged", "has another size than its metadata say");
    return decompress(bytes, new Uint8Array(size));
  }
}

class CheckedVlenUtf8 {
  kind = "array_to_bytes";
  #shape;

  constructor(shape) {
    this.#shape = shape;
  }

  static fromConfig(_, { shape }) {
    return new CheckedVlenUtf8(shape);
  }

  decode(bytes) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const items = view.getUint32(0, true);
    if (items * 4 + 4 > bytes.length) throw new StoreError("damaged", "is cut off");
    const data = new Array(items);
    const decoder = new TextDecoder();
    let at = 4;
    for (let i = 0; i < items; i++) {
      const end = at + 4 + view.getUint32(at, true);
      if (end > bytes.length) throw new StoreError("damaged", "is cut off");
      data[i] = utf8Text(bytes.subarray(at + 4, end), decoder);
      at = end;
    }
    return { data, shape: this.#shape, stride: [1] };
  }
}

registry.set("crc32c", () => CheckedCrc32c);
registry.set("zstd", () => BoundedZstd);
registry.set("vlen-utf8", () => CheckedVlenUtf8);

/** A short text of ASCII is made ten times as fast without a decoder, and names of genes are many. */
function utf8Text(bytes, decoder) {
  const isPlain = bytes.length < 64 && bytes.every((byte) => byte < 128);
  return isPlain ? String.fromCharCode(...bytes) : decoder.decode(bytes);
}

function crcTable() {
  return Int32Array.from({ length: 256 }, (_, byte) => {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
    return crc;
  });
}
