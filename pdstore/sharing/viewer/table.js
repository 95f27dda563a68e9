// The table of all genes: sorted by any column, filtered, a page at a time.

import { byId, element, fill } from "./dom.js";
import { FDR_COLUMN, label, select, sorted } from "./genes.js";
import { count, counted, number, short, UNKNOWN } from "./words.js";

const ROWS_A_PAGE = 50;
/** Column → heading, and whether its first click sorts from the highest. */
const COLUMNS = [
  { name: "gene", heading: "gene" },
  { name: "pearson_r", heading: "R", falling: true, isNumber: true },
  {
    name: "r_ci_low",
    heading: "R from",
    falling: true,
    isNumber: true,
    about: "lower end of the 95% bootstrap interval",
  },
  { name: "r_ci_high", heading: "to", falling: true, isNumber: true, about: "upper end of the 95% bootstrap interval" },
  { name: "n_samples", heading: "people", falling: true, isNumber: true },
  { name: "p_value", heading: "p", isNumber: true, about: "two-sided p of R" },
  { name: "fdr", heading: "FDR", isNumber: true, about: "published null" },
  { name: "empirical_fdr", heading: "empirical FDR", isNumber: true },
  { name: "status", heading: "correlation" },
  { name: "driver_count", heading: "drivers", falling: true, isNumber: true },
  {
    name: "fraction_supported",
    heading: "supported",
    falling: true,
    isNumber: true,
    about: "fraction of drivers supported",
  },
  { name: "support", heading: "support" },
  { name: "contig", heading: "TSS" },
  { name: "id", heading: "identifier" },
];
const COUNTS = ["n_samples", "driver_count"];

/** The table of genes; `linkTo(row)` is the address of a gene's page. */
export class GeneTable {
  #genes = null;
  #columns = null;
  #fdrKind = null;
  #linkTo;
  #rows = [];
  #page = 0;
  #sort = { column: "fdr", falling: false };

  constructor(linkTo) {
    this.#linkTo = linkTo;
    this.filters = byId("filters");
    this.filters.addEventListener("input", () => this.#select());
    this.filters.addEventListener("submit", (event) => event.preventDefault());
    this.filters.addEventListener("reset", () => setTimeout(() => this.#select()));
    const turn = { first: () => 0, previous: () => this.#page - 1, next: () => this.#page + 1, last: () => Infinity };
    for (const [name, page] of Object.entries(turn)) {
      byId(`page-${name}`).addEventListener("click", () => this.#turnTo(page()));
    }
  }

  /** Show other columns, as `withStatus` gives them. */
  update(genes, columns, fdrKind) {
    this.#genes = genes;
    this.#columns = columns;
    this.#fdrKind = fdrKind;
    const isKnown = (name) => this.#shown().some((column) => column.name === name);
    const fdr = FDR_COLUMN[fdrKind];
    if (!isKnown(this.#sort.column)) {
      this.#sort = isKnown(fdr) ? { column: fdr, falling: false } : { column: "pearson_r", falling: true };
    }
    this.#select();
  }

  /** Rows that are shown on all pages, in their order. */
  get rows() {
    return this.#rows;
  }

  /** Columns that the store has values of. */
  #shown() {
    return COLUMNS.filter(({ name, isNumber }) => !isNumber || this.#columns[name].some(Number.isFinite));
  }

  #wanted() {
    const field = (name) => this.filters.elements.namedItem(name).value;
    const limit = (name) =>
      field(name).trim() === "" || Number.isNaN(Number(field(name))) ? null : Number(field(name));
    return {
      text: field("text"),
      status: field("status"),
      support: field("support"),
      minAbsR: limit("min-abs-r"),
      maxFdr: limit("max-fdr"),
      fdrKind: this.#fdrKind,
    };
  }

  #select() {
    if (this.#columns === null) return;
    this.#rows = sorted(this.#columns, select(this.#columns, this.#wanted()), this.#sort.column, this.#sort.falling);
    this.#turnTo(0);
  }

  #turnTo(page) {
    const last = Math.max(0, Math.ceil(this.#rows.length / ROWS_A_PAGE) - 1);
    this.#page = Math.min(last, Math.max(0, page));
    for (const name of ["first", "previous"]) byId(`page-${name}`).disabled = this.#page === 0;
    for (const name of ["next", "last"]) byId(`page-${name}`).disabled = this.#page === last;
    const shown = this.#rows.slice(this.#page * ROWS_A_PAGE, (this.#page + 1) * ROWS_A_PAGE);
    const from = this.#page * ROWS_A_PAGE;
    const matching = `${counted(this.#rows.length, "gene")} of ${count(this.#genes.count)}`;
    const here = shown.length ? `, ${count(from + 1)} to ${count(from + shown.length)} shown` : "";
    fill(byId("genes-shown"), `${matching}${here}`);
    const columns = this.#shown();
    fill(byId("genes-head"), element("tr", {}, ...columns.map((column) => this.#heading(column))));
    fill(
      byId("genes-body"),
      ...shown.map((row) => element("tr", {}, ...columns.map((column) => this.#cell(column, row)))),
    );
  }

  #heading({ name, heading, about = null, falling = false, isNumber = false }) {
    const isSorted = this.#sort.column === name;
    const direction = isSorted ? (this.#sort.falling ? "descending" : "ascending") : null;
    const button = element("button", { type: "button", title: about, "data-column": name }, heading);
    button.addEventListener("click", () => {
      this.#sort = { column: name, falling: isSorted ? !this.#sort.falling : falling };
      this.#select();
      // The heading is another element now.
      byId("genes-head").querySelector(`[data-column="${name}"]`).focus();
    });
    return element("th", { scope: "col", "aria-sort": direction, class: isNumber ? "number" : null }, button);
  }

  #cell({ name, isNumber = false }, row) {
    const value = this.#columns[name][row];
    if (name === "gene") {
      return element(
        "th",
        { scope: "row" },
        element("a", { href: this.#linkTo(row) }, short(label(this.#genes, row), 40)),
      );
    }
    if (name === "contig") return element("td", {}, short(this.#genes.place(row), 60));
    if (!isNumber) return element("td", { class: value }, value ? short(value, 40) : UNKNOWN);
    return element("td", { class: "number" }, COUNTS.includes(name) ? count(value) : number(value));
  }
}
