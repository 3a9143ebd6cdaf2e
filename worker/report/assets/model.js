"use strict";
// What the page was made of, and what its reader calls the speakers.

const $ = (id) => document.getElementById(id);
const page = JSON.parse($("page").textContent);

// Exactly what the worker wrote: only the characters that could end a script were escaped.
const resultText = $("result").textContent.replace(
  /\\(?:u(003c|003e|0026|2028|2029)|[^])/g,
  (escape, code) => (code ? String.fromCharCode(parseInt(code, 16)) : escape),
);
const result = JSON.parse(resultText);
const duration = result.audio.duration;
const turns = result.turns || [];
const segments = result.segments || [];
const hasSpeakers = Boolean(result.speakers);
const NOBODY = "Unknown speaker";
const NUM_COLOURS = 8;
const MAX_NAME = 100;

// In order of first appearance; the colour is told by that order.
const speakers = new Map();
for (const entry of result.speakers || []) {
  speakers.set(entry.speaker, { ...entry, colour: speakers.size % NUM_COLOURS });
}
const renamed = new Map();

function originalLabel(id) {
  const speaker = speakers.get(id);
  return (speaker && speaker.name) || id;
}

function label(id) {
  if (id === null || id === undefined) return NOBODY;
  return renamed.get(id) || originalLabel(id);
}

// The colour of a speaker, or of nobody, as a value of CSS.
function hue(id) {
  const speaker = speakers.get(id);
  return speaker ? `var(--speaker-${speaker.colour})` : "var(--nobody)";
}

// Gives a speaker another name; an empty one brings the first back. Returns what to say of it.
function rename(id, wanted) {
  const name = wanted
    .replace(/[\p{C}\p{Z}]+/gu, " ")
    .trim()
    .slice(0, MAX_NAME)
    .replace(/[\ud800-\udbff]$/, "");
  const before = label(id);
  if (!name || name === originalLabel(id)) renamed.delete(id);
  else renamed.set(id, name);
  const now = label(id);
  document.dispatchEvent(new CustomEvent("renamed", { detail: id }));
  if (now === before) return "";
  const others = [...speakers.keys()].filter((other) => other !== id && label(other) === now);
  const shared = others.length ? ` ${others.join(", ")} has the same name; they stay apart.` : "";
  return `${before} is called ${now} now.${shared}`;
}

// 0:07, 1:02:03
function clock(seconds) {
  const whole = Math.floor(seconds);
  const two = (value) => String(value).padStart(2, "0");
  const minutes = Math.floor(whole / 60) % 60;
  const hours = Math.floor(whole / 3600);
  return hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

// Index of the last entry that begins at or before a time; -1 before the first.
function lastBefore(entries, time) {
  let low = 0;
  let high = entries.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (entries[middle].start <= time) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

// Said to those who listen to the page, and shown for a while.
let silence = 0;
function announce(text) {
  $("status").textContent = text;
  clearTimeout(silence);
  silence = setTimeout(() => ($("status").textContent = ""), 6000);
}
