// The search box: a combobox with suggestions, as the ARIA Authoring Practices describe it.

import { byId, element, fill } from "./dom.js";
import { label } from "./genes.js";
import { counted, short } from "./words.js";

const MOST = 10;

/** Set up the search box: `open(row)` is called with the gene that is chosen. */
export function setUpSearch(genes, open) {
  const input = byId("search");
  const list = byId("suggestions");
  let rows = [];
  let active = -1;

  const close = () => {
    rows = [];
    active = -1;
    fill(list);
    list.hidden = true;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  };

  const choose = (row) => {
    close();
    input.value = "";
    say("");
    open(row);
  };

  /** Closes the list; where none is open, empties the box. */
  const escape = () => {
    if (list.hidden) input.value = "";
    close();
    say("");
  };

  const activate = (index) => {
    active = index;
    [...list.children].forEach((option, i) => option.setAttribute("aria-selected", String(i === index)));
    if (index < 0) return input.removeAttribute("aria-activedescendant");
    input.setAttribute("aria-activedescendant", `suggestion-${index}`);
    list.children[index].scrollIntoView({ block: "nearest" });
  };

  const suggest = () => {
    close();
    rows = genes.suggest(input.value, MOST);
    fill(list, ...rows.map((row, i) => suggestion(genes, row, i, () => choose(row))));
    list.hidden = rows.length === 0;
    input.setAttribute("aria-expanded", String(rows.length > 0));
    // The list is there to see.
    if (rows.length) say(counted(rows.length, "suggestion"), "visually-hidden");
    else say(input.value.trim() ? "No gene has a name like this." : "");
  };

  const submit = () => {
    if (active >= 0) return choose(rows[active]);
    const found = genes.find(input.value);
    if (found.length === 1) return choose(found[0]);
    const wanted = short(input.value.trim(), 40);
    if (!wanted) return say("Type a gene's symbol or Ensembl identifier.");
    if (found.length > 1) {
      const ids = found.slice(0, MOST).map((row) => genes.columns.id[row]);
      return say(`${found.length} genes are called ${wanted}: ask for one of ${ids.join(", ")}`);
    }
    if (rows.length === 1) return choose(rows[0]);
    const close = rows.length
      ? `; close are ${rows
          .slice(0, 5)
          .map((row) => label(genes, row))
          .join(", ")}`
      : "";
    return say(`No gene ${wanted} in the store${close}.`);
  };

  input.addEventListener("input", suggest);
  input.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" && rows.length) activate((active + 1) % rows.length);
    else if (event.key === "ArrowUp" && rows.length) activate(active <= 0 ? rows.length - 1 : active - 1);
    else if (event.key === "Escape") escape();
    else return;
    event.preventDefault();
  });
  input.addEventListener("blur", () => close());
  // Another gene is shown: what was looked for is done with.
  addEventListener("hashchange", () => {
    input.value = "";
    close();
    say("");
  });
  byId("search-form").addEventListener("submit", (event) => {
    event.preventDefault();
    submit();
  });
  input.disabled = false;
}

function suggestion(genes, row, index, choose) {
  const option = element(
    "li",
    { role: "option", id: `suggestion-${index}`, "aria-selected": "false" },
    element("strong", {}, short(label(genes, row), 40)),
    element("span", {}, `${short(genes.columns.id[row], 40)}  ${short(genes.place(row), 40)}`),
  );
  // Before the box loses its focus, which closes the list.
  option.addEventListener("pointerdown", (event) => event.preventDefault());
  option.addEventListener("click", choose);
  return option;
}

function say(text, look = "") {
  byId("search-said").className = look;
  fill(byId("search-said"), text);
}
