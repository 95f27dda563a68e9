// One gene's answer, as pdstore/query.py assembles it.

import { correlationStatus, COUNTS, FDR_COLUMN, STATISTICS } from "./genes.js";
import { StoreError } from "./errors.js";
import { known } from "./words.js";

const LEAD_EQTL = ["distance", "minor_allele_frequency", "pearson_r", "p_value"];
const MOST_BINS = 1_000;

/**
 * Everything that the store knows of a gene; its status is by the false discovery rate of `fdrKind`, of the published test
 * where that is null and the store has it.
 *
 * `drivers` and `variants` are null where the store has none, or not the chunks that hold them; `damage` has then what is
 * missing.
 */
export async function queryGene(store, genes, model, row, fdrKind) {
  const values = await readValues(store, model, row);
  const kind = fdrKind ?? (values.fdr === null ? "empirical" : "published");
  const window = windowOf(store, model);
  const [perVariant, withheld, lead, people] = await Promise.all([
    window === null ? null : readVariants(store, genes, model, window, row, values),
    store.readRow(`statistics/${model}/drivers_withheld`, row),
    store.isSummary ? readLeadEqtl(store, row) : null,
    readPeople(store, model, row),
  ]);
  const { variants = null, drivers = null, damage = [] } = perVariant ?? {};
  return {
    gene: Object.fromEntries(Object.entries(genes.columns).map(([name, column]) => [name, column[row]])),
    model,
    values,
    status: correlationStatus(values.pearson_r ?? NaN, values[FDR_COLUMN[kind]] ?? NaN),
    variants,
    drivers,
    driversWithheld: withheld !== null && withheld[0] > 0 ? withheld[0] : 0,
    support: supportOf(drivers),
    lead,
    people,
    damage,
  };
}

/** Whether ISM and eQTL slope have the same sign. */
export function support(ism, slope) {
  const agreement = Math.sign(ism ?? 0) * Math.sign(slope ?? 0);
  return agreement > 0 ? "supported" : agreement < 0 ? "unsupported" : "undetermined";
}

/** A gene's support by that of its drivers; null where they are not known. */
export function supportOf(drivers) {
  if (drivers === null) return null;
  const of = (word) => drivers.filter((driver) => driver.support === word).length;
  const [supported, unsupported] = [of("supported"), of("unsupported")];
  const mixed = supported ? (unsupported ? "mixed" : "supported") : "unsupported";
  const status = !drivers.length ? "no drivers" : supported + unsupported === 0 ? "undetermined" : mixed;
  return { status, supported, unsupported };
}

/** Contig, 1-based position, and what is known of reference and alternate allele. */
export function variantName(contig, position, ...alleles) {
  return [contig, position, ...alleles.filter(Boolean)].join(":");
}

/** A gene's statistics; null where the store has none, all where it is not filled. */
async function readValues(store, model, row) {
  const found = await Promise.all(STATISTICS.map((name) => store.readRow(`statistics/${model}/${name}`, row)));
  const values = Object.fromEntries(STATISTICS.map((name, i) => [name, orNull(found[i]?.[0])]));
  for (const name of COUNTS) if (values[name] < 0) values[name] = null;
  const isFilled = store.isSummary || values.n_samples !== null;
  return isFilled ? values : Object.fromEntries(STATISTICS.map((name) => [name, null]));
}

/** Name of a model's window; null where the store does not hold it. */
function windowOf(store, model) {
  const window = store.attributesOf(`predictions/${model}`).window;
  return typeof window === "string" && store.groups("windows").includes(window) ? window : null;
}

/** The variants of a gene's window that have an ISM or a slope, by position; the drivers of them, the main one first. */
async function readVariants(store, genes, model, window, row, values) {
  const slice = ["variant_start", "variant_count"].map((name) => `windows/${window}/${name}`);
  const [start, inWindow] = await Promise.all(slice.map((path) => store.readRow(path, row)));
  if (start === null || inWindow === null) return { damage: slice.filter((path) => store.has(path)) };
  if (!(inWindow[0] > 0)) return values.driver_count === null ? {} : { variants: [], drivers: [] };
  const paths = {
    rank: `statistics/${model}/driver_rank`,
    r: `statistics/${model}/pearson_r_with_prediction`,
    ism: `attributions/${model}/ism`,
    slope: `eqtl/${window}/slope`,
    p: `eqtl/${window}/p_value`,
  };
  const names = Object.keys(paths);
  const found = await Promise.all(names.map((name) => store.readRow(paths[name], row)));
  const of = Object.fromEntries(names.map((name, i) => [name, found[i]]));
  const damage = names.filter((name) => of[name] === null && store.has(paths[name])).map((name) => paths[name]);
  const columns = columnsWith(of);
  if (!columns.length) return { variants: null, drivers: driversOf([], of, values), damage };
  const low = start[0] + columns[0];
  const rows = columns.map((column) => start[0] + column - low);
  const about = await readRows(store, low, start[0] + columns.at(-1) + 1);
  const { contig, tss } = genes.columns;
  const variants = columns.map((column, i) => {
    const at = rows[i];
    const position = orNull(about.position?.[at]);
    const [ism, slope] = [of.ism, of.slope].map((numbers) => orNull(numbers?.[column]));
    const rank = of.rank?.[column] > 0 ? of.rank[column] : null;
    return {
      variant:
        position === null
          ? `${contig[row]}:unknown`
          : variantName(contig[row], position, about.ref?.[at], about.alt?.[at]),
      position,
      distance_to_tss: position === null ? null : position - tss[row],
      allele_frequency: orNull(about.allele_frequency?.[at]),
      ism,
      eqtl_slope: slope,
      eqtl_p: orNull(of.p?.[column]),
      pearson_r_with_prediction: orNull(of.r?.[column]),
      driver_rank: rank,
      main: rank === 1,
      support: support(ism, slope),
    };
  });
  const byPosition = variants
    .filter((variant) => variant.ism !== null || variant.eqtl_slope !== null)
    .sort((a, b) => a.position - b.position);
  return { variants: byPosition, drivers: driversOf(variants, of, values), damage };
}

/** Columns of variants that have a driver rank, an ISM or a slope. */
function columnsWith({ rank, ism, slope }) {
  const width = Math.max(...[rank, ism, slope].map((values) => values?.length ?? 0));
  return Array.from({ length: width }, (_, column) => column).filter(
    (column) => rank?.[column] > 0 || known(ism?.[column]) || known(slope?.[column]),
  );
}

/** The drivers, the main one first; null where they are undefined, or where the chunk that ranks them is missing. */
function driversOf(variants, { rank }, values) {
  if (values.driver_count === null || (rank === null && values.driver_count > 0)) return null;
  return variants.filter((variant) => variant.driver_rank !== null).sort((a, b) => a.driver_rank - b.driver_rank);
}

/** What variants/ has of some rows. */
async function readRows(store, start, stop) {
  const fields = ["position", "ref", "alt", "allele_frequency"];
  const found = await Promise.all(fields.map((field) => store.readRange(`variants/${field}`, start, stop)));
  return Object.fromEntries(fields.map((field, i) => [field, found[i]]));
}

async function readLeadEqtl(store, row) {
  const found = await Promise.all(LEAD_EQTL.map((field) => store.readRow(`lead_eqtl/${field}`, row)));
  const lead = Object.fromEntries(LEAD_EQTL.map((field, i) => [field, orNull(found[i]?.[0])]));
  return lead.pearson_r === null ? null : lead;
}

/** Observed and predicted expression: of people in a full store, of cells in a summary; null where there is neither. */
async function readPeople(store, model, row) {
  const scatter = `scatter/${model}`;
  if (store.has(`${scatter}/people`)) return readDensity(store, scatter, row);
  const observed = store.has("expression/residual") ? "expression/residual" : "expression/observed";
  const [x, y] = await Promise.all(
    [observed, `predictions/${model}/expression`].map((path) => store.readRow(path, row)),
  );
  if (x === null || y === null || x.length !== y.length) return null;
  const points = Array.from(x, (value, person) => [value, y[person]]).filter((point) => point.every(Number.isFinite));
  return points.length ? { points, residual: observed.endsWith("residual") } : null;
}

async function readDensity(store, group, row) {
  const [, observedBins, predictionBins] = store.shape(`${group}/people`);
  if (!(observedBins <= MOST_BINS && predictionBins <= MOST_BINS)) {
    throw new StoreError("refused", `${group}/people has too many cells for this page.`);
  }
  const { min_people: minPeople, residualised } = store.attributesOf(group);
  const [people, ...edges] = await Promise.all(
    ["people", "observed_edge", "prediction_edge"].map((array) => store.readRow(`${group}/${array}`, row)),
  );
  const isGrid = edges.every((edge) => edge?.every(Number.isFinite));
  if (people === null || !isGrid || !people.some((number) => number > 0)) return null;
  const cells = [];
  people.forEach((number, i) => {
    if (number > 0) cells.push({ x: Math.floor(i / predictionBins), y: i % predictionBins, people: number });
  });
  return {
    cells,
    edges: edges.map((edge) => Array.from(edge)),
    minPeople: known(minPeople) ? minPeople : null,
    residual: residualised === true,
  };
}

function orNull(value) {
  return known(value) ? value : null;
}
