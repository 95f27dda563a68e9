// A table that may be wider than the page: it scrolls sideways, and says so.

import { element } from "./dom.js";

const MORE = "The table goes on: scroll it sideways.";

/** Make an element scroll a table sideways: where that is wider, a line above says so, and its edges fade where it goes on. */
export function makeScroller(scroller) {
  const cue = element("p", { class: "cue", hidden: true }, MORE);
  const box = element("div", { class: "scroll-box" });
  scroller.replaceWith(cue, box);
  box.append(scroller);
  const look = () => {
    const beyond = scroller.scrollWidth - scroller.clientWidth;
    const isWider = beyond > 1;
    cue.hidden = !isWider;
    box.classList.toggle("more-before", isWider && scroller.scrollLeft > 1);
    box.classList.toggle("more-after", isWider && scroller.scrollLeft < beyond - 1);
    // A stop of the keyboard only where there is something to scroll.
    if (isWider) scroller.setAttribute("tabindex", "0");
    else scroller.removeAttribute("tabindex");
  };
  scroller.addEventListener("scroll", look, { passive: true });
  const watched = new ResizeObserver(look);
  watched.observe(scroller);
  watched.observe(scroller.firstElementChild);
}
