"use strict";
// Puts a fresh copy of the parts marked data-live in place of the old ones. What a person has opened, focused or
// filtered stays so; while text is selected, nothing moves.
(() => {
  const PERIOD = 2000; // ms
  const LONGEST = 15000; // ms, where the page is so large that fetching it takes a while
  const MANY = 8; // rows from which on a filter is worth its place

  const live = document.getElementById("live");
  const filter = document.getElementById("filter");
  const found = document.getElementById("found");
  let lost = null; // since when the bridge has not answered
  let timer = 0; // stands still while nobody looks
  let busy = false;

  const state = document.getElementById("state");
  const key = (node) => `${node.closest("details").className} ${node.closest("tr").dataset.key}`;
  const stops = (part) => [...part.querySelectorAll("a, summary")]; // where a keyboard can be
  const stop = (node) => `${node.closest("[data-key]")?.dataset.key} ${node.closest("details")?.className ?? node.textContent}`;
  const details = (part) => [...part.querySelectorAll("details")];

  function tell(node, text) {
    if (node.textContent !== text) node.textContent = text; // or a screen reader would say it again
  }

  function say(text, isBad) {
    tell(live, text);
    live.classList.toggle("bad", isBad);
  }

  function sift() {
    const rows = [...document.querySelectorAll("#gateways tbody tr")];
    const wanted = filter.value.trim().toLowerCase();
    let shown = 0;
    for (const row of rows) {
      const fits = state.value === "" || row.querySelector(".state").classList.contains(state.value);
      row.hidden = !fits || !row.textContent.toLowerCase().includes(wanted);
      shown += !row.hidden;
    }
    const sifts = wanted !== "" || state.value !== "";
    filter.hidden = state.hidden = rows.length < MANY && !sifts;
    tell(found, sifts ? `${shown.toLocaleString()} of ${rows.length.toLocaleString()}` : "");
  }

  function replace(old, fresh) {
    const opened = new Set(details(old).filter((one) => one.open).map(key));
    const focus = old.contains(document.activeElement) ? stop(document.activeElement) : null;
    for (const one of details(fresh)) one.open = opened.has(key(one));
    old.replaceWith(fresh);
    if (focus !== null) stops(fresh).find((one) => stop(one) === focus)?.focus();
  }

  async function refresh() {
    // In full: opened as http://any:TOKEN@host/, what is relative would have that password, which fetch() refuses.
    const here = location.origin + location.pathname + location.search;
    const answer = await fetch(here, { cache: "no-store", signal: AbortSignal.timeout(10000) });
    if (!answer.ok) throw new Error(`it answered ${answer.status}`);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (!getSelection().isCollapsed) return;
    for (const old of document.querySelectorAll("[data-live]")) replace(old, page.getElementById(old.id));
    document.title = page.title;
    sift();
  }

  async function beat() {
    if (document.hidden || busy) return;
    busy = true;
    clearTimeout(timer);
    const begun = performance.now();
    try {
      await refresh();
      lost = null;
      say("Live", false);
    } catch {
      lost ??= new Date();
      document.title = "? – janus-bridge";
      say(`No answer since ${lost.toLocaleTimeString()}; the figures are old`, true);
    }
    busy = false;
    timer = setTimeout(beat, Math.min(Math.max(PERIOD, 20 * (performance.now() - begun)), LONGEST));
  }

  filter.addEventListener("input", sift);
  state.addEventListener("input", sift);
  document.addEventListener("visibilitychange", beat);
  sift();
  say("Live", false);
  timer = setTimeout(beat, PERIOD);
})();
