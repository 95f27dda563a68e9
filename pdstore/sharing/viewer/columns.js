// The columns of genes and of variants: what is read, what the tables show, and what the CSV files have, each said once.

/** Statistics of a gene, in the order in which pdstore writes them. */
export const STATISTICS = [
  "n_samples",
  "pearson_r",
  "r_ci_low",
  "r_ci_high",
  "p_value",
  "null_mean",
  "null_sd",
  "null_t",
  "null_p",
  "fdr",
  "empirical_p",
  "empirical_fdr",
  "observed_mean",
  "observed_sd",
  "prediction_mean",
  "prediction_sd",
  "reference_prediction",
  "linear_approximation_r",
  "driver_count",
  "fraction_supported",
  "weighted_fraction_supported",
  "drivers_withheld",
];
/** Those of them that only a summary of people has. */
export const OF_SUMMARIES = ["drivers_withheld"];
/** Those that are counts: -1 where they are not filled, or not known. */
export const COUNTS = ["n_samples", "driver_count", "drivers_withheld"];

/** Kind of a false discovery rate → its column. */
export const FDR_COLUMN = { published: "fdr", empirical: "empirical_fdr" };
/** Kind of a false discovery rate → what it is of. */
export const NULL_OF = { published: "published null", empirical: "empirical null" };

/**
 * The table of genes: column → heading, of what kind its values are, whether its first click sorts from the highest, and
 * what is said below the table. A column is shown where the store has values of it; with `insteadOf`, where it has none of
 * that other one. An `upper` is the upper end of an interval.
 */
export const GENE_COLUMNS = [
  { name: "gene", heading: "gene", kind: "gene" },
  { name: "pearson_r", heading: "R", kind: "number", falling: true, about: "Pearson's, over people" },
  {
    name: "r_ci_low",
    upper: "r_ci_high",
    heading: "95% interval",
    kind: "interval",
    falling: true,
    about: "of R, by bootstrap",
  },
  { name: "n_samples", heading: "people", kind: "count", falling: true },
  {
    name: "reference_prediction",
    heading: "prediction",
    kind: "number",
    falling: true,
    about: "for the reference sequence",
    insteadOf: "pearson_r",
  },
  { name: "p_value", heading: "p", kind: "probability", about: "of R, two-sided" },
  { name: "fdr", heading: "FDR", kind: "probability", about: "of the published null" },
  { name: "empirical_fdr", heading: "empirical FDR", kind: "probability" },
  { name: "status", heading: "correlation", kind: "word" },
  { name: "driver_count", heading: "drivers", kind: "count", falling: true },
  {
    name: "drivers_withheld",
    heading: "withheld",
    kind: "count",
    falling: true,
    about: "drivers that too few people carry, or do not carry, to be shown",
  },
  {
    name: "fraction_supported",
    heading: "supported",
    kind: "number",
    falling: true,
    about: "fraction of drivers whose ISM has the sign of the eQTL slope",
  },
  { name: "support", heading: "support", kind: "word" },
  { name: "contig", heading: "TSS", kind: "place" },
  { name: "id", heading: "identifier", kind: "text" },
];

/** The variants of a gene, as CSV files have them: those of `pdstore query`. */
export const VARIANT_FIELDS = [
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

/** The table of drivers: field → heading, of what kind its values are, and what is said below the table. */
export const DRIVER_COLUMNS = [
  { name: "driver_rank", heading: "rank", kind: "count", about: "1 is the main driver, then by falling increment" },
  { name: "variant", heading: "variant", kind: "variant" },
  { name: "distance_to_tss", heading: "to TSS (bp)", kind: "distance", about: "along the contig" },
  { name: "allele_frequency", heading: "AF", kind: "number", about: "frequency of the alternate allele" },
  {
    name: "ism",
    heading: "ISM",
    kind: "number",
    about: "readout with the alternate allele minus that of the reference",
  },
  { name: "eqtl_slope", heading: "slope", kind: "number", about: "eQTL effect on expression per alternate allele" },
  { name: "eqtl_p", heading: "slope p", kind: "probability" },
  {
    name: "pearson_r_with_prediction",
    heading: "R",
    kind: "number",
    about: "of the variant's own term, ISM × dosage, with the prediction",
  },
  { name: "support", heading: "support", kind: "badge" },
];

const NUMERIC = ["number", "interval", "count", "probability", "distance"];

/** Whether the values of a column are numbers. */
function isNumeric({ kind }) {
  return NUMERIC.includes(kind);
}

/** Columns of numbers of the table of genes, both ends of an interval. */
export const SHOWN_STATISTICS = GENE_COLUMNS.filter(isNumeric).flatMap(({ name, upper }) =>
  upper ? [name, upper] : [name],
);

/** Class of the cells of a column: numbers stand to the right, names stay in sight when the table is scrolled sideways. */
export function classOf(column) {
  return isNumeric(column) ? "number" : ["gene", "variant"].includes(column.kind) ? "pinned" : null;
}

/** What is said below a table of its columns. */
export function legendOf(columns) {
  return columns
    .filter(({ about }) => about)
    .map(({ heading, about }) => `${heading}: ${about}`)
    .join("; ");
}
