// The page: opens the store beside it, and shows all genes or one, as the address says.

import { FDR_COLUMN, NULL_OF, STATISTICS } from "./columns.js";
import { csvText, download } from "./csv.js";
import { byId, element, fill } from "./dom.js";
import { StoreError } from "./errors.js";
import { queryGene } from "./gene.js";
import { geneView } from "./gene_view.js";
import {
  ALPHA,
  filledModels,
  isOfTables,
  label,
  lostStatistics,
  readGenes,
  readStatistics,
  shownStatistics,
  summary,
  withStatus,
} from "./genes.js";
import { setUpSearch } from "./search.js";
import { openStore } from "./store.js";
import { GeneTable } from "./table.js";
import { Volcano } from "./volcano.js";
import { count, counted, plain, short } from "./words.js";

/** What is shown: `store`, `genes`, `models`, statistics by model, and the kind of false discovery rate. */
const page = { store: null, genes: null, models: [], statistics: new Map(), fdrKind: null, shown: 0, listed: null };
/** How far down the page of all genes was when a gene was opened, and which gene that is. */
const left = { scroll: 0, row: null };
let volcano = null;
let table = null;

/** The gene and the model that an address names: #gene=GSTM3&model=enformer, or #GSTM3. */
function parseHash(hash) {
  const text = hash.replace(/^#/, "");
  if (/^(gene|model)=/.test(text)) {
    const fields = new URLSearchParams(text);
    return { gene: fields.get("gene"), model: fields.get("model") };
  }
  try {
    return { gene: decodeURIComponent(text) || null, model: null };
  } catch {
    return { gene: text, model: null };
  }
}

/** The address of a gene, or of all genes where null, with the model where the store has several. */
function hashOf(row, model) {
  const fields = new URLSearchParams();
  if (row !== null) fields.set("gene", page.genes.nameInLinks(row));
  if (page.models.length > 1) fields.set("model", model);
  return `#${fields}`;
}

function chosenModel() {
  return parseHash(location.hash).model ?? page.models[0];
}

function openGene(row) {
  location.hash = hashOf(row, chosenModel());
}

async function start() {
  try {
    say("Loading the store…");
    page.store = await openStore(new URL(".", location.href));
    page.models = filledModels(page.store);
    showHeader();
    if (!page.models.length) throw new StoreError("refused", "The store holds no predictions: run pdstore fill.");
    // While the names come; whoever awaits them is told of an error.
    const { gene } = parseHash(location.hash);
    if (gene === null && page.models.includes(chosenModel())) statisticsOf(chosenModel()).catch(() => {});
    page.genes = await readGenes(page.store);
    showHeader();
    setUpSearch(page.genes, openGene);
    volcano ??= new Volcano(openGene);
    table ??= new GeneTable((row) => hashOf(row, chosenModel()));
  } catch (error) {
    return fail(error, start);
  }
  addEventListener("hashchange", () => show());
  return show();
}

/** Show what the address says. */
async function show() {
  const turn = ++page.shown;
  const isCurrent = () => turn === page.shown;
  const wanted = parseHash(location.hash);
  try {
    say("");
    const model = wanted.model ?? page.models[0];
    if (!page.models.includes(model)) {
      throw new StoreError(
        "refused",
        `The store holds no predictions of model ${short(plain(model), 60)}; it holds ${page.models.join(", ")}.`,
      );
    }
    byId("model").value = model;
    if (wanted.gene === null) await showGenes(model, isCurrent);
    else await showGene(wanted.gene, model, isCurrent);
  } catch (error) {
    if (isCurrent()) hideGenes();
    if (isCurrent()) fail(error, show);
  }
}

async function showGenes(model, isCurrent) {
  const wasGene = byId("overview").hidden && !byId("gene").hidden;
  byId("gene").hidden = true;
  byId("overview").hidden = false;
  document.title = `${page.store.name}: all genes`;
  if (page.listed !== model) hideGenes();
  const columns = await columnsOf(model, isCurrent);
  if (columns === null) return;
  page.listed = model;
  byId("all-genes-body").hidden = false;
  volcano.update(page.genes, columns, page.fdrKind);
  table.update(page.genes, columns, page.fdrKind, isOfTables(page.store, model));
  fill(byId("summary"), summaryText(columns));
  const lost = lostStatistics(page.store, model, columns);
  const told = `Missing from the store, and shown as unknown: chunks of ${lost.join(", ")}.`;
  fill(byId("genes-damage"), lost.length ? element("p", { class: "warning" }, told) : null);
  if (wasGene) {
    scrollTo(0, left.scroll);
    table.focusOn(left.row);
  }
}

/** Until there is something to show of a model, and no longer what was of another. */
function hideGenes() {
  page.listed = null;
  byId("all-genes-body").hidden = true;
  fill(byId("summary"));
}

function summaryText(columns) {
  const { genes, correlated, anticorrelated, other } = summary(columns);
  const unfilled = page.store.isSummary ? 0 : columns.n_samples.filter(Number.isNaN).length;
  const notFilled = unfilled ? ` Not filled: ${count(unfilled)} of ${counted(page.genes.count, "gene")}.` : "";
  if (genes === 0) return `No gene has R of this model.${notFilled}`;
  const withR = `${counted(genes, "gene")} with R`;
  if (correlated + anticorrelated + other === 0) return `${withR}, none with a false discovery rate.${notFilled}`;
  return (
    `${withR}: ${count(correlated)} correlated, ${count(anticorrelated)} anticorrelated, ` +
    `${count(other)} not significant at FDR ${ALPHA} of the ${NULL_OF[page.fdrKind]}.${notFilled}`
  );
}

/** Statistics of a model, read once. */
function statisticsOf(model) {
  if (!page.statistics.has(model)) {
    const reading = readStatistics(page.store, model, shownStatistics(page.store, model), page.store.geneCount);
    page.statistics.set(model, reading);
    reading.catch(() => page.statistics.delete(model));
  }
  return page.statistics.get(model);
}

/** Columns of a model with status and support; null where something else is to be shown meanwhile. */
async function columnsOf(model, isCurrent) {
  say("Loading the statistics of all genes…");
  const statistics = await statisticsOf(model);
  if (!isCurrent()) return null;
  say("");
  page.fdrKind ??=
    statistics.fdr.some(Number.isFinite) || !statistics.empirical_fdr.some(Number.isFinite) ? "published" : "empirical";
  // A model without one of them is judged by the other, whatever was chosen for another model.
  for (const option of byId("fdr-kind").options) {
    option.disabled = !statistics[FDR_COLUMN[option.value]].some(Number.isFinite);
  }
  const chosen = [...byId("fdr-kind").options].find((option) => option.value === page.fdrKind);
  if (chosen.disabled)
    page.fdrKind = [...byId("fdr-kind").options].find((option) => !option.disabled)?.value ?? page.fdrKind;
  byId("fdr-kind").value = page.fdrKind;
  byId("fdr-chooser").hidden = [...byId("fdr-kind").options].every((option) => option.disabled);
  return withStatus(page.genes, statistics, page.fdrKind);
}

async function showGene(name, model, isCurrent) {
  if (!byId("overview").hidden) left.scroll = scrollY;
  const rows = page.genes.find(name);
  byId("overview").hidden = true;
  byId("gene").hidden = false;
  byId("all-genes").href = hashOf(null, model);
  const heading = byId("gene-heading");
  const body = byId("gene-body");
  if (rows.length !== 1) {
    document.title = page.store.name;
    fill(
      heading,
      rows.length ? `${rows.length} genes are called ${short(name, 40)}` : `No gene ${short(name, 40)} in the store`,
    );
    const close = rows.length ? rows : closest(name);
    const lead = rows.length ? "Choose one by its identifier:" : "Names near it:";
    fill(body, ...(close.length ? [element("p", {}, lead), geneLinks(close, model)] : []));
    return;
  }
  const [row] = rows;
  left.row = row;
  const title = short(label(page.genes, row), 60);
  document.title = `${title}: ${page.store.name}`;
  fill(heading, title);
  fill(body);
  scrollTo(0, 0);
  heading.focus({ preventScroll: true });
  say("Loading the gene…");
  const answer = await queryGene(page.store, page.genes, model, row, page.fdrKind);
  if (!isCurrent()) return;
  say("");
  fill(body, ...geneView(page.store, answer));
}

/** Genes whose names share the longest beginning with a name. */
function closest(name) {
  for (let letters = name.length; letters > 1; letters--) {
    const found = page.genes.suggest(name.slice(0, letters), 5);
    if (found.length) return found;
  }
  return [];
}

function geneLinks(rows, model) {
  const links = rows.map((row) => {
    const href = `#${new URLSearchParams({ gene: page.genes.columns.id[row], model })}`;
    const text = `${label(page.genes, row)}, ${page.genes.columns.id[row]}`;
    return element("li", {}, element("a", { href }, short(text, 80)));
  });
  return element("ul", {}, ...links);
}

function showHeader() {
  const { store, models, genes } = page;
  const build = store.attributes.genome_build;
  fill(byId("store-name"), short(store.name, 80));
  const level = store.isSummary ? "summary" : "full: people's genotypes are in it";
  const facts = [
    level,
    typeof build === "string" ? short(build, 40) : "genome build not known",
    genes && counted(genes.count, "gene"),
  ];
  fill(byId("store-facts"), facts.filter(Boolean).join(" · "));
  fill(byId("model"), ...models.map((model) => element("option", { value: model }, short(model, 60))));
  // An option's value is what the store calls it, letter by letter.
  [...byId("model").options].forEach((option, i) => (option.value = models[i]));
  byId("model-chooser").hidden = models.length < 2;
  const notes = store.attributes.counts?.notes;
  const texts = Array.isArray(notes) ? notes.filter((note) => typeof note === "string") : [];
  byId("store-notes").hidden = texts.length === 0;
  fill(byId("store-notes-list"), ...texts.map((note) => element("li", {}, short(note, 500))));
}

async function downloadGenes() {
  const model = chosenModel();
  try {
    say("Loading the remaining statistics…");
    const statistics = await readStatistics(page.store, model, STATISTICS, page.genes.count);
    const columns = withStatus(page.genes, statistics, page.fdrKind);
    const names = Object.keys(columns);
    const rows = table.rows.map((row) => names.map((name) => columns[name][row]));
    download(`${page.store.name}_${model}_genes.csv`, csvText(names, rows));
    say("");
  } catch (error) {
    fail(error, () => say(""));
  }
}

function say(text) {
  const message = byId("message");
  message.className = "message";
  fill(message, text);
}

/** Say what went wrong, in a line; what may go better next time can be tried again. */
function fail(error, again) {
  const message = byId("message");
  message.className = "message error";
  if (!(error instanceof StoreError)) console.error(error);
  const text =
    error instanceof StoreError ? error.message : "The page failed at this store: see the browser's console.";
  const retry = error.kind === "network" ? element("button", { type: "button", id: "retry" }, "Retry") : null;
  retry?.addEventListener("click", () => again());
  fill(message, text, retry);
}

byId("unstarted").remove();
byId("skip").addEventListener("click", (event) => {
  // The address is a gene's.
  event.preventDefault();
  byId("main").focus();
});
byId("model").addEventListener("change", (event) => {
  const rows = byId("gene").hidden ? [] : page.genes.find(parseHash(location.hash).gene ?? "");
  location.hash = hashOf(rows.length === 1 ? rows[0] : null, event.target.value);
});
byId("fdr-kind").addEventListener("change", (event) => {
  page.fdrKind = event.target.value in FDR_COLUMN ? event.target.value : "published";
  show();
});
byId("download-genes").addEventListener("click", downloadGenes);
start();
