// One gene's answer, as pdstore/query.py assembles it.

import { COUNTS, FDR_COLUMN, STATISTICS } from "./columns.js";
import { StoreError } from "./errors.js";
import { correlationStatus } from "./genes.js";
import { known } from "./words.js";

const LEAD_EQTL = ["distance", "minor_allele_frequency", "pearson_r", "p_value"];
const MOST_BINS = 1_000;

/**
 * Everything that the store knows of a gene; its status is by the false discovery rate of `fdrKind`, of the published test
 * where that is null, of the other one where the gene has not that; `statuses` has the status by each.
 *
 * `minPeople` is, of a summary, how many people are behind whatever is shown, and carry a variant and do not, at least.
 * `drivers` and `variants` are null where the store has none, or not the chunks that hold them; `damage` has then what is
 * missing.
 */
export async function queryGene(store, genes, model, row, fdrKind) {
  const [values, lostValues] = await readValues(store, model, row);
  const statuses = Object.fromEntries(
    Object.entries(FDR_COLUMN).map(([kind, fdr]) => [
      kind,
      correlationStatus(values.pearson_r ?? NaN, values[fdr] ?? NaN),
    ]),
  );
  const kinds = fdrKind === "empirical" ? ["empirical", "published"] : ["published", "empirical"];
  const decidedBy = kinds.find((kind) => values[FDR_COLUMN[kind]] !== null) ?? null;
  const window = windowOf(store, model);
  const [perVariant, lead, { people, damage: damageOfPeople }] = await Promise.all([
    window === null ? null : readVariants(store, genes, model, window, row, values),
    store.isSummary ? readLeadEqtl(store, row) : null,
    readPeople(store, model, row, values),
  ]);
  const { variants = null, drivers = null, damage = [] } = perVariant ?? {};
  return {
    gene: Object.fromEntries(Object.entries(genes.columns).map(([name, column]) => [name, column[row]])),
    model,
    values,
    status: statuses[decidedBy] ?? null,
    statuses,
    decidedBy,
    variants,
    drivers,
    driversWithheld: values.drivers_withheld ?? 0,
    minPeople: orNull(store.attributesOf(`scatter/${model}`).min_people),
    support: supportOf(drivers),
    lead,
    people,
    damage: [...lostValues, ...damage, ...damageOfPeople],
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

/** A gene's statistics, null where the store has none, all where it is not filled; and the arrays whose chunk is lost. */
async function readValues(store, model, row) {
  const paths = STATISTICS.map((name) => `statistics/${model}/${name}`);
  const found = await Promise.all(paths.map((path) => store.readRow(path, row)));
  const values = Object.fromEntries(STATISTICS.map((name, i) => [name, orNull(found[i]?.[0])]));
  for (const name of COUNTS) if (values[name] < 0) values[name] = null;
  const isFilled = store.isSummary || values.n_samples !== null;
  if (!isFilled) return [Object.fromEntries(STATISTICS.map((name) => [name, null])), []];
  return [values, paths.filter((path) => store.lacks(path, row, row + 1))];
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
  // What was never filled is not lost.
  const isFilled = (store.isSummary ? values.driver_count : values.n_samples) !== null;
  const lost = names.filter((name) => of[name] === null && store.has(paths[name]));
  const damage = isFilled ? lost.map((name) => paths[name]) : [];
  const columns = columnsWith(of);
  if (!columns.length) return { variants: null, drivers: driversOf([], of, values), damage };
  const low = start[0] + columns[0];
  const rows = columns.map((column) => start[0] + column - low);
  const [about, lostRows] = await readRows(store, low, start[0] + columns.at(-1) + 1);
  damage.push(...lostRows);
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

/** What variants/ has of some rows; and the arrays of it that lack a chunk of them. */
async function readRows(store, start, stop) {
  const fields = ["position", "ref", "alt", "allele_frequency"];
  const found = await Promise.all(fields.map((field) => store.readRange(`variants/${field}`, start, stop)));
  const lost = fields.map((field) => `variants/${field}`).filter((path) => store.lacks(path, start, stop));
  return [Object.fromEntries(fields.map((field, i) => [field, found[i]])), lost];
}

async function readLeadEqtl(store, row) {
  const found = await Promise.all(LEAD_EQTL.map((field) => store.readRow(`lead_eqtl/${field}`, row)));
  const lead = Object.fromEntries(LEAD_EQTL.map((field, i) => [field, orNull(found[i]?.[0])]));
  return lead.pearson_r === null ? null : lead;
}

/** Observed and predicted expression: of people in a full store, of cells in a summary; null where there is neither. */
async function readPeople(store, model, row, values) {
  const scatter = `scatter/${model}`;
  if (store.has(`${scatter}/people`)) {
    // Of genes without R there is none.
    return values.pearson_r === null ? { people: null, damage: [] } : readDensity(store, scatter, row);
  }
  const observed = store.has("expression/residual") ? "expression/residual" : "expression/observed";
  const paths = [observed, `predictions/${model}/expression`];
  const [x, y] = await Promise.all(paths.map((path) => store.readRow(path, row)));
  if (x === null || y === null || x.length !== y.length) {
    return {
      people: null,
      damage: values.n_samples > 0 ? paths.filter((path) => store.lacks(path, row, row + 1)) : [],
    };
  }
  const points = Array.from(x, (value, person) => [value, y[person]]).filter((point) => point.every(Number.isFinite));
  return { people: points.length ? { points, residual: observed.endsWith("residual") } : null, damage: [] };
}

async function readDensity(store, group, row) {
  const [, observedBins, predictionBins] = store.shape(`${group}/people`);
  if (!(observedBins <= MOST_BINS && predictionBins <= MOST_BINS)) {
    throw new StoreError("refused", `${group}/people has too many cells for this page.`);
  }
  const { residualised } = store.attributesOf(group);
  const paths = ["people", "observed_edge", "prediction_edge"].map((array) => `${group}/${array}`);
  const [people, ...edges] = await Promise.all(paths.map((path) => store.readRow(path, row)));
  const isGrid = edges.every((edge) => edge?.every(Number.isFinite));
  if (people === null || !isGrid || !people.some((number) => number > 0)) {
    return { people: null, damage: paths.filter((path) => store.lacks(path, row, row + 1)) };
  }
  const cells = [];
  people.forEach((number, i) => {
    if (number > 0) cells.push({ x: Math.floor(i / predictionBins), y: i % predictionBins, people: number });
  });
  return {
    people: {
      cells,
      edges: edges.map((edge) => Array.from(edge)),
      residual: residualised === true,
    },
    damage: [],
  };
}

function orNull(value) {
  return known(value) ? value : null;
}
