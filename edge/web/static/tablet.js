// The driver's pages: each step is a form that also works without this script. Here it is sent
// beside and the page's middle exchanged, digits are put in at once, and news come by themselves.
"use strict";

const CALM_MS = 400; // after a change of the page, a finger that presses twice presses nothing
const TOLD_MS = 8000;
const RENEWED = ["waiting", "ride", "quote", "result", "shift", "closed"];
const MARKS = { accepted: "○", repeat: "・", refused: "×", again: "↻" };

const find = (id) => document.getElementById(id);
const main = () => document.querySelector("main");
const clockForm = new Intl.DateTimeFormat("ja-JP",
  { timeZone: "Asia/Tokyo", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
let skew = Number(find("clock").dataset.nowMs) - Date.now();
let busy = false;
let missed = false;
let ready = null;
let toldEnds = 0;
let sent = main().innerHTML; // as the reader sent it: what is typed since is no news

const names = (page) => [...page.querySelectorAll("[name=rider]")].map((one) => one.value).join();

function tell(text, look = "", english = "") {
  const told = find("told"), beside = document.createElement("span");
  clearTimeout(toldEnds);
  beside.lang = "en";
  beside.textContent = english;
  told.replaceChildren(text, " ", beside);
  told.dataset.look = look;
  if (text) toldEnds = setTimeout(tell, TOLD_MS, "");
}

function dress() {
  for (const pad of document.querySelectorAll(".keypad")) {
    pad.hidden = false;
    find(pad.dataset.for).inputMode = "none";
  }
  for (const button of document.querySelectorAll(".hear")) button.hidden = !button.dataset.clips;
}

function settle() {
  const place = main();
  place.inert = true;
  setTimeout(() => {
    place.inert = false;
    const first = place.querySelector("[autofocus]");
    if (!first) return;
    first.focus({ preventScroll: true });
    if (first.value && first.setSelectionRange) first.setSelectionRange(99, 99);
  }, CALM_MS);
}

/* Puts a fetched page in the place of this one; only the list of riders while a fare is typed. */
function put(page, address) {
  const fresh = page.querySelector("main");
  if (!fresh) return location.assign("/tablet");
  const onlyRiders = address === null && main().dataset.stage === "ride" && fresh.dataset.stage === "ride";
  document.querySelector("header").replaceWith(page.querySelector("header"));
  if (onlyRiders) {
    if (names(fresh) !== names(main())) find("riders").replaceWith(page.getElementById("riders"));
    return;
  }
  const nav = document.querySelector("nav"), freshNav = page.querySelector("nav");
  if (nav) nav.remove();
  sent = fresh.innerHTML;
  main().replaceWith(fresh);
  if (freshNav) fresh.after(freshNav);
  if (address) history.replaceState(null, "", address);
  tell("");
  dress();
  settle();
}

async function ask(address, options = {}) {
  const response = await fetch(address, options);
  if (!(response.headers.get("Content-Type") || "").startsWith("text/html")) throw new Error("no page");
  return { page: new DOMParser().parseFromString(await response.text(), "text/html"), response };
}

async function go(address, options) {
  if (busy) return;
  busy = true;
  try {
    const { page, response } = await ask(address, options);
    if (!page.querySelector("header")) return location.reload();
    put(page, response.redirected || !options ? response.url : "");
  } catch {
    tell(`× ${document.body.dataset.noAnswer}`, "refused");
  } finally {
    busy = false;
  }
  if (missed) renew();
}

/* Something happened: look at the present stage again, where the driver is in the middle of one. */
async function renew() {
  missed = busy;
  const stage = main().dataset.stage;
  if (busy || !RENEWED.includes(stage)) return;
  const typed = find("fare") || document.querySelector("[name=fare]");
  const chosen = document.querySelector("[name=discount]:checked, [name=discount][type=hidden]");
  const query = new URLSearchParams({ fare: typed ? typed.value : "", discount: chosen ? chosen.value : "" });
  if (stage === "quote") query.set("changed", "1");
  const { page } = await ask(typed ? `/tablet?${query}` : "/tablet");
  const fresh = page.querySelector("main");
  if (busy || !fresh || main().dataset.stage !== stage) return;
  if (stage === "quote" && fresh.dataset.stage === "ride" && names(fresh) === names(main())) return;
  if (stage === fresh.dataset.stage && fresh.innerHTML === sent) return;
  put(page, null);
}

function typeKey(key, field) {
  if (key === "clear") field.value = "";
  else if (field.value.length + key.length <= (field.dataset.digits || field.maxLength)) field.value += key;
}

document.addEventListener("submit", (event) => {
  const form = event.target, by = event.submitter;
  event.preventDefault();
  if (by && by.name === "key") return typeKey(by.value, find("fare"));
  const fields = new URLSearchParams(new FormData(form, by));
  go((by && by.getAttribute("formaction")) || form.getAttribute("action"), { method: "POST", body: fields });
});

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href^='/tablet']"), key = event.target.closest("[data-key]");
  const hear = event.target.closest(".hear");
  if (key) {
    const pad = key.closest(".keypad"), now = document.activeElement;
    typeKey(key.dataset.key, now.form === key.form && now.maxLength > 0 ? now : find(pad.dataset.for));
  } else if (hear) say(hear.dataset);
  else if (link && !event.ctrlKey && !event.metaKey) {
    event.preventDefault();
    go(link.getAttribute("href"));
  }
});
// A pad's key leaves the field chosen that it types into.
document.addEventListener("pointerdown", (event) => {
  if (event.target.closest("[data-key]")) event.preventDefault();
});
document.addEventListener("keydown", (event) => {
  const field = find("fare");
  if (event.key === "Enter" && event.repeat) event.preventDefault();
  if (!field || document.activeElement === field || event.ctrlKey || event.metaKey) return;
  if (/^[0-9]$/.test(event.key)) typeKey(event.key, field);
  else if (event.key === "Backspace") field.value = field.value.slice(0, -1);
});

/* Only one machine in the car speaks by itself: the reader, whose screen this may be. */
function say({ clips }) {
  if (clips && typeof speak === "function") speak(clips.split(" "));
}

setInterval(() => { find("clock").textContent = clockForm.format(Date.now() + skew); }, 1000);

const stream = new EventSource("/events");
stream.addEventListener("shown", (message) => {
  const event = JSON.parse(message.data);
  if (event.message.startsWith("press.")) return;
  tell(`${MARKS[event.look]} ${event.ja}`, event.look, event.en);
  if ("speaks" in document.body.dataset) say({ clips: (event.clips || []).join(" ") });
});
stream.addEventListener("ride", renew);
stream.addEventListener("condition", (message) => {
  const event = JSON.parse(message.data);
  skew = event.at_ms - Date.now();
  find("offline").hidden = event.online;
  find("unsent").textContent = event.waiting;
  if (ready !== null && ready !== event.ready) renew();
  ready = event.ready;
});
stream.onopen = renew;
dress();
