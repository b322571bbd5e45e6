// Both screens: what the reader says, as light, sound and words, which voice.js speaks. Without this
// script the pages are complete but stand still.
"use strict";

const SHAPES = { idle: "", asked: "▼", accepted: "○", repeat: "・", refused: "×", again: "↻", closed: "—" };
// How long a result stands, in ms: a refusal has to be read; the next tap ends it at once.
const STANDS_MS = { accepted: 5000, repeat: 5000, again: 5000, refused: 10000 };
// Notes of a chime: [hertz, start in s, length in s, wave].
const CHIMES = {
  accepted: [[880, 0, 0.12, "sine"], [1320, 0.12, 0.28, "sine"]],
  repeat: [[660, 0, 0.3, "sine"]],
  asked: [[990, 0, 0.18, "sine"]],
  again: [[520, 0, 0.12, "triangle"], [520, 0.2, 0.12, "triangle"]],
  refused: [[220, 0, 0.25, "square"], [165, 0.28, 0.4, "square"]],
};
const LOST_MS = 3000; // without a stream: the reader is being restarted, or dead
const RESULTS_MAX = 10;

const body = document.body;
const driver = body.dataset.page === "driver";
const find = (id) => document.getElementById(id);
const clockForm = new Intl.DateTimeFormat("ja-JP",
  { timeZone: "Asia/Tokyo", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const rowForm = new Intl.DateTimeFormat("ja-JP",
  { timeZone: "Asia/Tokyo", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });

let ready = body.dataset.look !== "closed";
let asked = null; // what a desk asks: { id, ja, en }
let askedEnds = 0;
let backToIdle = 0;
let lost = 0;
let skew = Number(find("clock").dataset.nowMs) - Date.now();

function put(id, text) {
  const place = find(id);
  if (place && place.textContent !== text) place.textContent = text;
}

function paint(look, ja, en) {
  body.dataset.look = look;
  put("shape", SHAPES[look]);
  put("ja", ja);
  put("en", en);
}

function rest() {
  clearTimeout(backToIdle);
  backToIdle = 0;
  if (asked) return paint("asked", asked.ja, asked.en);
  const kind = ready ? "idle" : "closed";
  paint(kind, body.dataset[kind + "Ja"], body.dataset[kind + "En"]);
}

function chime(look) {
  const audio = sound();
  for (const [hertz, start, length, wave] of CHIMES[look]) {
    const tone = audio.createOscillator(), gain = audio.createGain();
    const from = audio.currentTime + start;
    tone.type = wave;
    tone.frequency.value = hertz;
    gain.gain.setValueAtTime(wave === "square" ? 0.15 : 0.4, from);
    gain.gain.exponentialRampToValueAtTime(0.001, from + length);
    tone.connect(gain).connect(audio.destination);
    tone.start(from);
    tone.stop(from + length);
  }
}

function chimeLength(look) {
  return Math.max(...CHIMES[look].map(([, start, length]) => start + length));
}

function addResult(event) {
  const row = document.createElement("tr"), when = document.createElement("time");
  row.dataset.look = event.look;
  when.textContent = rowForm.format(event.at_ms);
  row.insertCell().append(when);
  row.insertCell().textContent = event.ja;
  const table = find("results");
  table.prepend(row);
  while (table.rows.length > RESULTS_MAX) table.deleteRow(-1);
}

function shown(event) {
  const press = event.message.startsWith("press.");
  if (press && !driver) return;
  if (driver && !press) addResult(event);
  if (press) return;
  for (const button of document.querySelectorAll("[aria-pressed]")) unpress(button);
  clearTimeout(backToIdle);
  paint(event.look, event.ja, event.en);
  if (!driver) {
    chime(event.look);
    speak(event.clips, chimeLength(event.look));
  }
  backToIdle = setTimeout(rest, Number(body.dataset.standsMs) || STANDS_MS[event.look]);
}

/* A clerk waits for a card at this reader, or waits no more. */
function ask(event) {
  const form = find("decline");
  if (!form) return;
  const begins = event.asked && (!asked || asked.id !== event.asked);
  clearTimeout(askedEnds);
  asked = event.asked ? { id: event.asked, ja: event.asked_ja, en: event.asked_en } : null;
  form.hidden = !asked;
  if (!asked) return;
  form.action = `/desk/${asked.id}/cancel`;
  askedEnds = setTimeout(() => { ask({ asked: "" }); rest(); }, event.asked_left_ms);
  if (begins) {
    chime("asked");
    speak(event.asked_clips, chimeLength("asked"));
    rest();
  }
}

function condition(event) {
  skew = event.at_ms - Date.now();
  ready = event.ready;
  ask(event);
  find("offline").hidden = event.online;
  put("waiting", String(event.waiting));
  for (const count of document.querySelectorAll("[data-button]"))
    count.textContent = String(event.pressed[count.dataset.button] || 0);
  if (!backToIdle || !ready) rest();
}

function unpress(button) {
  button.setAttribute("aria-pressed", "false");
}

/* Says what became of a press, in the page's line for it. */
function tell(sign, ja, en) {
  if (find("answer-ja")) {
    put("answer-ja", ja && `${sign} ${ja}`);
    put("answer-en", en);
  } else put("answer", `${sign} ${ja} ${en}`);
}

const busy = new WeakSet(); // buttons that were just pressed; disabled they would lose the focus

async function send(form, button) {
  if (busy.has(button)) return;
  const answer = find("answer");
  const action = button.hasAttribute("formaction") ? button.formAction : form.action;
  const fields = new URLSearchParams(new FormData(form, button));
  busy.add(button);
  try {
    const response = await fetch(action,
      { method: "POST", headers: { Accept: "application/json" }, body: fields });
    const said = await response.json();
    if (response.ok) tell("○", said.ja || "", said.en || "");
    else tell("×", said.hint, said.hint_en || "");
    if (response.ok && said.for_s) declared(button, said.for_s);
  } catch {
    if (answer) tell("×", answer.dataset.noAnswerJa, answer.dataset.noAnswerEn);
  }
  setTimeout(() => busy.delete(button), 1000);
}

function declared(button, seconds) {
  for (const other of document.querySelectorAll("[aria-pressed]")) unpress(other);
  button.setAttribute("aria-pressed", "true");
  setTimeout(() => unpress(button), seconds * 1000);
}

document.addEventListener("submit", (event) => {
  event.preventDefault();
  send(event.target, event.submitter || event.target.querySelector("button"));
});
setInterval(() => put("clock", clockForm.format(Date.now() + skew)), 1000);

const stream = new EventSource("/events");
stream.addEventListener("shown", (event) => shown(JSON.parse(event.data)));
stream.addEventListener("condition", (event) => {
  clearTimeout(lost);
  lost = 0;
  condition(JSON.parse(event.data));
});
stream.onerror = () => {
  lost = lost || setTimeout(() => { ready = false; rest(); }, LOST_MS);
};
rest();
