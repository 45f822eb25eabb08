// One canvas that shows a slice: grey values, colour wash, isodose lines, structures, a scale.

import { contour } from "./contours.js";
import { INSIDE } from "./pictures.js";

const WASH = [[0, 0, 160], [0, 140, 220], [0, 170, 90], [240, 228, 66], [230, 120, 0], [200, 0, 0]];
const SCALE_MM = 50;

export class Pane {
  constructor(canvas, caption) {
    this.canvas = canvas;
    this.caption = caption;
    this.small = document.createElement("canvas");
    canvas.addEventListener("pointermove", (event) => this.#point(event));
    canvas.addEventListener("pointerleave", () => this.#tell(""));
  }

  // `view`: slice, head, levels [{gy, colour}], `from` {x, y, side} in pixels, which of lines, wash,
  // outlines are drawn; `title` for below.
  draw(view) {
    this.view = view;
    const started = performance.now();
    const { slice, head } = view, pen = this.canvas.getContext("2d");
    const { x, y, side } = view.from, scale = this.canvas.width / side;
    this.#grey(slice, head, view);
    pen.imageSmoothingEnabled = true;
    pen.fillStyle = "#000000";
    pen.fillRect(0, 0, this.canvas.width, this.canvas.height);
    pen.drawImage(this.small, x, y, side, side, 0, 0, this.canvas.width, this.canvas.height);
    pen.save();
    pen.scale(scale, scale);
    pen.translate(0.5 - x, 0.5 - y); // whole coordinates are centres of pixels
    if (view.outlines) this.#structures(pen, slice, head.size, scale);
    if (view.lines && slice.dose) this.#lines(pen, slice, head.size, view.levels, scale);
    pen.restore();
    this.#marks(pen, head, scale);
    this.#tell("");
    this.drawn_ms = performance.now() - started;
  }

  #grey(slice, head, view) {
    const { size } = head;
    this.small.width = this.small.height = size;
    const pen = this.small.getContext("2d"), image = pen.createImageData(size, size);
    const top = view.levels.length ? 100 * view.levels[0].gy : 1;
    for (let at = 0; at < size * size; at++) {
      const grey = slice.grey[at];
      let colour = [grey, grey, grey];
      if (view.wash && slice.dose && slice.dose[at] > 0.1 * top) {
        const hot = washed(slice.dose[at] / top);
        colour = hot.map((value) => 0.45 * value + 0.55 * grey);
      }
      image.data.set([...colour, 255], 4 * at);
    }
    pen.putImageData(image, 0, 0);
  }

  #structures(pen, slice, size, scale) {
    pen.strokeStyle = "#ffffff";
    for (const { target, shares } of slice.structures) {
      pen.lineWidth = (target ? 1.8 : 1.1) / scale;
      pen.setLineDash(target ? [] : [4 / scale, 3 / scale]);
      pen.stroke(contour(shares, size, INSIDE));
    }
    pen.setLineDash([]);
  }

  #lines(pen, slice, size, levels, scale) {
    pen.lineWidth = 2 / scale;
    for (const { gy, colour } of levels) {
      pen.strokeStyle = colour;
      pen.stroke(contour(slice.dose, size, 100 * gy));
    }
  }

  #marks(pen, head, scale) {
    const edge = this.canvas.width;
    pen.fillStyle = "#ffffff";
    pen.font = "600 18px system-ui, sans-serif";
    pen.textAlign = "left";
    pen.fillText("R", 8, 24);
    pen.textAlign = "right";
    pen.fillText("L", edge - 8, 24);
    if (!head.pixel_mm) return;
    pen.textAlign = "left";
    pen.font = "14px system-ui, sans-serif";
    pen.fillRect(8, edge - 12, (SCALE_MM / head.pixel_mm) * scale, 3);
    pen.fillText(`${SCALE_MM / 10} cm`, 8, edge - 18);
  }

  // What lies below the pointer, in Gy.
  #point(event) {
    if (!this.view) return;
    const { head, slice, from } = this.view, box = this.canvas.getBoundingClientRect();
    const x = Math.floor(from.x + ((event.clientX - box.left) / box.width) * from.side);
    const y = Math.floor(from.y + ((event.clientY - box.top) / box.height) * from.side);
    const within = Math.min(x, y) >= 0 && Math.max(x, y) < head.size;
    const gy = within && slice.dose ? `${(slice.dose[y * head.size + x] / 100).toFixed(1)} Gy` : "no dose";
    this.#tell(gy);
  }

  #tell(value) {
    if (this.view) this.caption.textContent = this.view.title + (value ? `: ${value} here` : "");
  }
}

function washed(share) {
  const place = Math.min(Math.max(share, 0), 0.999) * (WASH.length - 1), low = Math.floor(place);
  return WASH[low].map((value, i) => value + (place - low) * (WASH[low + 1][i] - value));
}
