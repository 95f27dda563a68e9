// The page of one gene: what `pdstore query` prints of it, and its figures.

import { csvText, download } from "./csv.js";
import { element } from "./dom.js";
import { ismFigure, predictionFigure, slopesFigure } from "./gene_charts.js";
import { count, counted, distance, known, minus, number, short, UNKNOWN } from "./words.js";

const VARIANT_FIELDS = [
  "variant",
  "position",
  "distance_to_tss",
  "allele_frequency",
  "ism",
  "eqtl_slope",
  "eqtl_p",
  "pearson_r_with_prediction",
  "driver_rank",
  "main",
  "support",
];
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
    ["significance", significance(values)],
    ["expression", expression(values)],
    ["support", ...supportWords(store, answer)],
    lead && [
      "lead eQTL",
      `R = ${number(lead.pearson_r)} (p = ${number(lead.p_value)}), ${number(lead.distance, 0)} bp from the TSS`,
    ],
  ].filter((fact) => fact && fact[1] !== null);
}

/** As `pdstore query` says it: R with its interval over how many people, and the status. */
function correlation(store, { model, values, status }) {
  const people = values.n_samples;
  if (values.pearson_r === null) {
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
  const p = values.p_value === null ? "" : `, p = ${number(values.p_value)}`;
  return [`R = ${number(values.pearson_r)}${interval}${over}${p}: `, badge(status ?? "significance unknown")];
}

function significance(values) {
  const tests = [];
  if (values.null_p !== null) {
    const test = `t = ${number(values.null_t, 2)}, p = ${number(values.null_p)}`;
    tests.push(`published null FDR ${number(values.fdr)} (${test})`);
  }
  if (values.empirical_p !== null) {
    tests.push(`empirical FDR ${number(values.empirical_fdr)} (p = ${number(values.empirical_p)})`);
  }
  if (tests.length) return tests.join(", ");
  return values.pearson_r === null ? null : "no null";
}

function expression(values) {
  const parts = ["observed", "prediction"]
    .filter((what) => values[`${what}_mean`] !== null)
    .map((what) => `${what} ${number(values[`${what}_mean`])} (sd ${number(values[`${what}_sd`])})`);
  if (values.reference_prediction !== null) parts.push(`for the reference ${number(values.reference_prediction)}`);
  return parts.join(", ") || null;
}

function supportWords(store, { support }) {
  if (support === null) return [null];
  const { status, supported, unsupported } = support;
  const counts = status === "no drivers" ? "" : `: ${supported} of the drivers supported, ${unsupported} unsupported`;
  return [badge(status), counts];
}

function driversSection(store, answer) {
  const { drivers, driversWithheld } = answer;
  const withheld = driversWithheld
    ? element(
        "p",
        { class: "withheld" },
        `${counted(driversWithheld, "driver")} of this gene carried by too few people: not shown.`,
      )
    : null;
  return element(
    "section",
    { "aria-labelledby": "drivers-heading" },
    element("h3", { id: "drivers-heading" }, drivers?.length ? `Drivers (${count(drivers.length)})` : "Drivers"),
    drivers?.length ? variantTable(drivers) : element("p", {}, whyNoDrivers(store, answer)),
    withheld,
    downloads(answer),
  );
}

function whyNoDrivers(store, { model, drivers, values, damage }) {
  if (drivers !== null) return "none";
  if (damage.length) return "unknown";
  return values.n_samples === null ? notThere(store, model) : UNDEFINED;
}

function notThere(store, model) {
  if (!store.isSummary) return "not filled";
  const ofPeople = store.has(`statistics/${model}/drivers_withheld`);
  return ofPeople ? "not in this summary: not filled, or too few people are behind it" : "not in the published tables";
}

function variantTable(variants) {
  const headings = ["variant", "to TSS", "AF", "ISM", "slope", "slope p", "R", "support"];
  const head = headings.map((heading, i) =>
    element("th", { scope: "col", class: i > 0 && i < headings.length - 1 ? "number" : null }, heading),
  );
  const rows = variants.map((variant) => {
    const numbers = [
      variant.allele_frequency,
      variant.ism,
      variant.eqtl_slope,
      variant.eqtl_p,
      variant.pearson_r_with_prediction,
    ];
    return element(
      "tr",
      { class: variant.main ? "main" : null },
      element(
        "th",
        { scope: "row" },
        shortVariant(variant.variant),
        variant.main ? element("span", { class: "mark" }, "main") : null,
      ),
      element("td", { class: "number" }, distance(variant.distance_to_tss)),
      ...numbers.map((value) => element("td", { class: "number" }, known(value) ? number(value) : UNKNOWN)),
      element("td", {}, badge(variant.support)),
    );
  });
  const about =
    "To TSS: bp along the contig. AF: allele frequency. Slope: eQTL effect per alternate allele. R: of the variant's term " +
    "with the prediction. Main: of the largest increment.";
  const table = element(
    "table",
    { id: "drivers" },
    element("thead", {}, element("tr", {}, ...head)),
    element("tbody", {}, ...rows),
  );
  const scroller = element(
    "div",
    { class: "scroller", role: "region", tabindex: 0, "aria-labelledby": "drivers-heading" },
    table,
  );
  return element("div", {}, scroller, element("p", { class: "note" }, about));
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
