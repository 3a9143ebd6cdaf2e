"use strict";
// What was said, as rows that follow the playback; without text, the turns.

const list = $("transcript");
const entries = segments.length ? segments : turns;
const rows = [];
const follow = { isOn: true };

function makeWho(id) {
  const who = element("button", "who", label(id));
  if (id === null || id === undefined) who.disabled = true;
  else {
    who.dataset.speaker = id;
    who.title = "Rename";
  }
  return who;
}

// Puts each word that is found in the text on its own; the text counts. Done for rows that come
// near the reader alone: ten hours have a hundred thousand words.
function cut(row) {
  if (!row.text || row.words) return;
  row.words = [];
  const text = row.entry.text;
  const pieces = [];
  let position = 0;
  for (const word of row.entry.words || []) {
    const at = text.indexOf(word.word, position);
    if (!word.word || at < 0) continue;
    if (at > position) pieces.push(text.slice(position, at));
    const span = element("span", "w", word.word);
    span.time = word.start;
    row.words.push({ start: word.start, end: word.end, span });
    pieces.push(span);
    position = at + word.word.length;
  }
  row.text.replaceChildren(...pieces, text.slice(position));
}

const near = new IntersectionObserver(
  (seen) => {
    for (const { isIntersecting, target } of seen) {
      if (!isIntersecting) continue;
      cut(target.row);
      near.unobserve(target);
    }
  },
  { rootMargin: "600px" },
);

function makeRow(entry, previous) {
  const node = element("li");
  const row = { node, entry, start: entry.start, end: entry.end, words: null, text: null };
  node.style.setProperty("--hue", hue(entry.speaker));
  const isNew = hasSpeakers && (!previous || previous.speaker !== entry.speaker || !segments.length);
  if (isNew) {
    node.className = "first";
    node.append(makeWho(entry.speaker));
  }
  const time = element("button", "time", clock(entry.start));
  time.time = entry.start;
  time.setAttribute("aria-label", `Go to ${clock(entry.start)}`);
  node.append(time);
  if (entry.text === undefined) {
    node.append(element("p", "length", `${(entry.end - entry.start).toFixed(1)} s`));
    return row;
  }
  row.text = element("p", "", entry.text);
  row.text.dir = "auto";
  node.append(row.text);
  if (entry.words) {
    node.row = row;
    near.observe(node);
  }
  const told = [entry.emotion, entry.event].filter((tag) => tag && !/^(neutral|speech|unknown)$/.test(tag));
  if (told.length) node.append(element("span", "tags", told.join(", ")));
  if (entry.flaw) node.append(element("span", "flaw", entry.flaw));
  return row;
}

function build() {
  const fragment = document.createDocumentFragment();
  entries.forEach((entry, index) => {
    const row = makeRow(entry, entries[index - 1]);
    rows.push(row);
    fragment.append(row.node);
  });
  list.append(fragment);
  if (!entries.length) {
    const text = (result.text || "").trim();
    list.replaceWith(element("p", text ? "plain" : "empty", text || "No speech was found."));
  }
}
build();

// --- what is heard now ---

const now = { row: null, word: null };

function mark(key, target) {
  if (now[key] === target) return false;
  if (now[key]) now[key].classList.remove("now");
  if (target) target.classList.add("now");
  now[key] = target;
  return true;
}

function showPosition() {
  const index = lastBefore(rows, state.position);
  const row = index < 0 ? null : rows[index];
  if (mark("row", row && row.node)) {
    list.querySelector("[aria-current]")?.removeAttribute("aria-current");
    if (row) row.node.setAttribute("aria-current", "true");
    if (row && follow.isOn) reveal(row.node);
  }
  if (row) cut(row);
  const word = row && row.words && row.words[lastBefore(row.words, state.position)];
  mark("word", word && state.position <= word.end + 0.5 ? word.span : null);
}

const calm = matchMedia("(prefers-reduced-motion: reduce)");

// Brings a row to where it is read, unless it is there: below the player, not at the very bottom.
function reveal(node) {
  const box = node.getBoundingClientRect();
  const top = $("player").getBoundingClientRect().bottom;
  if (box.top >= top && box.bottom <= innerHeight * 0.85) return;
  const jump = Math.abs(box.top) > 3 * innerHeight || calm.matches;
  node.scrollIntoView({ block: "start", behavior: jump ? "instant" : "smooth" });
}

function setFollow(isOn) {
  follow.isOn = isOn;
  $("follow").hidden = isOn || !rows.length;
  if (isOn && now.row) reveal(now.row);
}

// Who scrolls reads elsewhere: the page stays there.
for (const event of ["wheel", "touchmove"]) {
  addEventListener(event, () => !$("player").matches(":hover") && setFollow(false), { passive: true });
}
addEventListener("pointerdown", (event) => {
  if (event.clientX >= document.documentElement.clientWidth) setFollow(false); // the scroll bar
});

list.addEventListener("click", (event) => {
  const target = event.target.closest(".w, .time");
  if (!target || !getSelection().isCollapsed) return;
  seek(target.time);
});

// The row before or after the one that is heard.
function step(by) {
  const index = lastBefore(rows, state.position) + by;
  if (rows.length) seek(rows[Math.max(0, Math.min(index, rows.length - 1))].start);
}
