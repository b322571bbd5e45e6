/* What the pages do beyond plain HTML: draw charts from the table beside them, say one polite
   summary when it changes, and show when the live connection is cut. Without it every page works. */

"use strict";

(() => {
  const plots = new Map();

  const colour = (name) =>
    getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  /* The columns of a table as numbers; the first column gives the labels. */
  function columns(table) {
    const rows = [...table.tBodies[0].rows];
    if (table.dataset.order === "newest-first") rows.reverse();
    const width = rows.length ? rows[0].cells.length : 0;
    return Array.from({ length: width }, (_, column) =>
      rows.map((row) => {
        const cell = row.cells[column];
        if (!column) return cell.dataset.label ?? cell.textContent.trim();
        const value = cell.dataset.value ?? cell.textContent;
        return value === "" ? null : Number(value); // nothing was measured: a hole in the line
      }),
    );
  }

  function axes(labels) {
    const stroke = colour("--muted");
    const grid = { stroke: colour("--line"), width: 1 };
    const font = '12px "Noto Sans CJK JP", system-ui, sans-serif';
    const text = (_plot, splits) => splits.map((at) => (Number.isInteger(at) && labels[at]) || "");
    return [
      { stroke, grid: { show: false }, ticks: { show: false }, font, values: text, space: 60, size: 28 },
      { stroke, grid, ticks: { show: false }, font,
        size: (_plot, texts) => Math.max(40, 12 + 8 * Math.max(0, ...(texts ?? []).map((one) => one.length))),
        incrs: [0, 1, 2, 3, 4, 5, 6, 7, 8].flatMap((power) => [1, 2, 5].map((n) => n * 10 ** power)) },
    ];
  }

  function options(place, labels, series) {
    return {
      width: Math.max(place.clientWidth, 120),
      height: Number(place.dataset.height ?? 180),
      padding: [8, 8, 0, 0],
      cursor: { show: false },
      legend: { show: false },
      scales: {
        x: { time: false, range: (_plot, low, high) => [low - 0.5, high + 0.5] },
        y: { range: (_plot, _low, high) => [0, Math.max(high || 0, 4) * 1.08] },
      },
      axes: axes(labels),
      series: [{}, ...series],
    };
  }

  /* data-chart="lines": every column, or those in data-columns, a line; "bars": the one column
     named by data-column. */
  function draw(place) {
    const table = document.getElementById(place.dataset.table);
    if (!table || !table.tBodies.length) return;
    const [labels = [], ...values] = columns(table);
    const bars = place.dataset.chart === "bars";
    const wanted = place.dataset.columns?.split(" ").map(Number);
    const lines = wanted ? wanted.map((index) => values[index] ?? []) : values;
    const chosen = bars ? [values[Number(place.dataset.column)]] : lines;
    const print = JSON.stringify([labels, chosen, place.clientWidth]);
    const known = plots.get(place);
    if (known && known.print === print) return;
    if (known) known.plot.destroy();
    const dashes = [[], [6, 4], [2, 3]];
    const series = chosen.map((_, index) => ({
      stroke: colour(`--chart-${index + 1}`),
      width: bars ? 0 : 2,
      dash: dashes[index],
      fill: bars ? colour("--chart-1") : undefined,
      paths: bars ? uPlot.paths.bars({ size: [0.86, 60] }) : undefined,
      points: { show: false },
    }));
    const data = [labels.map((_, index) => index), ...chosen];
    plots.set(place, { print, plot: new uPlot(options(place, labels, series), data, place) });
  }

  function drawAll() {
    for (const [place, { plot }] of plots) {
      if (!place.isConnected) { plot.destroy(); plots.delete(place); }
    }
    document.querySelectorAll("[data-chart]").forEach(draw);
  }

  function redrawAll() {
    for (const { plot } of plots.values()) plot.destroy();
    plots.clear();
    drawAll();
  }

  /* The live parts are swapped often; only a changed summary is said aloud. */
  function sayAloud() {
    const said = document.getElementById("said");
    const summary = document.querySelector("[data-summary]");
    if (said && summary && said.textContent !== summary.dataset.summary) {
      said.textContent = summary.dataset.summary;
    }
  }

  /* What a person has opened, scrolled to or walked to stays so when the live part around it is
     swapped. */
  let kept = { open: [], scrolled: [], focused: null };
  function keep(event) {
    kept = {
      open: [...document.querySelectorAll("details[open][id]")].map((one) => one.id),
      scrolled: [...document.querySelectorAll(".tall[id]")].map((one) => [one.id, one.scrollTop]),
      focused: focusedIn(event.detail.target),
    };
  }
  function scrollBack() { // once: who scrolls on meanwhile is not taken back
    for (const [id, top] of kept.scrolled) {
      const region = document.getElementById(id);
      if (region) region.scrollTop = top;
    }
  }
  function putBack() {
    for (const id of kept.open) document.getElementById(id)?.setAttribute("open", "");
    if (document.activeElement === document.body && kept.focused) {
      document.querySelector(kept.focused)?.focus({ preventScroll: true });
    }
  }

  /* How the focused element within a part is found again in the part that replaces it, or null. */
  function focusedIn(part) {
    const one = document.activeElement;
    if (!part.contains(one) || one === part) return null;
    if (one.id) return `#${CSS.escape(one.id)}`;
    if (one.localName === "summary" && one.parentElement.id) {
      return `#${CSS.escape(one.parentElement.id)} > summary`;
    }
    const link = one.getAttribute("href");
    return link === null ? null : `#${CSS.escape(part.id)} a[href="${CSS.escape(link)}"]`;
  }

  /* Nothing is taken from under a pointer: a live part in which it is pressed waits until it is
     let go, and is then asked for again. */
  let pressed = null;
  const waiting = new Set();
  function press(event) { if (event.isPrimary && !event.button) pressed = event.target; }
  function letGo() {
    pressed = null;
    setTimeout(() => { // after the click that this may be
      for (const part of waiting) htmx.trigger(part, "sse:changed");
      waiting.clear();
    });
  }
  function waitForPointer(event) {
    const part = event.detail.target;
    if (!pressed || !part.contains(pressed)) return;
    event.detail.shouldSwap = false;
    waiting.add(part);
  }

  /* A card was read while the page was open: the form that waited for it is sent, once. */
  function sendWhenRead() {
    const read = document.querySelector("[data-submit-form]");
    if (!read) return;
    read.removeAttribute("data-submit-form");
    read.closest("form")?.requestSubmit();
  }

  /* Seconds that are left run down; what the server says next is right again. */
  setInterval(() => {
    for (const place of document.querySelectorAll("[data-left-s]")) {
      const left = Math.max(0, Number(place.dataset.leftS) - 1);
      place.dataset.leftS = String(left);
      place.textContent = place.textContent.replace(/\d+/, String(left));
    }
  }, 1000);

  const cut = (is) => document.body.classList.toggle("cut", is);

  /* A stream that was refused, and not only lost, is asked about by its parts: they are shown as they
     are now, or lead to the sign-in where the session has ended. */
  function streamEnded(event) {
    cut(true);
    if (event.detail.source.readyState !== EventSource.CLOSED) return;
    for (const part of event.target.querySelectorAll('[hx-trigger*="sse:changed"]')) {
      htmx.trigger(part, "sse:changed");
    }
  }

  document.addEventListener("DOMContentLoaded", () => {
    drawAll();
    document.querySelector("main [role=alert]")?.focus();
  });
  document.addEventListener("htmx:beforeSwap", keep);
  document.addEventListener("htmx:beforeSwap", waitForPointer);
  document.addEventListener("pointerdown", press);
  for (const end of ["pointerup", "pointercancel"]) document.addEventListener(end, letGo);
  addEventListener("blur", letGo);
  document.addEventListener("htmx:afterSwap", () => { putBack(); scrollBack(); });
  document.addEventListener("htmx:afterSettle", () => { putBack(); drawAll(); sayAloud(); sendWhenRead(); });
  document.addEventListener("htmx:sseOpen", () => cut(false));
  document.addEventListener("htmx:sseError", streamEnded);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redrawAll);
  let resizing = 0;
  addEventListener("resize", () => { clearTimeout(resizing); resizing = setTimeout(drawAll, 150); });
})();
