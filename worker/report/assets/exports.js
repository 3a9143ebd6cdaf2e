"use strict";
// The worker's own files, with the names that the reader gave: equal to them where none was given.

const LINE_CHARACTERS = 42;
const TYPES = {
  srt: "application/x-subrip",
  rttm: "text/plain",
  txt: "text/plain",
  json: "application/json",
};

const milliseconds = (seconds) => Math.round(seconds * 1000);

function longClock(time, point) {
  const pad = (value, digits) => String(value).padStart(digits, "0");
  const seconds = Math.floor(time / 1000);
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor(seconds / 60) % 60;
  return `${pad(hours, 2)}:${pad(minutes, 2)}:${pad(seconds % 60, 2)}${point}${pad(time % 1000, 3)}`;
}

const idOf = (number) => `SPEAKER_${String(number).padStart(2, "0")}`;

// The lines of a cue, with another name in the place of the first; a longer one gets its own line.
function linesOf([, , lines, number, name]) {
  const id = idOf(number);
  if (!name || !renamed.has(id)) return lines;
  let shown = `${label(id)}:`;
  if (shown.length > LINE_CHARACTERS) shown = `${shown.slice(0, LINE_CHARACTERS - 2)}…:`;
  const first = shown + lines[0].slice(name.length);
  if (first.length <= LINE_CHARACTERS) return [first, ...lines.slice(1)];
  return [shown, lines[0].slice(name.length).trimStart(), ...lines.slice(1)].filter(Boolean);
}

function srt() {
  const blocks = page.cues.map((cue, index) => {
    const text = linesOf(cue).join("\n").replaceAll("-->", "→");
    const times = `${longClock(cue[0], ",")} --> ${longClock(cue[1], ",")}`;
    return `${index + 1}\n${times}\n${text}\n`;
  });
  return blocks.join("\n");
}

function rttm() {
  const lines = turns.map((turn) => {
    const times = `${turn.start.toFixed(3)} ${(turn.end - turn.start).toFixed(3)}`;
    const name = label(turn.speaker).split(/\s+/).filter(Boolean).join("_");
    return `SPEAKER ${page.rttm_name} 1 ${times} <NA> <NA> ${name} <NA> <NA>\n`;
  });
  return lines.join("");
}

function shortClock(seconds) {
  const text = longClock(milliseconds(seconds), ".");
  const hours = parseInt(text, 10);
  const rest = text.slice(text.indexOf(":") + 1);
  return hours ? `${hours}:${rest}` : rest;
}

function txt() {
  const said = segments.filter((segment) => segment.text.trim());
  const lines = (said.length ? said : turns).map((entry) => {
    const fields = [`${shortClock(entry.start)} - ${shortClock(entry.end)}`];
    if (hasSpeakers && entry.speaker !== null) fields.push(label(entry.speaker));
    if (entry.text !== undefined) fields.push(entry.text.split(/\s+/).filter(Boolean).join(" "));
    return `${fields.join("  ")}\n`;
  });
  return lines.join("");
}

function json() {
  if (!renamed.size) return resultText;
  const corrected = JSON.parse(resultText);
  const entries = [corrected.speakers, corrected.turns, corrected.segments];
  entries.push(...(corrected.segments || []).map((segment) => segment.words));
  for (const entry of entries.flatMap((list) => list || [])) {
    if (!renamed.has(entry.speaker)) continue;
    entry.name = renamed.get(entry.speaker);
    delete entry.score; // it was of the other name
  }
  return JSON.stringify(corrected);
}

const EXPORTS = { srt, rttm, json, txt };

// Files that this result has something for.
function offered() {
  return Object.keys(EXPORTS).filter(
    (kind) => (kind !== "srt" || "text" in result) && (kind !== "rttm" || hasSpeakers),
  );
}

function save(kind) {
  const link = element("a");
  link.href = URL.createObjectURL(
    new Blob([EXPORTS[kind]()], { type: `${TYPES[kind]};charset=utf-8` }),
  );
  link.download = `${page.name.replace(/[^\p{L}\p{N}._-]+/gu, "_").slice(0, 80) || "audio"}.${kind}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
