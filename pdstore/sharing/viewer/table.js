// The table of all genes: sorted by any column, filtered, a page at a time.

import { classOf, FDR_COLUMN, GENE_COLUMNS, legendOf, NULL_OF } from "./columns.js";
import { byId, element, fill } from "./dom.js";
import { label, select, sorted } from "./genes.js";
import { makeScroller } from "./scroller.js";
import { count, counted, formatted, number, short, UNKNOWN, zeroMeaning } from "./words.js";

const ROWS_A_PAGE = 50;

/** The table of genes; `linkTo(row)` is the address of a gene's page. */
export class GeneTable {
  #genes = null;
  #columns = null;
  #fdrKind = null;
  #isOfTables = false;
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
      byId(`page-${name}`).addEventListener("click", () => {
        this.#turnTo(page());
        byId("genes-shown").scrollIntoView({ block: "start" });
      });
    }
    makeScroller(byId("genes-scroller"));
  }

  /** Show other columns, as `withStatus` gives them; `isOfTables` is whether they are of published tables. */
  update(genes, columns, fdrKind, isOfTables) {
    this.#genes = genes;
    this.#columns = columns;
    this.#fdrKind = fdrKind;
    this.#isOfTables = isOfTables;
    const isKnown = (name) => this.#shown().some((column) => column.name === name);
    const fdr = FDR_COLUMN[fdrKind];
    if (!isKnown(this.#sort.column)) {
      this.#sort = isKnown(fdr) ? { column: fdr, falling: false } : { column: "pearson_r", falling: true };
    }
    this.#offerFilters(isKnown);
    const [before, page] = [this.#rows, this.#page];
    this.#select();
    // Whoever comes back from a gene finds the page that it was on.
    if (this.#rows.length === before.length && this.#rows.every((row, i) => row === before[i])) this.#turnTo(page);
  }

  /** Give the focus to the link of a gene, where it is on the page that is shown. */
  focusOn(row) {
    const at = this.#rows.indexOf(row) - this.#page * ROWS_A_PAGE;
    byId("genes-body").rows[at]?.querySelector("a").focus({ preventScroll: true });
  }

  /** Rows that are shown on all pages, in their order. */
  get rows() {
    return this.#rows;
  }

  /** Columns that the store has values of. */
  #shown() {
    const hasValues = (name) => this.#columns[name]?.some((value) => value !== null && !Number.isNaN(value));
    return GENE_COLUMNS.filter(({ name, insteadOf }) => hasValues(name) && !(insteadOf && hasValues(insteadOf)));
  }

  /** A filter of what the store has no values of is out of sight, and filters nothing. */
  #offerFilters(isKnown) {
    for (const filter of this.filters.querySelectorAll("[data-of]")) {
      const { of } = filter.dataset;
      filter.hidden = !isKnown(of === "fdr" ? FDR_COLUMN[this.#fdrKind] : of);
      if (filter.hidden) filter.control.value = "";
    }
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
    this.#enableTurns(last);
    const shown = this.#rows.slice(this.#page * ROWS_A_PAGE, (this.#page + 1) * ROWS_A_PAGE);
    const from = this.#page * ROWS_A_PAGE;
    const matching = `${counted(this.#rows.length, "gene")} of ${count(this.#genes.count)}`;
    const here = last ? `, ${count(from + 1)} to ${count(from + shown.length)} shown` : "";
    fill(byId("genes-shown"), `${matching}${here}`);
    const columns = this.#shown();
    fill(byId("genes-head"), element("tr", {}, ...columns.map((column) => this.#heading(column))));
    fill(
      byId("genes-body"),
      ...shown.map((row) => element("tr", {}, ...columns.map((column) => this.#cell(column, row)))),
    );
    fill(byId("genes-legend"), this.#legend(columns, shown));
  }

  /** A button that can do nothing more gives its focus to its neighbour's. */
  #enableTurns(last) {
    const focused = document.activeElement;
    byId("pages").hidden = last === 0;
    for (const name of ["first", "previous"]) byId(`page-${name}`).disabled = this.#page === 0;
    for (const name of ["next", "last"]) byId(`page-${name}`).disabled = this.#page === last;
    if (focused?.disabled) byId(this.#page === 0 ? "page-next" : "page-previous").focus({ preventScroll: true });
  }

  #legend(columns, rows) {
    const isShown = (name) => columns.some((column) => column.name === name);
    const decides = isShown("status") ? [`correlation: by the FDR of the ${NULL_OF[this.#fdrKind]}`] : [];
    const hasZero = (name) => isShown(name) && rows.some((row) => this.#columns[name][row] === 0);
    const zeros = [
      ...(hasZero("p_value") ? [`a p of 0: ${zeroMeaning(this.#isOfTables)}`] : []),
      ...(hasZero("fdr") || hasZero("empirical_fdr") ? [`an FDR of 0: ${zeroMeaning()}`] : []),
    ];
    return [legendOf(columns), ...decides, ...zeros].join("; ");
  }

  #heading(column) {
    const { name, heading, falling = false } = column;
    const isSorted = this.#sort.column === name;
    const direction = isSorted ? (this.#sort.falling ? "descending" : "ascending") : null;
    const button = element("button", { type: "button", "data-column": name }, heading);
    button.addEventListener("click", () => {
      this.#sort = { column: name, falling: isSorted ? !this.#sort.falling : falling };
      this.#select();
      // The heading is another element now.
      byId("genes-head").querySelector(`[data-column="${name}"]`).focus();
    });
    return element("th", { scope: "col", "aria-sort": direction, class: classOf(column) }, button);
  }

  #cell({ name, kind, upper }, row) {
    const value = this.#columns[name][row];
    if (kind === "gene") {
      const link = element("a", { href: this.#linkTo(row) }, short(label(this.#genes, row), 40));
      return element("th", { scope: "row", class: "pinned" }, link);
    }
    if (kind === "place") return element("td", {}, short(this.#genes.place(row), 60));
    if (kind === "interval") {
      const ends = [value, this.#columns[upper][row]];
      const text = ends.every(Number.isFinite) ? `[${ends.map((end) => number(end)).join(", ")}]` : UNKNOWN;
      return element("td", { class: "number" }, text);
    }
    if (kind === "word") return element("td", { class: value }, value ?? UNKNOWN);
    if (kind === "text") return element("td", {}, value ? short(value, 40) : UNKNOWN);
    return element("td", { class: "number" }, formatted(value, kind));
  }
}
