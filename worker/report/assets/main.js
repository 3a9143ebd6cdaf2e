"use strict";
// The header, the names, the keys, and the clock that moves everything.

function describe() {
  const title = result.audio.id || page.name;
  document.title = `${title} – who spoke when`;
  $("title").textContent = title;
  const facts = [clock(duration)];
  if (hasSpeakers) facts.push(speakers.size === 1 ? "1 speaker" : `${speakers.size} speakers`);
  if (result.language) facts.push(languageName(result.language));
  if (segments.length) facts.push(`${segments.length.toLocaleString("en")} utterances`);
  else if (turns.length) facts.push(`${turns.length.toLocaleString("en")} turns`);
  $("facts").textContent = facts.join(" · ");
  $("total").textContent = clock(duration);
  for (const note of result.notes || []) $("notes").append(element("li", "", note));
  $("notes").hidden = !(result.notes || []).length;
  const models = [...new Set(Object.values(result.models || {}))].join(", ");
  $("models").textContent = models ? `Models: ${models}.` : "";
  setAudio(Boolean(audio.src));
  $("finder").hidden = !rows.some((row) => row.text);
  for (const kind of offered()) {
    const button = element("button", "", kind.toUpperCase());
    button.addEventListener("click", () => save(kind));
    $("exports").append(button);
  }
}

function languageName(code) {
  try {
    return new Intl.DisplayNames("en", { type: "language" }).of(code) || code;
  } catch {
    return code; // the worker's own codes need not be those of BCP 47
  }
}

// --- names ---

function listSpeakers() {
  for (const [id, speaker] of speakers) {
    const item = element("li");
    const share = duration ? Math.round((100 * speaker.duration) / duration) : 0;
    const score = speaker.score === undefined ? "" : `, known with a score of ${speaker.score}`;
    const who = makeWho(id);
    item.style.setProperty("--hue", hue(id));
    item.title = `${speaker.duration.toFixed(1)} s in ${speaker.turns} turns, ${share} %${score}`;
    item.append(who, element("span", "share", `${share} %`));
    $("names").append(item);
  }
  $("diarization").hidden = !speakers.size;
}

document.addEventListener("renamed", ({ detail }) => {
  for (const who of document.querySelectorAll(".who")) {
    if (who.dataset.speaker === detail) who.textContent = label(detail);
  }
});

function edit(who) {
  const id = who.dataset.speaker;
  const input = element("input", "rename");
  input.value = label(id);
  input.maxLength = MAX_NAME;
  input.dir = "auto";
  input.setAttribute("aria-label", `New name of ${label(id)}`);
  who.replaceWith(input);
  input.select();
  let isOpen = true;
  const close = (isTaken) => {
    if (!isOpen) return;
    isOpen = false;
    input.replaceWith(who);
    if (isTaken) announce(rename(id, input.value));
  };
  input.addEventListener("keydown", (event) => {
    if (event.isComposing || (event.key !== "Enter" && event.key !== "Escape")) return;
    event.preventDefault();
    event.stopPropagation();
    close(event.key === "Enter");
    who.focus();
  });
  input.addEventListener("blur", () => close(true));
}

document.addEventListener("click", (event) => {
  const who = event.target.closest(".who");
  if (who && who.dataset.speaker) edit(who);
});

// --- the clock ---

function update() {
  if (audio.readyState > 0) state.position = Math.min(audio.currentTime, duration);
  $("position").textContent = clock(state.position);
  movePlayhead();
  showPosition();
}

let frame = 0;
function run() {
  update();
  frame = audio.paused ? 0 : requestAnimationFrame(run);
}
for (const event of ["seeking", "seeked", "timeupdate"]) audio.addEventListener(event, update);
document.addEventListener("moved", update);
wave.on("interaction", (time) => seek(time));
audio.addEventListener("play", () => {
  $("play").setAttribute("aria-label", "Pause");
  document.body.classList.add("playing");
  if (!frame) run();
});
audio.addEventListener("pause", () => {
  $("play").setAttribute("aria-label", "Play");
  document.body.classList.remove("playing");
});

// --- controls and keys ---

const dark = matchMedia("(prefers-color-scheme: dark)");
const measured = new ResizeObserver(([player]) => {
  document.documentElement.style.setProperty("--player-height", `${player.target.offsetHeight}px`);
});
measured.observe($("player"));

$("play").addEventListener("click", togglePlay);
$("follow").addEventListener("click", () => setFollow(true));
$("speed").addEventListener("change", (event) => (audio.playbackRate = Number(event.target.value)));
$("zoom").addEventListener("input", (event) => zoom(event.target.value / 100));
$("choose").addEventListener("change", (event) => event.target.files[0] && open(event.target.files[0]));
$("help-button").addEventListener("click", () => $("help").showModal());
$("theme").addEventListener("click", () => {
  const chosen = document.documentElement.dataset;
  const isDark = chosen.theme ? chosen.theme === "dark" : dark.matches;
  chosen.theme = isDark ? "light" : "dark";
  recolour();
});
dark.addEventListener("change", recolour);

function recolour() {
  wave.setOptions(waveColours());
  drawSoon();
}

const KEYS = {
  " ": togglePlay,
  ArrowLeft: (event) => (event.shiftKey ? step(-1) : seek(state.position - 5)),
  ArrowRight: (event) => (event.shiftKey ? step(1) : seek(state.position + 5)),
  "/": () => $("query").focus(),
  "?": () => $("help").showModal(),
  f: () => setFollow(true),
};

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || $("help").open) return;
  if (["PageUp", "PageDown", "Home", "End", "ArrowUp", "ArrowDown"].includes(event.key)) {
    setFollow(false);
    return;
  }
  if (event.target.closest("input, select")) return;
  // A button that the keyboard has brought up is pressed by it.
  if (event.key === " " && event.target.matches("button:focus-visible")) return;
  const act = Object.hasOwn(KEYS, event.key) && KEYS[event.key];
  if (!act) return;
  event.preventDefault();
  act(event);
});

listSpeakers();
describe();
drawSoon();
update();
document.documentElement.dataset.ready = "true";
