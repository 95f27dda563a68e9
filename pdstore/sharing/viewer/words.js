// Values and names as a person reads them: the words of pdstore/words.py, with the minus sign of print.

/** Controls, formats (marks of direction among them), halves of letters, letters of nobody, ends of lines. */
const NO_LETTERS = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}]/gu;

/** What stands where the store has no value. */
export const UNKNOWN = "–";

const GROUPED = new Intl.NumberFormat("en-US");

/** Text without what is no letter: a name in a shared store must not turn a line around. */
export function plain(text) {
  return String(text).replace(NO_LETTERS, " ");
}

/** Text of at most so many letters. */
export function short(text, longest) {
  return text.length <= longest ? text : `${text.slice(0, longest - 1)}…`;
}

/** Whether there is a number. */
export function known(value) {
  return typeof value === "number" && Number.isFinite(value);
}

/** A number for a person; a dash where the store has none. */
export function number(value, digits = 3) {
  if (!known(value)) return UNKNOWN;
  if (value !== 0 && Math.abs(value) < 10 ** -digits) {
    return minus(value.toExponential(1).replace(/e([+-])(\d)$/, "e$10$2"));
  }
  return minus(fixed(value, digits));
}

/** A count; a dash where the store has none. */
export function count(value) {
  return known(value) ? GROUPED.format(value) : UNKNOWN;
}

/** A probability, or a false discovery rate: 0 is what the store has, and no small number that was rounded. */
export function probability(value) {
  return value === 0 ? "0" : number(value);
}

/** What a probability of 0 means: a table may have it so, rounded; what was computed is smaller than any number stored. */
export function zeroMeaning(isPublished = false) {
  return isPublished ? "as published" : "too small to be stored";
}

/** A count and a noun, in the singular where it is one. */
export function counted(value, what) {
  return `${count(value)} ${value === 1 ? what : `${what}s`}`;
}

/** A distance along the contig, always with its sign. */
export function distance(value) {
  if (!known(value)) return UNKNOWN;
  return `${value < 0 ? "−" : "+"}${count(Math.abs(value))}`;
}

const FORMATS = { number, count, probability, distance };

/** A value of a kind of columns.js. */
export function formatted(value, kind) {
  return FORMATS[kind](value);
}

/** A text with minus signs for hyphens. */
export function minus(text) {
  return text.replaceAll("-", "−");
}

/** As Python rounds: toFixed takes the larger of two equally near, Python the even one. */
function fixed(value, digits) {
  if (!Number.isInteger(value * 2 ** (digits + 1))) return value.toFixed(digits);
  const scaled = value * 10 ** digits;
  const below = Math.floor(scaled);
  const tie = scaled - below === 0.5;
  return tie ? ((below % 2 === 0 ? below : below + 1) / 10 ** digits).toFixed(digits) : value.toFixed(digits);
}
