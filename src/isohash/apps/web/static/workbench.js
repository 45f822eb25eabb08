// The page of a query: the viewer, histograms and the answer, moved by keys, pointers and the weight.

import { Histograms } from "./histograms.js";
import { Viewer } from "./viewer.js";

const $ = (id) => document.getElementById(id);
const HISTOGRAMS = 6; // cases whose curves are drawn
const place = $("viewer");
let facts, viewer, histograms, asking = null;

function readFacts() {
  facts = JSON.parse($("facts").textContent);
  for (const row of document.querySelectorAll("#hits tr[data-rank]")) {
    row.querySelector(".choose").addEventListener("click", () => viewer?.choose(Number(row.dataset.rank)));
  }
  if (!histograms) return;
  const first = facts.matches.slice(0, HISTOGRAMS).map((match) => match.id);
  histograms.show([place.dataset.case, ...new Set(first)], facts.colours, true);
}

// Another weight: only the answer is asked for anew, pictures stay.
async function weigh() {
  const alpha = $("alpha").value;
  $("alpha-told").textContent = Number(alpha).toFixed(2);
  const address = new URL(location.href);
  address.searchParams.set("alpha", alpha);
  address.searchParams.set("by", "joint");
  asking?.abort();
  asking = new AbortController();
  try {
    const answer = await fetch(`/query/answer${address.search}`, { signal: asking.signal });
    const text = await answer.text();
    $("answer").innerHTML = text;
    history.replaceState(null, "", address);
  } catch (error) {
    if (error.name === "AbortError") return;
    throw error;
  }
  readFacts();
  viewer?.show();
}

const tick = (name) => () => $(name).click();
const KEYS = {
  ArrowDown: () => viewer.step(1), ArrowUp: () => viewer.step(-1), ArrowRight: () => viewer.step(1), ArrowLeft: () => viewer.step(-1),
  "shift ArrowDown": () => viewer.move(0, 1), "shift ArrowUp": () => viewer.move(0, -1),
  "shift ArrowRight": () => viewer.move(1, 0), "shift ArrowLeft": () => viewer.move(-1, 0),
  PageDown: () => viewer.step(10), PageUp: () => viewer.step(-10),
  j: () => viewer.choose(viewer.state.rank + 1), k: () => viewer.choose(viewer.state.rank - 1),
  i: tick("lines"), w: tick("wash"), o: tick("outlines"), p: tick("percent"), s: tick("cuts"), d: tick("difference"),
  1: () => viewer.window("soft"), 2: () => viewer.window("lung"), 3: () => viewer.window("bone"),
  "+": () => viewer.window("", 1.1), "-": () => viewer.window("", 1 / 1.1), ".": () => viewer.window("", 1, 10), ",": () => viewer.window("", 1, -10),
  m: () => document.querySelector(`#hits tr[data-rank="${viewer.state.rank}"] .more`)?.click(),
};

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input:not([type=checkbox]), select, dialog")) return;
  if (event.key === "?") return $("help").showModal();
  if (event.key === "/") {
    event.preventDefault();
    return document.querySelector("#ask [name=where]").focus();
  }
  const act = KEYS[event.shiftKey && event.key.startsWith("Arrow") ? `shift ${event.key}` : event.key];
  if (viewer?.query && act) {
    event.preventDefault();
    act();
  }
}

async function open() {
  histograms = new Histograms($("dvh"), $("structures"), $("dvh-told"));
  readFacts();
  viewer = new Viewer(place, () => facts);
  await viewer.open();
}

$("alpha")?.addEventListener("input", weigh);
document.addEventListener("keydown", onKey);
if (place) open();
else readFacts();
// What tests look at.
window.workbench = {
  get state() { return { ...viewer?.state, facts }; },
  get viewer() { return viewer; },
  drawn: () => viewer.drawn_ms,
};
