// The figures of a gene: predicted against observed expression, ISM against eQTL slope, ISM along the window.

import { dots, extent, figure, frame, legendEntry, marker, placeLabel, zeroLines } from "./charts.js";
import { svg } from "./dom.js";
import { count, counted, distance, known, number, short } from "./words.js";

const SUPPORTS = ["supported", "unsupported", "undetermined"];
const ISM_TITLE = "ISM (readout, alternate − reference)";
/** Drivers that are numbered. */
const LABELLED = 6;
/** bp; nearer variants are shown in bp. */
const KILOBASES_FROM = 2_000;
const HEIGHT = 320;

/** Predicted against observed expression: a point a person, or how many people are in a cell. Null where neither is known. */
export function predictionFigure(answer) {
  if (answer.people === null) return null;
  return answer.people.points ? peopleFigure(answer) : densityFigure(answer);
}

/** ISM against eQTL slope; null where no variant has both. */
export function slopesFigure(answer) {
  const variants = (answer.variants ?? []).filter(({ ism, eqtl_slope: slope }) => ism !== null && slope !== null);
  if (!variants.length) return null;
  const drivers = (answer.drivers ?? []).filter(({ ism, eqtl_slope: slope }) => ism !== null && slope !== null);
  const others = variants.filter(({ driver_rank: rank }) => rank === null);
  const of = (word) => drivers.filter(({ support }) => support === word).length;
  const draw = (width, height) => {
    const x = extent([0, ...variants.map((variant) => variant.eqtl_slope)]);
    const y = extent([0, ...variants.map((variant) => variant.ism)]);
    const titles = { xTitle: "eQTL slope (expression per alternate allele)", yTitle: ISM_TITLE };
    const axes = frame({ width, height, x, y, ...titles });
    const place = (variant) => [axes.x(variant.eqtl_slope), axes.y(variant.ism)];
    return {
      nodes: [
        quadrants(axes),
        axes.axes,
        zeroLines(axes),
        dots(others.map(place), "other"),
        ...drivers.toReversed().map((driver) => marker(driver.support, ...place(driver))),
        ...rankLabels(drivers, place, axes.plot),
      ],
      targets: variants.map((variant) => target(place(variant), variant)),
    };
  };
  return figure({
    title: "ISM against eQTL slope",
    about:
      "A point a variant; numbers are ranks of drivers. A driver whose ISM has the sign of its eQTL slope, in the shaded " +
      "quadrants, is supported.",
    text:
      `ISM against eQTL slope of ${counted(variants.length, "variant")}. Drivers: ${of("supported")} supported, ` +
      `${of("unsupported")} unsupported, ${of("undetermined")} undetermined. The values are in the table of drivers.`,
    legend: supportLegend(drivers, others),
    height: HEIGHT,
    draw,
  });
}

/** ISM of every variant along the window, drivers numbered; null where no variant has an ISM. */
export function ismFigure(answer) {
  const variants = (answer.variants ?? []).filter(({ ism, position }) => ism !== null && position !== null);
  if (!variants.length) return null;
  const drivers = (answer.drivers ?? []).filter(({ ism, position }) => ism !== null && position !== null);
  const others = variants.filter(({ driver_rank: rank }) => rank === null);
  const [, reach] = extent(
    variants.map((variant) => Math.abs(variant.distance_to_tss)),
    0,
  );
  const [unit, scale] = reach >= KILOBASES_FROM ? ["kb", 1e-3] : ["bp", 1];
  const reading = answer.gene.strand === "+" ? "to the right (+)" : "to the left (−)";
  const contig = short(answer.gene.contig, 20);
  const draw = (width, height) => {
    const x = extent([0, ...variants.map((variant) => variant.distance_to_tss * scale)], 0.03);
    const y = extent([0, ...variants.map((variant) => variant.ism)], 0.14);
    const xTitle = `distance to the TSS along contig ${contig} (${unit}); the gene reads ${reading}`;
    const axes = frame({ width, height, x, y, xTitle, yTitle: ISM_TITLE });
    const place = (variant) => [axes.x(variant.distance_to_tss * scale), axes.y(variant.ism)];
    const foot = axes.y(0);
    const stems = (which) =>
      which
        .map(place)
        .map(([px, py]) => `M${px.toFixed(1)} ${foot.toFixed(1)}V${py.toFixed(1)}`)
        .join("");
    return {
      nodes: [
        axes.axes,
        zeroLines(axes),
        svg("path", { class: "stems other", d: stems(others) }),
        dots(others.map(place), "other"),
        ...SUPPORTS.map((word) =>
          svg("path", { class: `stems ${word}`, d: stems(drivers.filter(({ support }) => support === word)) }),
        ),
        ...drivers.toReversed().map((driver) => marker(driver.support, ...place(driver))),
        ...rankLabels(drivers, place, axes.plot),
      ],
      targets: variants.map((variant) => target(place(variant), variant)),
    };
  };
  const main = drivers.find((driver) => driver.main);
  const ofMain = main
    ? ` The main driver, ${main.variant}, lies ${distance(main.distance_to_tss)} bp from the TSS: ISM ${number(main.ism)}, ` +
      `${main.support}.`
    : "";
  const least = answer.minPeople;
  const carried = least === null ? "" : ` that at least ${count(least)} people carry and ${count(least)} do not`;
  return figure({
    title: "ISM along the window",
    about: `A stem a variant${carried}; numbers are ranks of drivers.`,
    text: `ISM of ${counted(variants.length, "variant")} along the window.${ofMain} The values are in the table of drivers.`,
    legend: supportLegend(drivers, others),
    height: HEIGHT,
    draw,
    wide: true,
  });
}

function peopleFigure(answer) {
  const { points, residual } = answer.people;
  const line = leastSquares(points);
  const ends = extent(
    points.map((point) => point[0]),
    0,
  );
  const draw = (width, height) => {
    const x = extent(ends);
    const y = extent([...points.map((point) => point[1]), ...(line ? ends.map(line) : [])]);
    const axes = frame({ width, height, x, y, ...expressionTitles(answer, residual) });
    const places = points.map(([observed, predicted]) => [axes.x(observed), axes.y(predicted)]);
    const fit =
      line &&
      svg("path", {
        class: "fit",
        d: `M${axes.x(ends[0])} ${axes.y(line(ends[0]))}L${axes.x(ends[1])} ${axes.y(line(ends[1]))}`,
      });
    const targets = points.map(([observed, predicted], i) => ({
      x: places[i][0],
      y: places[i][1],
      text: `observed ${number(observed)}, predicted ${number(predicted)}`,
    }));
    return { nodes: [axes.axes, dots(places, "people"), ...(fit ? [fit] : [])], targets };
  };
  return figure({
    title: "Predicted against observed expression",
    about: `A point a person, ${counted(points.length, "person").replace("persons", "people")}; the line is of least squares.`,
    text: `Predicted against observed expression of ${count(points.length)} people, R ${number(answer.values.pearson_r)}.`,
    height: HEIGHT,
    draw,
  });
}

function densityFigure(answer) {
  const { minPeople } = answer;
  const { cells, edges, residual } = answer.people;
  const people = cells.reduce((sum, cell) => sum + cell.people, 0);
  const [least, most] = cells.length
    ? extent(
        cells.map((cell) => cell.people),
        0,
      )
    : [0, 1];
  const opacity = (number) => (0.15 + 0.85 * Math.sqrt(number / most)).toFixed(3);
  const draw = (width, height) => {
    const [x, y] = edges.map((each) => [each[0], each.at(-1)]);
    const axes = frame({
      width,
      height,
      x: x[0] < x[1] ? x : extent(x),
      y: y[0] < y[1] ? y : extent(y),
      ...expressionTitles(answer, residual),
    });
    const boxes = cells.map((cell) => {
      const [left, right] = [axes.x(edges[0][cell.x]), axes.x(edges[0][cell.x + 1])];
      const [bottom, top] = [axes.y(edges[1][cell.y]), axes.y(edges[1][cell.y + 1])];
      return { cell, left, top, width: Math.max(0, right - left), height: Math.max(0, bottom - top) };
    });
    const rectangles = boxes.map((box) =>
      svg("rect", {
        class: "cell",
        x: box.left,
        y: box.top,
        width: box.width,
        height: box.height,
        "fill-opacity": opacity(box.cell.people),
      }),
    );
    const range = (axis, i) => `${number(edges[axis][i])} to ${number(edges[axis][i + 1])}`;
    const targets = boxes.map(({ cell, ...box }) => ({
      x: box.left + box.width / 2,
      y: box.top + box.height / 2,
      text: `${count(cell.people)} people: observed ${range(0, cell.x)}, predicted ${range(1, cell.y)}`,
    }));
    return { nodes: [...rectangles, axes.axes], targets };
  };
  const shown = cells.length ? [...new Set([least, Math.round((least + most) / 2), most])] : [];
  const withheld =
    minPeople === null ? "an empty cell is not known" : `an empty cell has fewer than ${count(minPeople)} people`;
  return figure({
    title: "Predicted against observed expression",
    about: `People in cells of a coarse grid, ${count(people)} of them; ${withheld}.`,
    text:
      `How many people have which observed and predicted expression: ${count(people)} people in ` +
      `${counted(cells.length, "cell")}, ` +
      `R ${number(answer.values.pearson_r)}.`,
    legend: shown.map((number) =>
      legendEntry(
        svg("rect", { class: "cell", width: 14, height: 14, y: 1, "fill-opacity": opacity(number) }),
        `${count(number)} people`,
      ),
    ),
    height: HEIGHT,
    draw,
  });
}

function expressionTitles(answer, residual = false) {
  return {
    xTitle: `observed expression${residual ? ", what covariates explain taken out" : ""} (units of the source)`,
    yTitle: `predicted by ${short(answer.model, 24)} (readout)`,
  };
}

/** Ranks of the first drivers beside their markers, where they lie on no other. */
function rankLabels(drivers, place, plot) {
  const taken = [];
  return drivers.slice(0, LABELLED).flatMap((driver) => {
    const at = placeLabel(place(driver), taken, plot, driver.ism < 0);
    return at === null
      ? []
      : [svg("text", { class: `rank ${driver.support}`, x: at[0], y: at[1] }, driver.driver_rank)];
  });
}

/** The quadrants in which ISM and slope have the same sign. */
function quadrants({ plot, x, y }) {
  const [atX, atY] = [x(0), y(0)];
  return svg("path", {
    class: "quadrant",
    d: `M${atX} ${plot.top}H${plot.right}V${atY}H${atX}zM${plot.left} ${atY}H${atX}V${plot.bottom}H${plot.left}z`,
  });
}

function supportLegend(drivers, others) {
  const entries = SUPPORTS.map((word) => [word, drivers.filter(({ support }) => support === word).length])
    .filter(([, number]) => number > 0)
    .map(([word, number]) => legendEntry(marker(word, 8, 8), `${counted(number, "driver")} ${word}`));
  return others.length
    ? [...entries, legendEntry(dots([[8, 8]], "other"), counted(others.length, "other variant"))]
    : entries;
}

function target([x, y], variant) {
  const rank = variant.driver_rank === null ? "" : `driver ${variant.driver_rank}, `;
  return {
    x,
    y,
    text:
      `${short(variant.variant, 60)}, ${rank}${distance(variant.distance_to_tss)} bp: ISM ${number(variant.ism)}, ` +
      `slope ${number(variant.eqtl_slope)}, ${variant.support}`,
  };
}

/** The line of least squares; null where the points do not vary. */
function leastSquares(points) {
  const mean = (axis) => points.reduce((sum, point) => sum + point[axis], 0) / points.length;
  const [meanX, meanY] = [mean(0), mean(1)];
  const sxx = points.reduce((sum, [x]) => sum + (x - meanX) ** 2, 0);
  const sxy = points.reduce((sum, [x, y]) => sum + (x - meanX) * (y - meanY), 0);
  return sxx > 0 && known(sxy) ? (x) => meanY + (sxy / sxx) * (x - meanX) : null;
}
