// Dose-volume histograms with a read-out of the nearest curve; the query's are thick.

/* global uPlot */

export class Histograms {
  constructor(place, buttons, told) {
    Object.assign(this, { place, buttons, told });
  }

  // `foreseen`: also what the anatomy of the first case would get, dashed.
  async show(cases, colours, foreseen = false) {
    const asked = cases.map((name) => `case=${encodeURIComponent(name)}`).join("&");
    const answer = await fetch(`/api/dvh?${asked}${foreseen ? "&foreseen=true" : ""}`);
    if (!answer.ok) return;
    this.curves = await answer.json();
    this.colours = colours;
    this.buttons.replaceChildren(...this.curves.structures.map((one) => this.#button(one)));
    const kept = this.curves.structures.find((one) => one.name === this.structure);
    this.#draw(kept ?? this.curves.structures[0]);
  }

  #button(structure) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = structure.name;
    button.addEventListener("click", () => this.#draw(structure));
    return button;
  }

  #draw(structure) {
    if (!structure) return this.place.replaceChildren();
    this.structure = structure.name;
    for (const button of this.buttons.children) {
      button.setAttribute("aria-pressed", String(button.textContent === structure.name));
    }
    const ink = getComputedStyle(document.body).color;
    const there = this.curves.cases.map((name, i) => ({ name, i, percent: structure.percent[i] }));
    const drawn = there.filter((one) => one.percent);
    if (structure.foreseen) drawn.push({ name: "foreseen of the query's anatomy", i: 0, percent: structure.foreseen, dash: [8, 5] });
    const series = drawn.map(({ name, i, dash }) => ({
      label: name, width: dash ? 1.6 : i ? 1.3 : 3, stroke: i ? this.colours[(i - 1) % this.colours.length] : ink, dash,
    }));
    const axis = (label) => ({ label, stroke: ink, grid: { stroke: "#8884" }, ticks: { stroke: "#8884" } });
    this.place.replaceChildren();
    this.chart = new uPlot({
      width: Math.min(900, this.place.clientWidth || 600), height: 320, legend: { show: false },
      scales: { x: { time: false }, y: { range: [0, 100] } },
      axes: [axis("dose in Gy"), axis("volume in %")], series: [{}, ...series],
      hooks: { setCursor: [(chart) => this.#read(chart, drawn)] },
    }, [this.curves.dose_gy, ...drawn.map((one) => one.percent)], this.place);
  }

  #read(chart, drawn) {
    const { idx, top } = chart.cursor;
    if (idx === null || idx === undefined || !drawn.length) return;
    const height = chart.posToVal(top, "y");
    const near = (a, b) => Math.abs(b.percent[idx] - height) < Math.abs(a.percent[idx] - height) ? b : a;
    const one = drawn.reduce(near);
    this.told.textContent =
      `${one.name}, ${this.structure}: ${one.percent[idx].toFixed(1)} % of the volume get ${this.curves.dose_gy[idx]} Gy or more`;
  }
}
