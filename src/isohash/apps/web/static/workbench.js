// The page of a query: what is shown follows from a small state; keys and pointers change it.

import { Histograms } from "./histograms.js";
import { Pane } from "./pane.js";
import { load } from "./pictures.js";
import { strip } from "./strip.js";

const $ = (id) => document.getElementById(id);
const HISTOGRAMS = 6; // cases whose curves are drawn
const FETCHED = 3; // results whose slices are inflated ahead
const state = { slice: 0, rank: 1, facts: null };
const cases = new Map(); // id -> promise of its pictures
const viewer = $("viewer");

function pictures(name) {
  if (!cases.has(name)) cases.set(name, load(name));
  return cases.get(name);
}

const colourOf = (match) => state.facts.colours[(match.rank - 1) % state.facts.colours.length];
const chosen = () => state.facts.matches.find((match) => match.rank === state.rank);

// The pair of the chosen result whose slice of the query is nearest to the one shown.
function pairAt(match) {
  const apart = (pair) => Math.abs(pair.query_slice - state.slice);
  return match.pairs.reduce((best, pair) => (!best || apart(pair) < apart(best) ? pair : best), null);
}

// Both panes at one scale, the body of each in the middle.
async function view(one, slice, title, half) {
  const drawn = { lines: $("lines").checked, wash: $("wash").checked, outlines: $("outlines").checked };
  const { x, y } = await one.body();
  const from = { x: x + 0.5 - half, y: y + 0.5 - half, side: 2 * half };
  return { slice, head: one.head, levels: query.head.levels, from, title, ...drawn };
}

function showLevels(levels, whole) {
  const text = (gy) => (whole ? `${Math.round((100 * gy) / whole)} %` : `${gy} Gy`);
  $("levels").replaceChildren(...levels.map(({ gy, colour }) => {
    const told = document.createElement("span");
    told.textContent = text(gy);
    told.style.borderBottom = `3px solid ${colour}`;
    return told;
  }));
}

let query, panes, histograms, turn = 0;

// Draws the newest state; what comes late for an older one is dropped.
async function show() {
  const mine = ++turn, match = chosen();
  markChosen();
  const [own, body] = [await query.slice(state.slice), await query.body()];
  const other = match && (await pictures(match.id));
  const half = Math.max(body.half, other ? (await other.body()).half : 0);
  const title = `query, slice ${state.slice}, z = ${own.z_mm.toFixed(0)} mm`;
  const drawn = await view(query, own, title, half);
  if (mine !== turn) return;
  panes.query.draw(drawn);
  showLevels(query.head.levels, $("percent").checked && query.head.prescription_gy);
  $("slice").value = query.rows.get(state.slice);
  remember();
  if (match) await showMatch(match, other, half, mine);
}

async function showMatch(match, other, half, mine) {
  const pair = pairAt(match), { index } = other.head;
  const slice = await other.slice(pair ? pair.slice : index[Math.floor(index.length / 2)]);
  const away = pair ? `, distance ${pair.distance.toFixed(3)}` : "";
  const title = `${match.rank}. ${match.id}, z = ${slice.z_mm.toFixed(0)} mm${away}`;
  const drawn = await view(other, slice, title, half);
  if (mine !== turn) return;
  panes.match.draw(drawn);
  strip($("strip"), match.pairs, colourOf(match), pair, jump);
}

function markChosen() {
  for (const row of document.querySelectorAll("#hits tr[data-rank]")) {
    row.classList.toggle("chosen", Number(row.dataset.rank) === state.rank);
  }
}

function jump(index) {
  if (query.rows.has(index)) {
    state.slice = index;
    show();
  }
}

function step(by) {
  const { index } = query.head, row = query.rows.get(state.slice) + by;
  jump(index[Math.min(Math.max(row, 0), index.length - 1)]);
}

function choose(rank) {
  const most = state.facts.matches.length;
  state.rank = Math.min(Math.max(rank, 1), Math.max(most, 1));
  show();
}

// The address says what is shown, so that a reload or another browser shows the same.
function remember() {
  const address = new URL(location.href);
  address.hash = `slice=${state.slice}&result=${state.rank}`;
  history.replaceState(null, "", address);
}

function readFacts() {
  state.facts = JSON.parse($("facts").textContent);
  choosable();
  if (histograms) {
    const first = state.facts.matches.slice(0, HISTOGRAMS).map((match) => match.id);
    histograms.show([viewer.dataset.case, ...new Set(first)], state.facts.colours);
  }
}

function choosable() {
  for (const row of document.querySelectorAll("#hits tr[data-rank]")) {
    row.querySelector(".choose").addEventListener("click", () => viewer && choose(Number(row.dataset.rank)));
  }
}

let asking = null;

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
  if (viewer) show();
}

const KEYS = {
  ArrowDown: () => step(1), ArrowUp: () => step(-1), ArrowRight: () => step(1), ArrowLeft: () => step(-1),
  PageDown: () => step(10), PageUp: () => step(-10),
  j: () => choose(state.rank + 1), k: () => choose(state.rank - 1),
  i: () => $("lines").click(), w: () => $("wash").click(), o: () => $("outlines").click(), p: () => $("percent").click(),
  m: () => document.querySelector(`#hits tr[data-rank="${state.rank}"] .more`)?.click(),
};

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input:not([type=checkbox]), select, dialog")) return;
  if (event.key === "?") return $("help").showModal();
  if (event.key === "/") {
    event.preventDefault();
    return document.querySelector("#ask [name=where]").focus();
  }
  if (viewer && KEYS[event.key]) {
    event.preventDefault();
    KEYS[event.key]();
  }
}

async function open() {
  panes = {
    query: new Pane($("pane-query"), $("told-query")), match: new Pane($("pane-match"), $("told-match")),
  };
  query = await pictures(viewer.dataset.case);
  const { index } = query.head, said = new URLSearchParams(location.hash.slice(1));
  const middle = index[Math.floor(index.length / 2)], wanted = Number(said.get("slice") ?? middle);
  state.slice = query.rows.has(wanted) ? wanted : middle;
  $("slice").max = index.length - 1;
  $("slice").addEventListener("input", () => jump(index[Number($("slice").value)]));
  for (const name of ["lines", "wash", "outlines", "percent"]) $(name).addEventListener("change", show);
  for (const pane of Object.values(panes)) {
    pane.canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      step(Math.sign(event.deltaY));
    }, { passive: false });
  }
  histograms = new Histograms($("dvh"), $("structures"), $("dvh-told"));
  readFacts();
  state.rank = Math.max(1, Number(said.get("result") ?? 1));
  await show();
  await query.all();
  for (const match of state.facts.matches.slice(0, FETCHED)) await (await pictures(match.id)).all();
  document.body.dataset.ready = "yes";
}

$("alpha")?.addEventListener("input", weigh);
document.addEventListener("keydown", onKey);
if (viewer) open();
else readFacts();
window.workbench = { state, drawn: () => panes.query.drawn_ms };
