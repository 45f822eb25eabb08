// One canvas that shows a plane: grey values in a window, wash or difference, isodose lines,
// structures, the cursor, a scale.

import { paint } from "./colours.js";
import { contour } from "./contours.js";
import { INSIDE } from "./pictures.js";

const SCALE_MM = 50;
const DRAGGED = 3; // pixels of a pointer that make a click a drag

export class Pane {
  // `on`: what is done with a place {x, y} that is clicked or pointed at (null: no more), a drag
  // {dx, dy}, and steps of the wheel.
  constructor(canvas, on) {
    this.canvas = canvas;
    this.small = document.createElement("canvas");
    canvas.addEventListener("pointerdown", (event) => this.#grab(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event, on));
    canvas.addEventListener("pointerup", (event) => this.#release(event, on));
    canvas.addEventListener("pointercancel", () => { this.held = null; });
    canvas.addEventListener("pointerleave", () => on.point(null));
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      on.wheel(Math.sign(event.deltaY));
    }, { passive: false });
  }

  // `view`: plane, `left`, `top` and `side` in mm, window, `wash` and `levels` in steps of dose,
  // `difference`, whether lines and outlines are drawn, `cross` {x, y}, `ends` [left, right].
  draw(view) {
    this.view = view;
    const { plane, side, left, top } = view, pen = this.canvas.getContext("2d");
    const scale = this.canvas.width / side, { x0, dx, y0, dy, columns, rows } = plane;
    pen.fillStyle = "#000000";
    pen.fillRect(0, 0, this.canvas.width, this.canvas.height);
    this.#values(view);
    pen.drawImage(this.small, (x0 - dx / 2 - left) * scale, (y0 - dy / 2 - top) * scale, columns * dx * scale, rows * dy * scale);
    const onto = new DOMMatrix([dx * scale, 0, 0, dy * scale, (x0 - left) * scale, (y0 - top) * scale]);
    if (view.outlines) this.#structures(pen, plane, onto);
    if (view.lines && plane.dose) this.#lines(pen, plane, view.levels, onto);
    if (view.cross) this.#cross(pen, (view.cross.x - left) * scale, (view.cross.y - top) * scale);
    this.#marks(pen, view, scale);
  }

  // Pixels are made anew where anything of them is another: a cut stays while slices change.
  #values({ plane, window, wash, difference }) {
    const made = [plane, window.level, window.width, wash, difference?.values, difference?.span];
    if (this.made?.every((one, at) => one === made[at])) return;
    this.made = made;
    const { columns, rows } = plane, pen = this.small.getContext("2d");
    if (this.small.width !== columns || this.small.height !== rows) Object.assign(this.small, { width: columns, height: rows });
    const image = pen.createImageData(columns, rows);
    paint(new Uint32Array(image.data.buffer), plane, window, wash, difference);
    pen.putImageData(image, 0, 0);
  }

  #structures(pen, plane, onto) {
    pen.strokeStyle = "#ffffff";
    for (const { number, target, shares } of plane.structures ?? []) {
      pen.lineWidth = target ? 1.8 : 1.1;
      pen.setLineDash(target ? [] : [4, 3]);
      pen.stroke(placed(line(plane, `structure ${number}`, shares, INSIDE), onto));
    }
    pen.setLineDash([]);
  }

  #lines(pen, plane, levels, onto) {
    pen.lineWidth = 2;
    for (const { steps, colour } of levels) {
      pen.strokeStyle = colour;
      pen.stroke(placed(line(plane, `dose ${steps}`, plane.dose, steps), onto));
    }
  }

  #cross(pen, x, y) {
    const edge = this.canvas.width;
    pen.strokeStyle = "#ffe14d";
    pen.lineWidth = 1;
    pen.beginPath();
    for (const [from, to] of [[0, -8], [8, edge]]) {
      pen.moveTo(from === 0 ? 0 : x + from, y);
      pen.lineTo(from === 0 ? x + to : to, y);
      pen.moveTo(x, from === 0 ? 0 : y + from);
      pen.lineTo(x, from === 0 ? y + to : to);
    }
    pen.stroke();
  }

  #marks(pen, view, scale) {
    const edge = this.canvas.width;
    pen.fillStyle = "#ffffff";
    pen.font = "600 18px system-ui, sans-serif";
    pen.textAlign = "left";
    pen.fillText(view.ends[0], 8, 24);
    pen.textAlign = "right";
    pen.fillText(view.ends[1], edge - 8, 24);
    pen.textAlign = "left";
    pen.font = "14px system-ui, sans-serif";
    pen.fillRect(8, edge - 12, SCALE_MM * scale, 3);
    pen.fillText(`${SCALE_MM / 10} cm`, 8, edge - 18);
  }

  #grab(event) {
    this.canvas.setPointerCapture(event.pointerId);
    this.held = { x: event.clientX, y: event.clientY, moved: false };
  }

  #move(event, on) {
    if (!this.view) return;
    const { held } = this;
    if (!held) return on.point(this.#place(event));
    const [dx, dy] = [event.clientX - held.x, event.clientY - held.y];
    if (!held.moved && Math.hypot(dx, dy) < DRAGGED) return;
    Object.assign(held, { x: event.clientX, y: event.clientY, moved: true });
    on.drag({ dx, dy });
  }

  #release(event, on) {
    if (this.held && !this.held.moved && this.view) on.click(this.#place(event));
    this.held = null;
  }

  // In mm, where an event points.
  #place(event) {
    const box = this.canvas.getBoundingClientRect(), { left, top, side } = this.view;
    return {
      x: left + ((event.clientX - box.left) / box.width) * side, y: top + ((event.clientY - box.top) / box.height) * side,
    };
  }
}

// Finds all lines of a plane ahead, at levels in steps of dose.
export function trace(plane, levels) {
  for (const { number, shares } of plane.structures) line(plane, `structure ${number}`, shares, INSIDE);
  if (plane.dose) for (const steps of levels) line(plane, `dose ${steps}`, plane.dose, steps);
}

// Lines are found once for each plane and level.
function line(plane, name, values, level) {
  if (!plane.lines.has(name)) plane.lines.set(name, contour(values, plane.columns, plane.rows, level));
  return plane.lines.get(name);
}

function placed(path, onto) {
  const found = new Path2D();
  found.addPath(path, onto);
  return found;
}
