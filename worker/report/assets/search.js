"use strict";
// Finds words in the transcript, marks them, and goes from one to the next.

const MARKED = 200; // hits before and after the one that is shown; thousands make scrolling slow
const found = { hits: [], current: -1 };
const canMark = "highlights" in CSS;

// The nodes of a row's text that hold a stretch of it.
function rangeOf({ row, start, end }) {
  cut(row); // later, it would take the nodes of the range away
  const range = new Range();
  const walker = document.createTreeWalker(row.text, NodeFilter.SHOW_TEXT);
  let position = 0;
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const after = position + node.length;
    if (start >= position && start < after) range.setStart(node, start - position);
    if (end > position && end <= after) {
      range.setEnd(node, end - position);
      break;
    }
    position = after;
  }
  return range;
}

function find(wanted) {
  const words = wanted.trim().split(/\s+/).filter(Boolean);
  found.hits = [];
  found.current = -1;
  if (words.length) {
    const literal = words.map((word) => word.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&"));
    const pattern = new RegExp(literal.join("\\s+"), "giu");
    rows.forEach((row, index) => {
      if (!row.text) return;
      for (const match of segments[index].text.matchAll(pattern)) {
        found.hits.push({ row, start: match.index, end: match.index + match[0].length });
      }
    });
  }
  // From where the reader is.
  const from = found.hits.findIndex((hit) => hit.row.end >= state.position);
  show(Math.max(0, from));
}

function show(index) {
  const { hits } = found;
  document.querySelector(".hit")?.classList.remove("hit");
  found.current = hits.length ? (index + hits.length) % hits.length : -1;
  const hit = hits[found.current];
  if (canMark) {
    const near = hits.slice(Math.max(0, found.current - MARKED), found.current + MARKED + 1);
    CSS.highlights.set("hit", new Highlight(...near.map(rangeOf)));
    CSS.highlights.set("here", new Highlight(...(hit ? [rangeOf(hit)] : [])));
  }
  if (hit) {
    hit.row.node.classList.add("hit");
    setFollow(false);
    reveal(hit.row.node);
  }
  const isAsked = Boolean($("query").value.trim());
  $("count").textContent = !isAsked ? "" : hit ? `${found.current + 1} of ${hits.length}` : "none";
  for (const id of ["previous", "next"]) $(id).disabled = !hit;
}

let typing = 0;
$("query").addEventListener("input", (event) => {
  clearTimeout(typing);
  typing = setTimeout(() => find(event.target.value), rows.length > 2000 ? 250 : 0);
});
$("query").addEventListener("keydown", (event) => {
  if (event.key === "Enter") show(found.current + (event.shiftKey ? -1 : 1));
  else if (event.key === "Escape") {
    event.target.value = "";
    find("");
    event.target.blur();
  } else return;
  event.preventDefault();
});
$("next").addEventListener("click", () => show(found.current + 1));
$("previous").addEventListener("click", () => show(found.current - 1));
