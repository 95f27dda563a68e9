// The volcano of all genes: R against −log10 of the false discovery rate, on a canvas, with zoom.

import { extent, frame, hideTooltip, legendEntry, nearest, showTooltip, zeroLines } from "./charts.js";
import { FDR_COLUMN, NULL_OF } from "./columns.js";
import { byId, fill, svg } from "./dom.js";
import { ALPHA, label } from "./genes.js";
import { count, counted, minus, number, zeroMeaning } from "./words.js";

/** Smaller false discovery rates are drawn here, as triangles: those of the published test reach 0. */
const SMALLEST_FDR = 1e-50;
const STATUSES = ["not significant", "correlated", "anticorrelated"];
const HEIGHT = 420;
/** Furthest that one can zoom in, as a share of everything. */
const CLOSEST = 1e-3;
const STEP = 1.5;
/** Width of the picture of a point, and its shapes. */
const STAMP = 10;
const DOT = "M2.4 5a2.6 2.6 0 1 0 5.2 0a2.6 2.6 0 1 0 -5.2 0z";
const TRIANGLE = "M5 1l4 8h-8z";

/** The volcano in the element #volcano; `open(row)` is called with the gene that is chosen. */
export class Volcano {
  #genes = null;
  #points = [];
  #full = null;
  #view = null;
  #scales = null;
  #targets = [];
  #cursor = null;
  #open;
  #width = 0;
  #pointers = new Map();
  #drag = null;

  constructor(open) {
    this.#open = open;
    this.canvas = byId("volcano-canvas");
    this.overlay = byId("volcano-overlay");
    this.box = byId("volcano-drawing");
    byId("zoom-in").addEventListener("click", () => this.#zoom(1 / STEP));
    byId("zoom-out").addEventListener("click", () => this.#zoom(STEP));
    byId("zoom-reset").addEventListener("click", () => this.#show(this.#full));
    this.box.addEventListener("wheel", (event) => this.#onWheel(event), { passive: false });
    this.box.addEventListener("keydown", (event) => this.#onKey(event));
    this.box.addEventListener("pointerdown", (event) => this.#onDown(event));
    this.box.addEventListener("pointermove", (event) => this.#onMove(event));
    this.box.addEventListener("pointerup", (event) => this.#onUp(event));
    this.box.addEventListener("pointercancel", (event) => this.#forget(event));
    this.box.addEventListener("pointerleave", hideTooltip);
    this.box.addEventListener("blur", () => {
      this.#moveCursor(null);
      hideTooltip();
    });
    new ResizeObserver(([entry]) => {
      const width = Math.floor(entry.contentRect.width);
      if (width < 50 || width === this.#width) return;
      this.#width = width;
      this.#draw();
    }).observe(this.box);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#draw());
  }

  /** Show other genes, or another false discovery rate. */
  update(genes, columns, fdrKind) {
    this.#genes = genes;
    this.#cursor = null;
    const fdr = columns[FDR_COLUMN[fdrKind]];
    const r = columns.pearson_r;
    const rows = Array.from(r.keys()).filter((row) => Number.isFinite(r[row]) && Number.isFinite(fdr[row]));
    const least = rows.reduce((smallest, row) => (fdr[row] > 0 ? Math.min(smallest, fdr[row]) : smallest), 1);
    const hasZero = rows.some((row) => fdr[row] <= 0);
    // Zeros lie above whatever can be drawn where it is.
    const floor = Math.max(SMALLEST_FDR, hasZero ? least / 10 : 0);
    this.#points = rows.map((row) => ({
      row,
      r: r[row],
      fdr: fdr[row],
      height: -Math.log10(Math.max(fdr[row], floor)) + 0,
      below: fdr[row] < floor,
      status: columns.status[row],
    }));
    const reach = Math.min(1, extent(this.#points.map((point) => Math.abs(point.r)).concat(0.1), 0.05)[1]);
    const heights = this.#points.map((point) => point.height);
    const top = 1.05 * Math.max(2, -Math.log10(ALPHA), extent(heights, 0)[1]);
    this.#full = { x: [-reach, reach], y: [-0.02 * top, top], fdrKind };
    this.#describe(floor, genes.count, fdrKind);
    this.#show(this.#full);
  }

  #describe(floor, genes, fdrKind) {
    const of = (status) => this.#points.filter((point) => point.status === status).length;
    const below = this.#points.filter((point) => point.below).length;
    const entries = STATUSES.map((status) => {
      const key = svg("circle", { class: `status ${status.replace(" ", "-")}`, cx: 8, cy: 8, r: 4 });
      return legendEntry(key, `${status} (${count(of(status))})`);
    });
    if (below) {
      const text = `FDR below ${minus(String(floor.toExponential(0)))}, or 0: at the top (${count(below)})`;
      entries.push(legendEntry(svg("path", { class: "floor", d: "M8 3l5 9h-10z" }), text));
    }
    fill(byId("volcano-legend"), ...entries);
    const about = this.#points.length
      ? `${count(this.#points.length)} of ${counted(genes, "gene")} ${this.#points.length === 1 ? "has" : "have"} R and ${fdrKind} FDR.`
      : `The store has no ${fdrKind} FDR of this model: its genes are in the table.`;
    fill(byId("volcano-about"), about);
    this.overlay.setAttribute(
      "aria-label",
      `R against the ${fdrKind} false discovery rate. ${about} ` +
        `${STATUSES.map((status) => `${of(status)} ${status}`).join(", ")}. ` +
        "The table of genes has the same values.",
    );
    byId("volcano-figure").classList.toggle("empty", !this.#points.length);
  }

  #show(view) {
    this.#view = { x: [...view.x], y: [...view.y], fdrKind: view.fdrKind };
    const isFull = this.#share() > 0.999;
    byId("zoom-out").disabled = isFull;
    byId("zoom-reset").disabled = isFull;
    // One finger scrolls the page until there is something to move.
    this.box.classList.toggle("zoomed", !isFull);
    this.box.dataset.view = JSON.stringify({ x: this.#view.x, y: this.#view.y });
    this.#draw();
  }

  #share() {
    const span = ([low, high]) => high - low;
    return Math.max(span(this.#view.x) / span(this.#full.x), span(this.#view.y) / span(this.#full.y));
  }

  /** Zoom by a factor around a place of the box, its middle where not given. */
  #zoom(factor, at = null) {
    if (!this.#points.length || !this.#scales) return;
    const { plot, x, y } = this.#scales;
    const middle =
      this.#cursor === null ? [(plot.left + plot.right) / 2, (plot.top + plot.bottom) / 2] : this.#place(this.#cursor);
    const [px, py] = at ?? middle;
    const around = (centre, [low, high], full) =>
      within([centre + (low - centre) * factor, centre + (high - centre) * factor], full);
    this.#show({
      ...this.#view,
      x: around(x.invert(px), this.#view.x, this.#full.x),
      y: around(y.invert(py), this.#view.y, this.#full.y),
    });
  }

  #pan(dx, dy) {
    const { x, y } = this.#scales;
    const moved = (scale, [low, high], by, full) => {
      const shift = scale.invert(0) - scale.invert(by);
      const least = full[0] - low;
      const most = full[1] - high;
      const kept = Math.min(most, Math.max(least, shift));
      return [low + kept, high + kept];
    };
    this.#show({
      ...this.#view,
      x: moved(x, this.#view.x, dx, this.#full.x),
      y: moved(y, this.#view.y, dy, this.#full.y),
    });
  }

  #place(point) {
    return [this.#scales.x(point.r), this.#scales.y(point.height)];
  }

  #draw() {
    if (!this.#view || !this.#width) return;
    const [width, height] = [this.#width, HEIGHT];
    const yTitle = `−log₁₀ FDR (${NULL_OF[this.#view.fdrKind]})`;
    const axes = frame({ width, height, x: this.#view.x, y: this.#view.y, xTitle: "Pearson's R over people", yTitle });
    this.#scales = axes;
    const { plot } = axes;
    for (const [name, value] of Object.entries({ width, height, viewBox: `0 0 ${width} ${height}` })) {
      this.overlay.setAttribute(name, value);
    }
    const lineAt = axes.y(-Math.log10(ALPHA));
    const isLineShown = this.#points.length > 0 && lineAt > plot.top && lineAt < plot.bottom;
    fill(
      this.overlay,
      axes.axes,
      zeroLines(axes, { horizontal: false }),
      isLineShown ? svg("path", { class: "alpha", d: `M${plot.left} ${lineAt}H${plot.right}` }) : null,
      isLineShown
        ? svg("text", { class: "alpha", x: plot.right, y: lineAt - 4, "text-anchor": "end" }, `FDR ${ALPHA}`)
        : null,
      svg("circle", { id: "volcano-cursor", r: 8, cx: -20, cy: -20 }),
      svg("rect", { id: "volcano-band" }),
    );
    this.#drawPoints(width, height);
    this.#moveCursor(this.#cursor);
  }

  #drawPoints(width, height) {
    const ratio = window.devicePixelRatio || 1;
    this.canvas.width = width * ratio;
    this.canvas.height = height * ratio;
    this.canvas.style.width = `${width}px`;
    this.canvas.style.height = `${height}px`;
    const context = this.canvas.getContext("2d");
    context.scale(ratio, ratio);
    const { plot } = this.#scales;
    const isInSight = ([x, y]) =>
      x >= plot.left - 1 && x <= plot.right + 1 && y >= plot.top - 1 && y <= plot.bottom + 1;
    const styles = getComputedStyle(this.box);
    this.#targets = [];
    for (const status of STATUSES) {
      const colour = styles.getPropertyValue(`--${status.replace(" ", "-")}`);
      const [dot, triangle] = [DOT, TRIANGLE].map((shape) => stamp(new Path2D(shape), colour, ratio));
      context.globalAlpha = status === "not significant" ? 0.45 : 0.8;
      for (const point of this.#points) {
        if (point.status !== status) continue;
        const [x, y] = this.#place(point);
        if (!isInSight([x, y])) continue;
        this.#targets.push({ x, y, point });
        context.drawImage(point.below ? triangle : dot, x - STAMP / 2, y - STAMP / 2, STAMP, STAMP);
      }
    }
  }

  #text(point) {
    const fdr = point.fdr === 0 ? `0 (${zeroMeaning()})` : number(point.fdr);
    return `${label(this.#genes, point.row)}: R ${number(point.r)}, FDR ${fdr}, ${point.status}`;
  }

  /** Move the ring to a gene and say which it is; none where null, or where it is out of sight. */
  #moveCursor(point) {
    const ring = byId("volcano-cursor");
    this.#cursor = point;
    if (!ring || !this.#scales) return;
    const [x, y] = point === null ? [-20, -20] : this.#place(point);
    ring.setAttribute("cx", x);
    ring.setAttribute("cy", y);
    if (point === null) return;
    const box = this.box.getBoundingClientRect();
    showTooltip(this.#text(point), box.left + x, box.top + y);
    fill(byId("volcano-said"), this.#text(point));
  }

  /** The next gene from the cursor in a direction, of those in sight. */
  #next(dx, dy) {
    if (this.#cursor === null) return this.#targets.at(-1)?.point ?? null;
    const [x, y] = this.#place(this.#cursor);
    let found = this.#cursor;
    let least = Infinity;
    for (const target of this.#targets) {
      const along = (target.x - x) * dx + (target.y - y) * dy;
      if (along <= 0.5) continue;
      const cost = along + 3 * Math.abs((target.x - x) * dy + (target.y - y) * dx);
      if (cost < least) [found, least] = [target.point, cost];
    }
    return found;
  }

  #onKey(event) {
    const directions = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const direction = directions[event.key];
    const zooms = { "+": 1 / STEP, "=": 1 / STEP, "-": STEP };
    if (!this.#points.length || event.ctrlKey || event.metaKey || event.altKey) return;
    if (direction && event.shiftKey) this.#pan(-60 * direction[0], -60 * direction[1]);
    else if (direction) this.#moveCursor(this.#next(...direction));
    else if (event.key in zooms) this.#zoom(zooms[event.key]);
    else if (event.key === "0") this.#show(this.#full);
    else if (event.key === "Enter" && this.#cursor !== null) this.#choose(this.#cursor);
    else if (event.key !== "Escape") return;
    else {
      this.#moveCursor(null);
      hideTooltip();
    }
    event.preventDefault();
  }

  #choose(point) {
    hideTooltip();
    this.#open(point.row);
  }

  #onWheel(event) {
    if (!this.#points.length) return;
    const isFull = this.#share() > 0.999;
    // Out of everything there is nothing more to zoom out of: the page scrolls.
    if (event.deltaY > 0 && isFull) return;
    event.preventDefault();
    this.#zoom(event.deltaY > 0 ? STEP ** 0.5 : STEP ** -0.5, this.#at(event));
  }

  #at(event) {
    const box = this.box.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  #onDown(event) {
    if (!this.#points.length || event.button !== 0) return;
    const at = this.#at(event);
    this.#pointers.set(event.pointerId, at);
    const pans = event.pointerType !== "mouse" || event.shiftKey;
    this.#drag = this.#pointers.size === 1 ? { from: at, pans, moved: false } : null;
    if (event.pointerType === "mouse") this.box.setPointerCapture(event.pointerId);
  }

  #onMove(event) {
    const at = this.#at(event);
    const before = this.#pointers.get(event.pointerId);
    if (!before) {
      const found = nearest(this.#targets, ...at, 12);
      this.box.classList.toggle("over", found !== null);
      if (found) showTooltip(this.#text(found.point), event.clientX, event.clientY);
      else hideTooltip();
      return;
    }
    this.#pointers.set(event.pointerId, at);
    if (this.#pointers.size === 2) this.#pinch(event.pointerId, before, at);
    else if (this.#drag) this.#dragTo(before, at);
  }

  #pinch(moving, before, at) {
    const [, other] = [...this.#pointers].find(([id]) => id !== moving);
    const apart = (point) => Math.hypot(point[0] - other[0], point[1] - other[1]);
    if (apart(at) > 5 && apart(before) > 5)
      this.#zoom(apart(before) / apart(at), [(at[0] + other[0]) / 2, (at[1] + other[1]) / 2]);
  }

  #dragTo(before, at) {
    const { from, pans } = this.#drag;
    if (Math.hypot(at[0] - from[0], at[1] - from[1]) > 4) this.#drag.moved = true;
    if (!this.#drag.moved) return;
    hideTooltip();
    if (pans) this.#pan(at[0] - before[0], at[1] - before[1]);
    else this.#band(from, at);
  }

  /** Show what will be zoomed into. */
  #band(from, at) {
    const band = byId("volcano-band");
    const [x, y] = [0, 1].map((axis) => Math.min(from[axis], at[axis]));
    const [width, height] = [0, 1].map((axis) => Math.abs(from[axis] - at[axis]));
    for (const [name, value] of Object.entries({ x, y, width, height })) band.setAttribute(name, value);
  }

  #onUp(event) {
    const at = this.#at(event);
    const drag = this.#drag;
    this.#forget(event);
    if (!drag) return;
    if (!drag.moved) {
      const found = nearest(this.#targets, ...at, event.pointerType === "mouse" ? 12 : 22);
      if (found) this.#choose(found.point);
    } else if (!drag.pans) {
      this.#zoomInto(drag.from, at);
    }
  }

  #zoomInto(from, at) {
    const { x, y } = this.#scales;
    const between = (scale, a, b, view, full) => {
      const ends = [scale.invert(a), scale.invert(b)].sort((one, other) => one - other);
      return Math.abs(a - b) < 8 ? view : within(ends, full);
    };
    this.#show({
      ...this.#view,
      x: between(x, from[0], at[0], this.#view.x, this.#full.x),
      y: between(y, from[1], at[1], this.#view.y, this.#full.y),
    });
  }

  #forget(event) {
    this.#pointers.delete(event.pointerId);
    this.#drag = null;
    this.#band([0, 0], [0, 0]);
  }
}

/** A picture of a point: thousands of copies of it are drawn in the time of a few hundred paths. */
function stamp(path, colour, ratio) {
  const picture = document.createElement("canvas");
  picture.width = STAMP * ratio;
  picture.height = STAMP * ratio;
  const context = picture.getContext("2d");
  context.scale(ratio, ratio);
  context.fillStyle = colour;
  context.fill(path);
  return picture;
}

/** A span inside the whole one, neither wider nor closer than is allowed. */
function within([low, high], full) {
  const whole = full[1] - full[0];
  const span = Math.min(whole, Math.max(whole * CLOSEST, high - low));
  const middle = (low + high) / 2;
  const start = Math.min(full[1] - span, Math.max(full[0], middle - span / 2));
  return [start, start + span];
}
