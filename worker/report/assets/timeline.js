"use strict";
// Player, waveform and lanes: what is heard, and who speaks when.

const audio = $("audio");
const LANE_HEIGHT = 24;
const CLOSEST = 200; // pixels for a second, at the end of the zoom
const state = { hasAudio: false, position: 0 };

function blobOf(base64, type) {
  const binary = atob(base64);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i += 1) bytes[i] = binary.charCodeAt(i);
  return type ? new Blob([bytes], { type }) : bytes;
}

const embedded = $("speech");
if (embedded.textContent) {
  audio.src = URL.createObjectURL(blobOf(embedded.textContent, embedded.type.split(";")[0]));
  embedded.textContent = "";
}

// A colour of the style sheet as it is now, light or dark, for a canvas.
function colour(value) {
  const probe = $("probe");
  probe.style.color = value;
  return getComputedStyle(probe).color;
}

const peaks = Float32Array.from(page.peaks ? blobOf(page.peaks) : [0, 0], (byte) => byte / 255);
const waveColours = () => ({
  waveColor: colour("var(--wave)"),
  progressColor: colour("var(--accent)"),
  cursorColor: colour("var(--ink)"),
});
const wave = WaveSurfer.create({
  container: $("wave"),
  media: audio,
  peaks: [peaks],
  duration: Math.max(duration, 0.001),
  height: page.peaks ? 64 : 20,
  barWidth: 2,
  barGap: 1,
  barRadius: 2,
  barMinHeight: 1,
  dragToSeek: true,
  autoCenter: false,
  cspNonce: page.nonce,
  ...waveColours(),
});

// Goes to a time, and back to following: who asks for a place wants to see it.
function seek(time) {
  state.position = Math.max(0, Math.min(time, duration));
  // Not by the waveform where there is sound: while one place is sought, it forgets the next.
  if (audio.readyState > 0) audio.currentTime = state.position;
  else wave.setTime(state.position);
  setFollow(true);
  document.dispatchEvent(new Event("moved"));
}

function setAudio(isThere) {
  state.hasAudio = isThere;
  $("missing").hidden = isThere;
  document.body.classList.toggle("silent", !isThere);
}

function togglePlay() {
  if (!state.hasAudio) {
    $("choose").focus();
    announce("The audio is not in this page. Choose its file first.");
  } else if (audio.paused) audio.play().catch(() => announce("The audio cannot be played."));
  else audio.pause();
}

// A file of the reader's own takes the place of the audio; it stays on this machine.
function open(file) {
  const position = state.position;
  audio.src = URL.createObjectURL(file);
  audio.addEventListener(
    "loadedmetadata",
    () => {
      setAudio(true);
      const off = Math.abs(audio.duration - duration) > 1 && Number.isFinite(audio.duration);
      $("doubt").hidden = !off;
      $("doubt").textContent = off
        ? `${file.name} lasts ${clock(audio.duration)}, this recording ${clock(duration)}: is it the right file?`
        : "";
      seek(position);
      announce(`${file.name} is ready.`);
    },
    { once: true },
  );
}

// What was sought before the sound could be.
audio.addEventListener("loadedmetadata", () => {
  audio.currentTime = state.position;
});
audio.addEventListener("error", () => {
  setAudio(false);
  announce("This browser cannot play the audio. Choose another file of it.");
});

// --- lanes ---

const lanes = [...speakers.keys()];
const turnsOf = new Map(lanes.map((id) => [id, []]));
for (const turn of turns) turnsOf.get(turn.speaker)?.push(turn);

// Stretches in which two or more speak.
function overlaps() {
  const found = [];
  let reached = 0;
  for (const turn of turns) {
    if (turn.start < reached) found.push({ start: turn.start, end: Math.min(turn.end, reached) });
    reached = Math.max(reached, turn.end);
  }
  return found;
}
const shared = overlaps();

const canvas = $("lanes");
const pixelsPerSecond = () => wave.getWrapper().clientWidth / Math.max(duration, 0.001);
const timeAt = (x) => (x + wave.getScroll()) / pixelsPerSecond();

function drawLanes() {
  const width = $("wave").clientWidth;
  const height = lanes.length * LANE_HEIGHT;
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  canvas.style.height = `${height}px`;
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  const scale = pixelsPerSecond();
  const left = wave.getScroll();
  const visible = ({ start, end }) => end * scale >= left && start * scale <= left + width;
  const block = ({ start, end }, y, thickness, radius) => {
    context.beginPath();
    context.roundRect(start * scale - left, y, Math.max((end - start) * scale, 1.5), thickness, radius);
    context.fill();
  };
  context.fillStyle = colour("var(--line)");
  lanes.forEach((_, row) => context.fillRect(0, row * LANE_HEIGHT + LANE_HEIGHT / 2, width, 1));
  context.fillStyle = colour("var(--shared)");
  for (const stretch of shared.filter(visible)) block(stretch, 0, height, 0);
  lanes.forEach((id, row) => {
    context.fillStyle = colour(hue(id));
    for (const turn of turnsOf.get(id).filter(visible)) {
      block(turn, row * LANE_HEIGHT + 5, LANE_HEIGHT - 10, 4);
    }
  });
  movePlayhead();
}

let isDrawing = false;
function drawSoon() {
  if (isDrawing) return;
  isDrawing = true;
  requestAnimationFrame(() => {
    isDrawing = false;
    drawLanes();
  });
}

function movePlayhead() {
  const x = state.position * pixelsPerSecond() - wave.getScroll();
  $("playhead").style.transform = `translateX(${x}px)`;
  $("playhead").hidden = x < 0 || x > $("wave").clientWidth;
}

function zoom(share) {
  const fit = $("wave").clientWidth / Math.max(duration, 0.001);
  if (fit > 0) wave.zoom(share > 0 ? fit * Math.pow(CLOSEST / fit, share) : 0);
  wave.setScrollTime(Math.max(0, state.position - $("wave").clientWidth / pixelsPerSecond() / 2));
  drawSoon();
}

if (lanes.length) {
  for (const event of ["scroll", "zoom", "redraw", "resize"]) wave.on(event, drawSoon);
  canvas.addEventListener("click", (event) => seek(timeAt(event.offsetX)));
  canvas.addEventListener("mousemove", (event) => {
    const id = lanes[Math.floor(event.offsetY / LANE_HEIGHT)];
    canvas.title = `${label(id)}, ${clock(timeAt(event.offsetX))}`;
  });
}
