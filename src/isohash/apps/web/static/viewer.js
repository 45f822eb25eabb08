// The query and the chosen result side by side, slice and cuts linked by the matched pairs. What is
// shown follows from `state`, which the address holds.

import { ofCuts, ofSlices } from "./difference.js";
import { Pane, trace } from "./pane.js";
import { load } from "./pictures.js";
import { strip } from "./strip.js";

const $ = (id) => document.getElementById(id);
const FETCHED = 3; // results whose slices are unpacked ahead
const DRAWN = ["lines", "wash", "outlines", "percent", "cuts", "difference"];
const USUAL = { lines: true, outlines: true };
const WINDOWS = { soft: { level: 40, width: 400 }, lung: { level: -600, width: 1500 }, bone: { level: 400, width: 1800 } };
const SPAN = 0.2; // of the prescription: the difference that has the strongest colour
const SPAN_GY = 10; // where there is no prescription
const LEAST_MS = 200; // between two changes of the address
const cases = new Map(); // id -> promise of its pictures

function pictures(name) {
  if (!cases.has(name)) cases.set(name, load(name));
  return cases.get(name);
}

export class Viewer {
  constructor(root, facts) {
    this.root = root;
    this.facts = facts;
    this.state = { slice: 0, rank: 1, x: 0, y: 0, ...WINDOWS.soft };
    this.turn = 0;
    this.panes = Object.fromEntries([...root.querySelectorAll("canvas[data-of]")].map((canvas) => [canvas.id, this.#pane(canvas)]));
  }

  async open() {
    this.query = await pictures(this.root.dataset.case);
    this.#recall(new URLSearchParams(location.hash.slice(1)));
    const { index, note } = this.query.head;
    $("note").textContent = note;
    $("slice").max = index.length - 1;
    $("slice").addEventListener("input", () => this.jump(index[Number($("slice").value)]));
    for (const name of DRAWN) $(name).addEventListener("change", () => this.show());
    $("window").addEventListener("change", () => this.window($("window").value));
    for (const name of ["level", "width"]) $(name).addEventListener("change", () => this.#typed());
    await this.show();
    await this.#unpack(this.query);
    for (const match of this.#matched().slice(0, FETCHED)) await this.#unpack(await pictures(match.id));
    await this.show();
    document.body.dataset.ready = "yes";
  }

  #unpack(one) {
    const levels = this.query.head.levels.map(({ gy }) => gy / one.head.dose_step_gy);
    return one.all((plane) => trace(plane, levels));
  }

  #matched() {
    return this.facts().matches;
  }

  chosen() {
    return this.#matched().find((match) => match.rank === this.state.rank);
  }

  // -- what is asked of it ------------------------------------------------------------------------

  jump(index) {
    if (!this.query.rows.has(index)) return;
    this.state.slice = index;
    this.show();
  }

  step(by) {
    const { index } = this.query.head, row = this.query.rows.get(this.state.slice) + by;
    this.jump(index[Math.min(Math.max(row, 0), index.length - 1)]);
  }

  choose(rank) {
    this.state.rank = Math.min(Math.max(rank, 1), Math.max(this.#matched().length, 1));
    this.show();
  }

  // Moves the cursor, in mm; by whole pixels of the query.
  move(right, back) {
    const mm = this.query.head.pixel_mm;
    this.#put(this.state.x + right * mm, this.state.y + back * mm);
  }

  window(name, wider = 1, higher = 0) {
    const { level, width } = WINDOWS[name] ?? this.state;
    Object.assign(this.state, { level: Math.round(level + higher), width: Math.max(1, Math.round(width * wider)) });
    this.show();
  }

  #typed() {
    const [level, width] = ["level", "width"].map((name) => Number($(name).value));
    if (Number.isFinite(level) && width >= 1) Object.assign(this.state, { level, width });
    this.show();
  }

  #put(x, y) {
    const most = this.query.reach;
    Object.assign(this.state, { x: Math.max(-most, Math.min(most, x)), y: Math.max(-most, Math.min(most, y)) });
    this.show();
  }

  // -- the address --------------------------------------------------------------------------------

  #recall(said) {
    const { index } = this.query.head, middle = index[Math.floor(index.length / 2)];
    const told = (name, usual) => (said.has(name) && Number.isFinite(Number(said.get(name))) ? Number(said.get(name)) : usual);
    const slice = told("slice", middle), { x, y, level, width } = this.state;
    Object.assign(this.state, {
      slice: this.query.rows.has(slice) ? slice : middle, rank: Math.max(1, told("result", 1)), x: told("x", x), y: told("y", y),
      level: told("level", level), width: Math.max(1, told("width", width)),
    });
    const shown = said.get("show")?.split(".");
    for (const name of DRAWN) $(name).checked = shown ? shown.includes(name) : Boolean(USUAL[name]);
  }

  // At once, or a moment after the last time: browsers refuse an address that changes all the time.
  #remember() {
    clearTimeout(this.waiting);
    const early = (this.remembered ?? -Infinity) + LEAST_MS - performance.now();
    if (early <= 0) return this.#address();
    this.waiting = setTimeout(() => this.#address(), early);
  }

  // Says what is shown, so that a reload or another browser shows the same.
  #address() {
    this.remembered = performance.now();
    const { slice, rank, x, y, level, width } = this.state, address = new URL(location.href);
    const show = DRAWN.filter((name) => $(name).checked).join(".");
    address.hash = new URLSearchParams({ slice, result: rank, x: x.toFixed(1), y: y.toFixed(1), level, width, show });
    history.replaceState(null, "", address);
  }

  // -- drawing ------------------------------------------------------------------------------------

  // Draws the newest state; what comes late for an older one is dropped.
  async show() {
    const mine = ++this.turn, started = performance.now(), match = this.chosen();
    const own = await this.query.slice(this.state.slice);
    const other = match && (await pictures(match.id)), pair = match && this.#pairAt(match);
    const { index } = other?.head ?? {};
    const found = other && (await other.slice(pair ? pair.slice : index[Math.floor(index.length / 2)]));
    if (mine !== this.turn) return;
    this.#told();
    this.#drawAll(own, found, other, match);
    this.#titles(own, found, match, pair);
    this.#remember();
    this.drawn_ms = performance.now() - started;
    if (match) strip($("strip"), match.pairs, this.#colour(match), pair, (index) => this.jump(index));
  }

  #colour(match) {
    const { colours } = this.facts();
    return colours[(match.rank - 1) % colours.length];
  }

  // The pair of the chosen result whose slice of the query is nearest to the one shown.
  #pairAt(match) {
    const apart = (pair) => Math.abs(pair.query_slice - this.state.slice);
    return match.pairs.reduce((best, pair) => (!best || apart(pair) < apart(best) ? pair : best), null);
  }

  #drawAll(own, found, other, match) {
    const half = Math.max(this.query.reach, other?.reach ?? 0), { x, y } = this.state;
    const matched = other && new Map(match.pairs.map((pair) => [pair.query_slice, other.there.get(pair.slice)]));
    const steps = other && { own: this.query.head.dose_step_gy, other: other.head.dose_step_gy };
    const compared = $("difference").checked && other?.head.dose && this.query.head.dose;
    const apart = (make) => (compared ? { values: make(), span: this.#span() } : null);
    const around = { left: -half, top: -half, side: 2 * half, cross: { x, y }, ends: ["R", "L"] };
    const same = compared && matched.get(this.state.slice);
    this.apart = same ? apart(() => ofSlices(own, same, steps)) : null;
    this.#draw("pane-query", this.query, own, { ...around, difference: this.apart });
    if (found) this.#draw("pane-match", other, found, around);
    $("cut-panes").hidden = !$("cuts").checked;
    if (!$("cuts").checked) return;
    for (const kind of ["sagittal", "coronal"]) {
      const at = kind === "sagittal" ? x : y, cut = this.query.cut(kind, at);
      const difference = apart(() => this.#apartInCut(cut, kind, at, match, matched, steps));
      const cross = { x: kind === "sagittal" ? y : x, y: -own.z_mm };
      const view = { left: -half, side: 2 * half, ends: kind === "sagittal" ? ["A", "P"] : ["R", "L"] };
      const top = (cut.y0 + cut.y0 + cut.dy * (cut.rows - 1)) / 2 - half;
      this.#draw(`query-${kind}`, this.query, cut, { ...view, top, cross, difference });
      if (!found) continue;
      const there = { top: top + own.z_mm - found.z_mm, cross: { x: cross.x, y: -found.z_mm } };
      this.#draw(`match-${kind}`, other, other.cut(kind, at), { ...view, ...there });
    }
  }

  // Made anew for another place, another result or another answer, not for another slice.
  #apartInCut(cut, kind, at, match, matched, steps) {
    const there = [...matched.values()].filter(Boolean).length, key = `${match.id} ${at} ${match.pairs.length} ${there}`;
    if (cut.apart?.key !== key) cut.apart = { key, values: ofCuts(cut, kind, at, (index) => matched.get(index), steps) };
    return cut.apart.values;
  }

  #draw(name, of, plane, view) {
    const { head } = this.query, step = of.head.dose_step_gy, { level, width } = this.state;
    const levels = head.levels.map((one) => ({ ...one, steps: one.gy / step }));
    const wash = $("wash").checked && !view.difference && levels.length ? levels[0].steps : 0;
    const drawn = { lines: $("lines").checked, outlines: $("outlines").checked };
    this.panes[name].draw({ plane, of, window: { level, width }, levels, wash, ...drawn, ...view });
  }

  #span() {
    const gy = this.query.head.prescription_gy;
    return gy ? SPAN * gy : SPAN_GY;
  }

  // -- what is told -------------------------------------------------------------------------------

  #told() {
    const { level, width, slice, rank } = this.state, { head } = this.query;
    const name = Object.keys(WINDOWS).find((one) => WINDOWS[one].level === level && WINDOWS[one].width === width);
    $("window").value = name ?? "";
    $("level").value = level;
    $("width").value = width;
    $("slice").value = this.query.rows.get(slice);
    const whole = $("percent").checked && head.prescription_gy;
    if (this.legend !== whole) this.#legend(whole);
    for (const row of document.querySelectorAll("#hits tr[data-rank]")) row.classList.toggle("chosen", Number(row.dataset.rank) === rank);
  }

  #legend(whole) {
    this.legend = whole;
    $("levels").replaceChildren(...this.query.head.levels.map(({ gy, colour }) => {
      const told = document.createElement("span");
      told.textContent = whole ? `${Math.round((100 * gy) / whole)} %` : `${gy} Gy`;
      told.style.borderBottom = `3px solid ${colour}`;
      return told;
    }));
  }

  #titles(own, found, match, pair) {
    const away = pair ? `, distance ${pair.distance.toFixed(3)}` : "";
    this.titles = {
      query: `query, slice ${this.state.slice}, z = ${own.z_mm.toFixed(0)} mm`,
      match: found ? `${match.rank}. ${match.id}, z = ${found.z_mm.toFixed(0)} mm${away}` : "",
    };
    const span = this.#span().toFixed(0);
    $("apart").textContent = !$("difference").checked ? ""
      : this.apart ? `dose of the result less the query's: blue -${span} Gy, orange +${span} Gy`
        : "no dose difference here: this slice is matched with none, or a dose is missing";
    this.#readAt(this.state);
  }

  // HU, Gy and structures at the cursor {x, y} of both slices; the captions say them.
  #readAt({ x, y }) {
    for (const of of ["query", "match"]) {
      const view = this.panes[`pane-${of}`].view;
      $(`told-${of}`).textContent = this.titles[of] + (view && this.titles[of] ? `: ${this.#read(view, x, y)}` : "");
    }
  }

  #read({ plane, of, difference }, x, y) {
    const column = Math.round((x - plane.x0) / plane.dx), row = Math.round((y - plane.y0) / plane.dy);
    if (column < 0 || row < 0 || column >= plane.columns || row >= plane.rows) return "outside the picture";
    const at = row * plane.columns + column, { dose_step_gy: step, dose, prescription_gy: whole } = of.head;
    const gy = (plane.dose?.[at] ?? 0) * step, told = [plane.hu ? `${plane.hu[at]} HU` : "no CT"];
    told.push(dose ? `${gy.toFixed(2)} Gy${$("percent").checked && whole ? ` (${((100 * gy) / whole).toFixed(0)} %)` : ""}` : "no dose");
    if (difference) told.push(`difference ${difference.values[at] < 0 ? "" : "+"}${difference.values[at].toFixed(2)} Gy`);
    return [...told, ...plane.structures.filter((one) => one.shares[at] >= 2).map((one) => one.name)].join(", ");
  }

  // -- pointers -----------------------------------------------------------------------------------

  #pane(canvas) {
    const { of, kind } = canvas.dataset, axial = kind === "axial";
    return new Pane(canvas, {
      point: (place) => axial && this.titles && this.#readAt(place ?? this.state),
      drag: ({ dx, dy }) => this.window("", Math.exp(dx / 200), dy * this.state.width / 400),
      wheel: (by) => (axial ? this.step(by) : kind === "sagittal" ? this.move(by, 0) : this.move(0, by)),
      click: (place) => {
        if (axial) return this.#put(place.x, place.y);
        const { cross } = this.panes[canvas.id].view, w = of === "query" ? place.y : place.y - cross.y - this.#height();
        this.state.slice = this.query.nearest(w);
        return kind === "sagittal" ? this.#put(this.state.x, place.x) : this.#put(place.x, this.state.y);
      },
    });
  }

  #height() {
    return this.query.head.z_mm[this.query.rows.get(this.state.slice)];
  }
}
