// The gate: the date, the likely direction by the hour, and the part that follows the person.
"use strict";

const NOON_H = 12; // as edge/web/gate.py
const STAY_MS = 5000; // between two words that somebody is at an answer
const hourForm = new Intl.DateTimeFormat("en-GB",
  { timeZone: "Asia/Tokyo", hour: "2-digit", hourCycle: "h23" });
const dayForm = new Intl.DateTimeFormat("en-CA", { timeZone: "Asia/Tokyo" });

const part = find("part");
let fetched = 0; // counts: an answer that was overtaken is not shown
let stayed = 0;
let day = dayForm.format(Date.now() + skew);

function follow(page) {
  const focused = document.activeElement && document.activeElement.id;
  const asked = find("follows").dataset.asks;
  part.replaceChildren(...page.body.childNodes);
  const follows = find("follows");
  put("answer-ja", follows.dataset.toldJa);
  put("answer-en", follows.dataset.toldEn);
  if (follows.dataset.asks && !asked) chime("asked");
  if (focused && find(focused)) find(focused).focus();
  guess();
}

async function renew() {
  const mine = ++fetched;
  try {
    const response = await fetch("/gate");
    if (!response.ok) return;
    const text = await response.text();
    if (mine === fetched) follow(new DOMParser().parseFromString(text, "text/html"));
  } catch {
    // the reader is being restarted: the stream tells, and asks again
  }
}

/* While nobody stands there, the hour says what is likely. */
function guess() {
  const guessed = part.querySelector("[data-guess]");
  const likely = Number(hourForm.format(Date.now() + skew)) < NOON_H ? "in" : "out";
  if (!guessed || guessed.dataset.direction === likely) return;
  guessed.removeAttribute("data-guess");
  find(`to-${likely}`).setAttribute("data-guess", "");
}

function stay() {
  const question = part.querySelector("[data-stay]");
  if (!question || Date.now() - stayed < STAY_MS) return;
  stayed = Date.now();
  fetch(question.dataset.stay, { method: "POST", headers: { Accept: "application/json" } });
}

function tick() {
  guess();
  const today = dayForm.format(Date.now() + skew);
  if (today !== day) location.reload();
  day = today;
}

for (const kind of ["pointerdown", "keydown"])
  part.addEventListener(kind, (event) => { if (event.target.closest(".question")) stay(); });
setInterval(tick, 1000);
stream.addEventListener("gate", renew);
stream.addEventListener("open", renew);
