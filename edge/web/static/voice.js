// The voice: recordings one after the other, as edge/voice.py names them. A sentence is said whole
// or not at all, and at once or not at all: the words on the screen say the same.
"use strict";

const PAUSES_S = { pause: 0.2 };
// A browser that makes no sound before somebody touches the page keeps a sentence back: later than
// this, in ms, it would be heard by somebody else.
const LATE_MS = 1500;

let context = null;
let turn = 0; // counts sentences: a new one ends the one before
let playing = [];
const recordings = new Map(); // name → promise of its samples

/* The page's one way to the loudspeaker; a kiosk's browser opens it by itself. */
function sound() {
  context = context || new AudioContext();
  if (context.state === "suspended") context.resume();
  return context;
}

async function load(name) {
  const response = await fetch(`/static/voice/${name}.opus`);
  if (!response.ok) throw new Error(`no recording ${name}`);
  return sound().decodeAudioData(await response.arrayBuffer());
}

function recording(name) {
  if (!recordings.has(name)) {
    const loading = load(name);
    loading.catch(() => recordings.delete(name));
    recordings.set(name, loading);
  }
  return recordings.get(name);
}

function hush() {
  turn += 1;
  for (const one of playing) one.stop();
  playing = [];
}

/* Says a sentence, at the earliest so many seconds from now: a chime comes first. */
async function speak(clips, afterS = 0) {
  hush();
  const mine = turn, asked = performance.now(), audio = sound();
  const earliest = audio.currentTime + afterS;
  let samples;
  try {
    samples = await Promise.all(clips.map((name) => PAUSES_S[name] || recording(name)));
    await audio.resume();
  } catch {
    return;
  }
  if (turn !== mine || performance.now() - asked > LATE_MS) return;
  let when = Math.max(earliest, audio.currentTime);
  for (const one of samples) {
    if (typeof one !== "number") {
      const source = audio.createBufferSource();
      source.buffer = one;
      source.connect(audio.destination);
      source.start(when);
      playing.push(source);
    }
    when += typeof one === "number" ? one : one.duration;
  }
}

for (const touch of ["pointerdown", "keydown"]) document.addEventListener(touch, sound);
