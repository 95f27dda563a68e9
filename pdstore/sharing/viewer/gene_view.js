// The page of one gene: what `pdstore query` prints of it, and its figures.

import { classOf, DRIVER_COLUMNS, FDR_COLUMN, legendOf, NULL_OF, VARIANT_FIELDS } from "./columns.js";
import { csvText, download } from "./csv.js";
import { element } from "./dom.js";
import { ismFigure, predictionFigure, slopesFigure } from "./gene_charts.js";
import { ALPHA, isOfTables } from "./genes.js";
import { makeScroller } from "./scroller.js";
import { count, counted, formatted, minus, number, probability, short, zeroMeaning } from "./words.js";

const UNDEFINED = "undefined: no prediction, ISM does not add up to it, no allele varies, or under 3 people";

/** Everything below the heading of a gene's page. */
export function geneView(store, answer) {
  const figures = [predictionFigure(answer), slopesFigure(answer), ismFigure(answer)].filter(Boolean);
  return [
    element("p", { class: "place" }, identity(answer)),
    damageNote(answer),
    element(
      "dl",
      { class: "facts" },
      ...facts(store, answer).flatMap(([term, ...parts]) => [element("dt", {}, term), element("dd", {}, ...parts)]),
    ),
    figures.length ? element("div", { class: "charts" }, ...figures) : null,
    driversSection(store, answer),
  ];
}

function identity({ gene, model }) {
  const place = `${short(gene.contig, 60)}:${count(gene.tss)} (${minus(short(gene.strand, 10))})`;
  return `${short(gene.id, 60)}, ${place}, model ${short(model, 60)}`;
}

function damageNote({ damage }) {
  if (!damage.length) return null;
  return element(
    "p",
    { class: "warning" },
    `Missing from the store, and shown as unknown: the chunk of this gene in ${damage.join(", ")}.`,
  );
}

function facts(store, answer) {
  const { values, lead } = answer;
  return [
    ["correlation", ...correlation(store, answer)],
    ["significance", significance(answer)],
    ["expression", expression(values)],
    ["support", ...supportWords(answer)],
    lead && [
      "lead eQTL",
      `R = ${number(lead.pearson_r)} (p = ${explained(lead.p_value)}), ${number(lead.distance, 0)} bp from the TSS`,
    ],
  ].filter((fact) => fact && fact[1] !== null);
}

/** As `pdstore query` says it: R with its interval over how many people, and the status. */
function correlation(store, { model, values, status, damage }) {
  const people = values.n_samples;
  if (values.pearson_r === null) {
    if (damage.includes(`statistics/${model}/pearson_r`)) return ["unknown"];
    if (people === null) return [notThere(store, model)];
    const reason =
      people === 0
        ? "expression was not measured"
        : people < 3
          ? "that is too few"
          : "the prediction or the expression does not vary";
    return [`none over ${count(people)} people: ${reason}`];
  }
  const interval = values.r_ci_low === null ? "" : ` [${number(values.r_ci_low)}, ${number(values.r_ci_high)}]`;
  const over = people === null ? "" : ` over ${count(people)} people`;
  const zero = values.p_value === 0 ? ` (${zeroMeaning(isOfTables(store, model))})` : "";
  const p = values.p_value === null ? "" : `, p = ${probability(values.p_value)}${zero}`;
  return [`R = ${number(values.pearson_r)}${interval}${over}${p}: `, badge(status ?? "significance unknown")];
}

/** The tests, which of them decides, and what the other would say where that is something else. */
function significance({ values, statuses, decidedBy }) {
  const tests = [];
  if (values.null_p !== null) {
    const t = values.null_t === null ? "" : `t = ${number(values.null_t, 2)}, `;
    tests.push(`published null FDR ${probability(values.fdr)} (${t}p = ${explained(values.null_p)})`);
  }
  if (values.empirical_p !== null) {
    tests.push(`empirical FDR ${probability(values.empirical_fdr)} (p = ${explained(values.empirical_p)})`);
  }
  if (!tests.length) return values.pearson_r === null ? null : "no null";
  if (decidedBy === null || values.pearson_r === null) return tests.join(", ");
  const other = Object.keys(FDR_COLUMN).find((kind) => kind !== decidedBy);
  const differs = statuses[other] !== null && statuses[other] !== statuses[decidedBy];
  const otherwise = differs ? `; by the ${NULL_OF[other]} it is ${statuses[other]}` : "";
  return `${tests.join(", ")}; the ${NULL_OF[decidedBy]} decides, at FDR ${ALPHA}${otherwise}`;
}

/** A probability as it stands in brackets, and where it is 0 what that means. */
function explained(value) {
  return value === 0 ? `0, ${zeroMeaning()}` : probability(value);
}

function expression(values) {
  const parts = ["observed", "prediction"]
    .filter((what) => values[`${what}_mean`] !== null)
    .map((what) => `${what} ${number(values[`${what}_mean`])} (sd ${number(values[`${what}_sd`])})`);
  if (values.reference_prediction !== null) parts.push(`for the reference ${number(values.reference_prediction)}`);
  return parts.join(", ") || null;
}

function supportWords({ support, driversWithheld }) {
  if (support === null) return [null];
  const { status, supported, unsupported } = support;
  if (status === "no drivers") return [badge(status), driversWithheld ? " that may be shown" : null];
  const shown = driversWithheld ? "drivers shown" : "drivers";
  return [badge(status), `: ${supported} of the ${shown} supported, ${unsupported} unsupported`];
}

function driversSection(store, answer) {
  const { drivers } = answer;
  return element(
    "section",
    { "aria-labelledby": "drivers-heading" },
    element("h3", { id: "drivers-heading" }, drivers?.length ? `Drivers (${count(drivers.length)})` : "Drivers"),
    drivers?.length ? variantTable(drivers) : element("p", {}, whyNoDrivers(store, answer)),
    withheldNote(answer),
    downloads(answer),
  );
}

function withheldNote({ driversWithheld, minPeople }) {
  if (!driversWithheld) return null;
  const few = minPeople === null ? "too few people" : `fewer than ${count(minPeople)} people`;
  const are = driversWithheld === 1 ? "is" : "are";
  const text = `${counted(driversWithheld, "driver")} of this gene ${are} not shown: carried, or not carried, by ${few}.`;
  return element("p", { class: "withheld" }, text);
}

function whyNoDrivers(store, { model, drivers, driversWithheld, values, damage }) {
  if (drivers !== null) return driversWithheld ? "none that may be shown" : "none";
  if (damage.length) return "unknown";
  return values.n_samples === null ? notThere(store, model) : UNDEFINED;
}

function notThere(store, model) {
  if (!store.isSummary) return "not filled";
  if (isOfTables(store, model)) return "not in the published tables";
  return "not in this summary: not filled, or too few people are behind it";
}

function variantTable(variants) {
  const heading = (column) => element("th", { scope: "col", class: classOf(column) }, column.heading);
  const scroller = element(
    "div",
    { class: "scroller", role: "region", "aria-labelledby": "drivers-heading" },
    element(
      "table",
      { id: "drivers" },
      element("thead", {}, element("tr", {}, ...DRIVER_COLUMNS.map(heading))),
      element(
        "tbody",
        {},
        ...variants.map((variant) =>
          element(
            "tr",
            { class: variant.main ? "main" : null },
            ...DRIVER_COLUMNS.map((column) => cell(column, variant)),
          ),
        ),
      ),
    ),
  );
  const table = element("div", {}, scroller, element("p", { class: "note" }, legendOf(DRIVER_COLUMNS)));
  makeScroller(scroller);
  return table;
}

function cell({ name, kind }, variant) {
  if (kind === "variant") {
    const mark = variant.main ? element("span", { class: "mark" }, "main") : null;
    return element("th", { scope: "row", class: "pinned" }, shortVariant(variant.variant), mark);
  }
  if (kind === "badge") return element("td", {}, badge(variant[name]));
  return element("td", { class: "number" }, formatted(variant[name], kind));
}

function downloads(answer) {
  const { drivers, variants } = answer;
  return element(
    "p",
    { class: "downloads" },
    drivers?.length ? downloadButton("Download drivers (CSV)", answer, "drivers", drivers) : null,
    variants?.length
      ? downloadButton(
          `Download ${counted(variants.length, "variant")} with ISM or slope (CSV)`,
          answer,
          "variants",
          variants,
        )
      : null,
  );
}

function downloadButton(text, answer, what, variants) {
  const button = element("button", { type: "button", class: "download", id: `download-${what}` }, text);
  button.addEventListener("click", () => {
    const rows = variants.map((variant) => VARIANT_FIELDS.map((field) => variant[field]));
    download(`${answer.gene.gene || answer.gene.id}_${answer.model}_${what}.csv`, csvText(VARIANT_FIELDS, rows));
  });
  return button;
}

/** A status with its colour; the word says it, too. */
function badge(word) {
  return element("span", { class: `badge ${word.replace(" ", "-")}` }, word);
}

/** A variant's name with its long alleles cut: an insertion may have thousands of letters. */
function shortVariant(name) {
  return name
    .split(":")
    .map((part) => short(part, 24))
    .join(":");
}
