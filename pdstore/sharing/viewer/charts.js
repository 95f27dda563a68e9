// Charts of a gene as SVG: scales, axes, marks; and the tooltip. A chart is drawn anew at the width that it has.

import { byId, element, fill, svg } from "./dom.js";
import { minus, short } from "./words.js";

const LINE = 15;
const TICK_SIZE = 12;
const TITLE_SIZE = 12.5;
let measure = null;

/** A linear scale from data to pixels, with its inverse. */
export function linear([low, high], [from, to]) {
  const factor = (to - from) / (high - low || 1);
  const scale = (value) => from + (value - low) * factor;
  scale.invert = (pixel) => low + (pixel - from) / (factor || 1);
  return scale;
}

/** Round numbers between two others, about so many. */
export function ticks(low, high, about) {
  const rough = (high - low) / Math.max(1, about);
  if (!(rough > 0) || !Number.isFinite(rough)) return [low];
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((each) => each >= rough * 0.999);
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) => (first + i) * step);
}

/** Tick labels, all with as many digits as tell them apart: powers of ten where all are tiny, or huge. */
export function tickLabels(values) {
  const step = values.length > 1 ? Math.abs(values[1] - values[0]) : Math.abs(values[0]) || 1;
  const largest = Math.max(...values.map(Math.abs));
  const power = (value) => Math.floor(Math.log10(value) + 1e-9);
  const decimals = Math.min(20, Math.max(0, -power(step)));
  const isPower = largest >= 1e6 || (largest < 1e-3 && largest > 0);
  const label = (value) => {
    if (Math.abs(value) < step / 2) return isPower ? "0" : (0).toFixed(decimals);
    if (isPower) return value.toExponential(Math.min(20, Math.max(0, power(Math.abs(value)) - power(step))));
    return value.toLocaleString("en-US", { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
  };
  return values.map((value) => minus(label(value).replace("e+", "e")));
}

/** Least and greatest of some numbers, with room around them. */
export function extent(values, room = 0.06) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (low > high) return [-1, 1];
  const margin = high > low || room === 0 ? (high - low) * room : Math.abs(high) * 0.1 || 1;
  return [low - margin, high + margin];
}

/**
 * Axes with their titles.
 * @param {{width: number, height: number, x: number[], y: number[], xTitle: string, yTitle: string}} options
 * @returns {{axes: SVGGElement, plot: {left, right, top, bottom}, x: Function, y: Function}}
 */
export function frame({ width, height, x: xDomain, y: yDomain, xTitle, yTitle }) {
  const yTicks = ticks(...yDomain, height / 50);
  const yLabels = tickLabels(yTicks);
  const left = 32 + Math.max(...yLabels.map((label) => textWidth(label, TICK_SIZE)));
  const xLines = wrapped(xTitle, width - left);
  const plot = { left, right: width - 10, top: 10, bottom: height - 26 - LINE * xLines.length };
  const x = linear(xDomain, [plot.left, plot.right]);
  const y = linear(yDomain, [plot.bottom, plot.top]);
  const xTicks = ticks(...xDomain, (plot.right - plot.left) / 75);
  const axes = svg("g", { class: "axes" });
  axes.append(svg("path", { class: "axis", d: `M${plot.left} ${plot.top}V${plot.bottom}H${plot.right}` }));
  tickLabels(xTicks).forEach((label, i) => {
    const at = x(xTicks[i]);
    axes.append(
      svg("path", { class: "axis", d: `M${at} ${plot.bottom}v4` }),
      svg("text", { x: at, y: plot.bottom + 17, "text-anchor": "middle" }, label),
    );
  });
  yLabels.forEach((label, i) => {
    const at = y(yTicks[i]);
    axes.append(
      svg("path", { class: "axis", d: `M${plot.left} ${at}h-4` }),
      svg("text", { x: plot.left - 7, y: at + 4, "text-anchor": "end" }, label),
    );
  });
  const middle = (plot.left + plot.right) / 2;
  xLines.forEach((line, i) => {
    axes.append(
      svg("text", { class: "title", x: middle, y: plot.bottom + 34 + LINE * i, "text-anchor": "middle" }, line),
    );
  });
  const across = fitted(yTitle, plot.bottom + 6);
  const turned = `translate(13 ${(plot.top + plot.bottom) / 2}) rotate(-90)`;
  axes.append(svg("text", { class: "title", transform: turned, "text-anchor": "middle" }, across));
  return { axes, plot, x, y };
}

/** Lines through zero, where it is in sight. */
export function zeroLines({ plot, x, y }, { vertical = true, horizontal = true } = {}) {
  const lines = [];
  const [atX, atY] = [x(0), y(0)];
  if (vertical && atX > plot.left && atX < plot.right) lines.push(`M${atX} ${plot.top}V${plot.bottom}`);
  if (horizontal && atY > plot.top && atY < plot.bottom) lines.push(`M${plot.left} ${atY}H${plot.right}`);
  return svg("path", { class: "zero", d: lines.join("") });
}

/** Many points as one path. */
export function dots(points, kind) {
  return svg("path", {
    class: `dots ${kind}`,
    d: points.map(([x, y]) => `M${x.toFixed(1)} ${y.toFixed(1)}h0`).join(""),
  });
}

/** A marker whose shape says as much as its colour: circle, triangle or square. */
export function marker(support, x, y, size = 5) {
  const shapes = {
    supported: `M${x - size} ${y}a${size} ${size} 0 1 0 ${2 * size} 0a${size} ${size} 0 1 0 ${-2 * size} 0z`,
    unsupported: `M${x} ${y - size * 1.15}l${size * 1.1} ${size * 2}h${-size * 2.2}z`,
    undetermined: `M${x - size * 0.85} ${y - size * 0.85}h${size * 1.7}v${size * 1.7}h${-size * 1.7}z`,
  };
  return svg("path", { class: `marker ${support}`, d: shapes[support] });
}

/** Where a label can stand above or below a point without lying on another, or beyond the plot; null where nowhere. */
export function placeLabel(at, taken, plot, below) {
  const width = 14;
  const away = below ? 15 : -15;
  const places = [
    [0, away],
    [14, away],
    [-14, away],
    [15, 0],
    [-15, 0],
    [0, -away],
  ];
  for (const [dx, dy] of places) {
    const [x, y] = [at[0] + dx, at[1] + dy];
    const isInside = x > plot.left + width / 2 && x < plot.right - width / 2 && y > plot.top + 6 && y < plot.bottom - 6;
    if (isInside && !taken.some((other) => Math.abs(other[0] - x) < width && Math.abs(other[1] - y) < 13)) {
      taken.push([x, y]);
      return [x, y + 4];
    }
  }
  return null;
}

/** A legend entry. */
export function legendEntry(mark, text) {
  const symbol = svg("svg", { class: "key", width: 18, height: 16, "aria-hidden": "true" }, mark);
  return element("li", {}, symbol, text);
}

/**
 * A figure that is drawn at the width that it has, and anew when that changes.
 * @param {{title: string, about: string, text: string, legend: Node[], height: number, draw: Function, wide: boolean}} options
 *   `text` is the alternative of the drawing; `draw(width, height)` gives {axes and marks: Node[], targets}, where a target
 *   {x, y, text} is what the pointer finds
 */
export function figure({ title, about, text, legend = [], height, draw, wide = false }) {
  const drawing = svg("svg", { role: "img", "aria-label": text, height });
  const node = element(
    "figure",
    { class: wide ? "chart wide" : "chart" },
    element("figcaption", {}, element("h3", {}, title), element("p", {}, about)),
    element("div", { class: "drawing" }, drawing),
    legend.length ? element("ul", { class: "legend" }, ...legend) : null,
  );
  let drawn = 0;
  let targets = [];
  new ResizeObserver(([entry]) => {
    const width = Math.floor(entry.contentRect.width);
    if (width < 50 || Math.abs(width - drawn) < 2) return;
    drawn = width;
    drawing.setAttribute("width", width);
    drawing.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const made = draw(width, height);
    targets = made.targets;
    fill(drawing, ...made.nodes);
  }).observe(drawing.parentNode);
  drawing.addEventListener("pointermove", (event) => {
    const box = drawing.getBoundingClientRect();
    const found = nearest(targets, event.clientX - box.left, event.clientY - box.top, 16);
    if (found) showTooltip(found.text, event.clientX, event.clientY);
    else hideTooltip();
  });
  drawing.addEventListener("pointerleave", hideTooltip);
  return node;
}

/** The target nearest to a place, within a distance. */
export function nearest(targets, x, y, within) {
  let found = null;
  let least = within ** 2;
  for (const target of targets) {
    const distance = (target.x - x) ** 2 + (target.y - y) ** 2;
    if (distance < least) [found, least] = [target, distance];
  }
  return found;
}

/** Show a text beside a place of the window. */
export function showTooltip(text, x, y) {
  const tooltip = byId("tooltip");
  fill(tooltip, text);
  tooltip.hidden = false;
  const box = tooltip.getBoundingClientRect();
  const beside = x + 14 + box.width > window.innerWidth ? x - 14 - box.width : x + 14;
  const below = y + 14 + box.height > window.innerHeight ? y - 14 - box.height : y + 14;
  tooltip.style.left = `${Math.max(4, beside)}px`;
  tooltip.style.top = `${Math.max(4, below)}px`;
}

/** Hide it. */
export function hideTooltip() {
  byId("tooltip").hidden = true;
}

/** Words of a title in lines of at most a width, px. */
function wrapped(text, width) {
  const lines = [""];
  for (const word of text.split(" ")) {
    const line = lines.at(-1);
    if (line && textWidth(`${line} ${word}`, TITLE_SIZE) > width) lines.push(word);
    else lines[lines.length - 1] = line ? `${line} ${word}` : word;
  }
  return lines.map((line) => fitted(line, width));
}

/** A title cut to a width, px. */
function fitted(text, width) {
  let letters = text.length;
  while (letters > 8 && textWidth(short(text, letters), TITLE_SIZE) > width) letters--;
  return short(text, letters);
}

/** Width of a text in the page's font, px. */
function textWidth(text, size) {
  measure ??= document.createElement("canvas").getContext("2d");
  measure.font = `${size}px ${getComputedStyle(document.body).fontFamily}`;
  return measure.measureText(text).width;
}
