// All genes at once: their names, their statistics as columns, filtered and sorted. The definitions are those of
// pdstore/gene_table.py and pdstore/query.py.

import { COUNTS, FDR_COLUMN, GENE_COLUMNS, OF_SUMMARIES, SHOWN_STATISTICS, STATISTICS } from "./columns.js";
import { StoreError } from "./errors.js";
import { count, minus, plain } from "./words.js";

/** False discovery rate below which a correlation is called. */
export const ALPHA = 0.05;

const GENE_ARRAYS = {
  gene: "gene_name",
  id: "gene_id",
  contig: "gene_contig",
  tss: "gene_tss",
  strand: "gene_strand",
};
const ENSEMBL_VERSION = /^(ENS[A-Z]*G\d+)\.\d+/;

/** Names and places of all genes, and how to find one. */
export class Genes {
  #rowsByName = new Map();
  #upperNames;
  #upperIds;

  constructor(columns) {
    this.columns = columns;
    this.count = columns.id.length;
    this.#upperNames = columns.gene.map((name) => name.toUpperCase());
    this.#upperNames.forEach((name, row) => this.#add(name, row));
    this.#upperIds = columns.id.map((id) => id.toUpperCase());
    this.#upperIds.forEach((id, row) => this.#add(`id ${id}`, row));
  }

  /** Rows of the genes of a name: symbol in any case, or identifier with or without version. */
  find(name) {
    const wanted = name.trim().toUpperCase();
    const stable = wanted.replace(ENSEMBL_VERSION, "$1");
    const ids = new Set([wanted, stable].flatMap((id) => this.#rowsByName.get(`id ${id}`) ?? []));
    return ids.size ? [...ids] : (this.#rowsByName.get(wanted) ?? []);
  }

  /** Rows of genes whose symbol or identifier begins with a text, then of those that have it anywhere. */
  suggest(text, most) {
    const wanted = text.trim().toUpperCase();
    if (!wanted) return [];
    const beginning = [];
    const within = [];
    for (let row = 0; row < this.count && beginning.length < most; row++) {
      const [name, id] = [this.#upperNames[row], this.#upperIds[row]];
      if (name.startsWith(wanted) || id.startsWith(wanted)) beginning.push(row);
      else if (within.length < most && (name.includes(wanted) || id.includes(wanted))) within.push(row);
    }
    const byLength = (a, b) => this.#upperNames[a].length - this.#upperNames[b].length || a - b;
    return [...beginning.sort(byLength), ...within].slice(0, most);
  }

  /** What a link calls a gene: its symbol where no other gene has it, else its identifier. */
  nameInLinks(row) {
    const symbol = this.columns.gene[row];
    const shared = !symbol || this.find(symbol).length !== 1 || this.find(symbol)[0] !== row;
    return shared ? this.columns.id[row] : symbol;
  }

  /** Contig and 1-based TSS of a gene, and its strand. */
  place(row) {
    const { contig, tss, strand } = this.columns;
    return `${contig[row]}:${count(tss[row])} (${minus(strand[row])})`;
  }

  #add(name, row) {
    const rows = this.#rowsByName.get(name);
    if (rows) rows.push(row);
    else this.#rowsByName.set(name, [row]);
  }
}

/** Names of the models that the store holds predictions of, the first filled first. */
export function filledModels(store) {
  return store
    .groups("predictions")
    .map((name) => ({ name, order: store.attributesOf(`predictions/${name}`).order }))
    .filter(({ order }) => Number.isInteger(order))
    .sort((a, b) => a.order - b.order || (a.name < b.name ? -1 : 1))
    .map(({ name }) => name);
}

/** Read the names and places of all genes. */
export async function readGenes(store) {
  const rows = store.geneCount;
  const entries = await Promise.all(
    Object.entries(GENE_ARRAYS).map(async ([name, array]) => {
      const path = `genes/${array}`;
      const values = await store.read(path);
      if (values === null || values.length !== rows || values.includes(null)) {
        throw new StoreError("damaged", `${path} is missing, or a part of it: get the store again from a copy.`);
      }
      return [name, values];
    }),
  );
  return new Genes(Object.fromEntries(entries));
}

/** Those statistics of the table of genes that it may show of a model. */
export function shownStatistics(store, model) {
  const isInstead = ({ insteadOf }) => insteadOf && store.has(`statistics/${model}/${insteadOf}`);
  const needless = GENE_COLUMNS.filter(isInstead).map(({ name }) => name);
  return SHOWN_STATISTICS.filter((name) => !needless.includes(name));
}

/** Whether a model's numbers are of published tables: a summary of people says what it withholds. */
export function isOfTables(store, model) {
  return store.isSummary && !store.has(`statistics/${model}/drivers_withheld`);
}

/** Read statistics of every gene as columns: NaN where the store has none; without those that summaries alone have. */
export async function readStatistics(store, model, wanted, rows) {
  const read = (name) => store.read(`statistics/${model}/${name}`);
  const names = wanted.filter((name) => !OF_SUMMARIES.includes(name) || store.has(`statistics/${model}/${name}`));
  const asked = [...new Set(["n_samples", ...names])];
  const columns = await Promise.all(asked.map(read));
  // In a full store, n_samples is the mark that a gene is done.
  const [mark] = columns;
  const entries = names.map((name) => {
    const values = columns[asked.indexOf(name)] ?? new Float64Array(rows).fill(NaN);
    if (values.length !== rows) {
      throw new StoreError(
        "damaged",
        `statistics/${model}/${name} is not of all genes: get the store again from a copy.`,
      );
    }
    const unfilled = (value, row) => (COUNTS.includes(name) && value < 0) || (!store.isSummary && !(mark?.[row] >= 0));
    return [name, values.map((value, row) => (unfilled(value, row) ? NaN : value))];
  });
  return Object.fromEntries(entries);
}

/** Paths of the statistics that were read and lack chunks, of a model whose statistics were written. */
export function lostStatistics(store, model, columns) {
  const isFilled = store.isSummary || columns.n_samples?.some(Number.isFinite);
  const paths = STATISTICS.filter((name) => name in columns).map((name) => `statistics/${model}/${name}`);
  return isFilled ? paths.filter((path) => store.lacks(path, 0, store.geneCount)) : [];
}

/** Correlation status: by the sign of R where the false discovery rate is below alpha; null where either is missing. */
export function correlationStatus(r, fdr) {
  if (!Number.isFinite(r) || !Number.isFinite(fdr)) return null;
  if (fdr >= ALPHA) return "not significant";
  return r > 0 ? "correlated" : "anticorrelated";
}

/** Support of a gene by its number of drivers and the fraction of them that is supported; null where undefined. */
export function supportStatus(drivers, fraction) {
  if (Number.isNaN(drivers)) return null;
  if (drivers === 0) return "no drivers";
  if (Number.isNaN(fraction)) return "undetermined";
  return fraction === 1 ? "supported" : fraction === 0 ? "unsupported" : "mixed";
}

/** Columns of genes and statistics, with status and support. */
export function withStatus(genes, statistics, fdrKind) {
  const fdr = statistics[FDR_COLUMN[fdrKind]];
  const rows = Array.from({ length: genes.count }, (_, row) => row);
  return {
    ...genes.columns,
    ...statistics,
    status: rows.map((row) => correlationStatus(statistics.pearson_r[row], fdr[row])),
    support: rows.map((row) => supportStatus(statistics.driver_count[row], statistics.fraction_supported[row])),
  };
}

/**
 * Rows of the genes that are wanted.
 * @param {object} columns
 * @param {{text: string, status: string, support: string, minAbsR: number|null, maxFdr: number|null, fdrKind: string}} wanted
 */
export function select(columns, wanted) {
  const text = wanted.text.trim().toUpperCase();
  const fdr = columns[FDR_COLUMN[wanted.fdrKind]];
  const rows = [];
  for (let row = 0; row < columns.id.length; row++) {
    const keep =
      (!wanted.status || columns.status[row] === wanted.status) &&
      (!wanted.support || columns.support[row] === wanted.support) &&
      (wanted.minAbsR === null || Math.abs(columns.pearson_r[row]) >= wanted.minAbsR) &&
      (wanted.maxFdr === null || fdr[row] <= wanted.maxFdr) &&
      (!text || `${columns.gene[row]} ${columns.id[row]} ${columns.contig[row]}`.toUpperCase().includes(text));
    if (keep) rows.push(row);
  }
  return rows;
}

/** Rows sorted by a column; genes without a value come last, ties go by |R|. */
export function sorted(columns, rows, column, falling) {
  const sign = falling ? -1 : 1;
  const r = columns.pearson_r;
  const byAbsR = (a, b) => (Math.abs(r[b]) || 0) - (Math.abs(r[a]) || 0) || a - b;
  const collator = new Intl.Collator("en", { numeric: true });
  const byText = (values) => (a, b) => sign * collator.compare(values[a], values[b]);
  const byNumber = (values) => (a, b) => sign * (values[a] - values[b]);
  const values = columns[column];
  const compare =
    column === "contig"
      ? (a, b) => byText(values)(a, b) || byNumber(columns.tss)(a, b)
      : values instanceof Float64Array
        ? byNumber(values)
        : byText(values);
  const missing = (row) => values[row] === null || values[row] === "" || Number.isNaN(values[row]);
  return [...rows].sort((a, b) => missing(a) - missing(b) || (missing(a) ? 0 : compare(a, b)) || byAbsR(a, b));
}

/** What all genes come to, in a line. */
export function summary(columns) {
  const genes = columns.pearson_r.reduce((sum, r) => sum + Number.isFinite(r), 0);
  const of = (status) => columns.status.filter((each) => each === status).length;
  return { genes, correlated: of("correlated"), anticorrelated: of("anticorrelated"), other: of("not significant") };
}

/** Name of a gene for a person. */
export function label(genes, row) {
  return plain(genes.columns.gene[row] || genes.columns.id[row]);
}
