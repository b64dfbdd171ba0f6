// Draws the page anew while somebody looks at it, and says so when that fails: a page that stays
// green because nothing arrives any more would be a lie. Without this file the page works, too.
"use strict";

const EVERY_MS = 15_000;
const GIVE_UP_MS = 10_000;
const byId = (id) => document.getElementById(id);
let drawnAt = Date.now();
let next;

async function refresh() {
  clearTimeout(next);
  if (document.hidden) return;
  if (Date.now() - drawnAt > 4 * EVERY_MS) markStale(true); // the phone slept
  try {
    const signal = AbortSignal.timeout(GIVE_UP_MS);
    const answer = await fetch(location.href, { cache: "no-store", signal });
    if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
    show(new DOMParser().parseFromString(await answer.text(), "text/html"));
    markStale(false);
  } catch (problem) {
    console.warn("Not refreshed:", problem);
    markStale(true);
  }
  clearTimeout(next); // of a refresh that began meanwhile
  next = setTimeout(refresh, EVERY_MS);
}

function show(fresh) {
  const focused = document.activeElement?.id;
  for (const details of document.querySelectorAll("main details[open]")) {
    fresh.getElementById(details.id)?.setAttribute("open", "");
  }
  if (byId("headline").textContent !== fresh.getElementById("headline").textContent) {
    byId("spoken").textContent = fresh.getElementById("headline").textContent;
  }
  document.title = fresh.title;
  byId("stale").replaceChildren(...fresh.getElementById("stale").childNodes);
  document.querySelector("main").replaceWith(fresh.querySelector("main"));
  drawnAt = Date.now();
  if (focused) byId(focused)?.focus({ preventScroll: true });
}

function markStale(stale) {
  byId("stale").hidden = !stale;
  document.querySelector("main").classList.toggle("stale", stale);
}

document.addEventListener("visibilitychange", refresh);
next = setTimeout(refresh, EVERY_MS);
