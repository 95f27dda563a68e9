// Tables as CSV files.

import { element } from "./dom.js";
import { plain } from "./words.js";

const FORMULA = /^[=+\-@]/;

/**
 * A CSV text (RFC 4180, lines end in a line feed as pdstore's do).
 * @param {string[]} header
 * @param {Array<Array<string|number|boolean|null>>} rows
 */
export function csvText(header, rows) {
  return [header, ...rows].map((row) => `${row.map(cell).join(",")}\n`).join("");
}

/** Hand a CSV file to the person. */
export function download(name, text) {
  const url = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  const safe = plain(name)
    .replace(/[^\w.-]+/g, "_")
    .replace(/^\.+/, "");
  const link = element("a", { href: url, download: safe });
  link.click();
  // The browser reads it after this turn of the event loop.
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

function cell(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "";
  if (typeof value !== "string") return String(value);
  const text = harmless(plain(value));
  return /[",]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** A spreadsheet would run a text that begins like a formula: an apostrophe makes it text. A strand is a sign alone. */
function harmless(text) {
  const start = text.trimStart();
  const isNumber = start !== "" && Number.isFinite(Number(start));
  return FORMULA.test(start) && start.length > 1 && !isNumber ? `'${text}` : text;
}
