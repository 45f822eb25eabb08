// A case's slices as the archive keeps them, unpacked when first shown, then kept; and cuts through
// them. All places are in mm from the middle of the case's slices: u to the patient's left, v to the
// back, and w = -z down to the feet.

import { numbers, shares } from "./planes.js";

export const INSIDE = 1.5; // thirds of a pixel: where an outline runs

const LEAST_GAP_MM = 0.1, MOST_ROWS = 4096; // of a cut

export async function load(name) {
  const answer = await fetch(`/api/pictures?case=${encodeURIComponent(name)}`);
  if (!answer.ok) throw new Error((await answer.json()).error);
  return new Pictures(new Uint8Array(await answer.arrayBuffer()));
}

// Values on a grid: hu, dose (in steps) and shares of structures, each null where there is none;
// x0, dx, y0, dy say where the centre of the first one lies and how far apart they are.
export function plane(columns, rows, place, values) {
  return { columns, rows, ...place, ...values, lines: new Map() };
}

class Pictures {
  constructor(block) {
    const length = new DataView(block.buffer).getUint32(0, true);
    this.head = JSON.parse(new TextDecoder().decode(block.subarray(4, 4 + length)));
    this.bytes = block.subarray(4 + length);
    this.rows = new Map(this.head.index.map((index, row) => [index, row]));
    this.asked = new Map();
    this.there = new Map(); // by index, what is unpacked already
    this.cuts = new Map(); // by kind, the newest
    this.outlined = Map.groupBy(this.head.outlines, (outline) => outline[1]);
    const { corner_mm: corner, centre_mm: centre, pixel_mm: mm, box } = this.head;
    this.place = { x0: corner[0] - centre[0], dx: mm, y0: corner[1] - centre[1], dy: mm };
    const { x0, y0 } = this.place;
    this.reach = Math.max(...[x0 + mm * box[0], x0 + mm * box[1], y0 + mm * box[2], y0 + mm * box[3]].map(Math.abs));
  }

  // The slice with this index, as a plane with `index` and `z_mm`.
  slice(index) {
    if (!this.asked.has(index)) this.asked.set(index, this.#unpacked(index));
    return this.asked.get(index);
  }

  async #unpacked(index) {
    const { rows, columns, z_mm: z } = this.head, row = this.rows.get(index);
    const outlined = (this.outlined.get(index) ?? []).map((one) => this.#structure(one));
    const [hu, dose, structures] = await Promise.all([
      this.#numbers("ct", row), this.#numbers("dose", row), Promise.all(outlined),
    ]);
    const steps = dose && new Uint16Array(dose.buffer);
    const found = plane(columns, rows, this.place, { hu, dose: steps, structures });
    this.there.set(index, Object.assign(found, { index, z_mm: z[row] }));
    return found;
  }

  #numbers(what, row) {
    const { rows, columns, [what]: offset } = this.head;
    return offset && numbers(this.bytes, offset[row], offset[row + 1], rows, columns);
  }

  async #structure([number, , first, last]) {
    const n = this.head.rows * this.head.columns;
    return { number, ...this.head.structures[number], shares: await shares(this.bytes, first, last, n) };
  }

  // Everything, so that scrolling waits for nothing; `ahead` is done with each slice.
  async all(ahead) {
    for (const index of this.head.index) ahead(await this.slice(index));
  }

  // The slice that lies nearest to a height, by its index.
  nearest(w) {
    const { index, z_mm: z } = this.head;
    let best = 0;
    z.forEach((one, row) => { if (Math.abs(-one - w) < Math.abs(-z[best] - w)) best = row; });
    return index[best];
  }

  // As `newCut`; made anew where the place is another, or more slices are unpacked.
  cut(kind, at) {
    const line = Math.round((at - (kind === "sagittal" ? this.place.x0 : this.place.y0)) / this.place.dx);
    const key = `${line} ${this.there.size}`;
    if (this.cuts.get(kind)?.key !== key) this.cuts.set(kind, Object.assign(this.newCut(kind, line), { key }));
    return this.cuts.get(kind);
  }

  // The sagittal or coronal cut along a line of pixels, through the slices that are unpacked, rows
  // from the head down; `slices` says by row which slice it is of, null between slices that lie far apart.
  newCut(kind, line) {
    const { index, z_mm: z, rows, columns } = this.head;
    const { x0, y0, dx } = this.place, sagittal = kind === "sagittal", width = sagittal ? rows : columns;
    const dy = this.gap ??= Math.max(LEAST_GAP_MM, Math.min(...z.slice(1).map((one, row) => z[row] - one), dx * columns));
    const height = Math.min(MOST_ROWS, Math.round((z[0] - z.at(-1)) / dy) + 1);
    const slices = Array(height).fill(null);
    z.forEach((one, row) => {
      const at = Math.round((z[0] - one) / dy);
      if (at < height) slices[at] = this.there.get(index[row]) ?? null;
    });
    const place = { x0: sagittal ? y0 : x0, dx, y0: -z[0], dy };
    const within = line >= 0 && line < (sagittal ? columns : rows);
    const from = (values, into, row) => {
      for (let x = 0; x < width; x++) into[row * width + x] = values[sagittal ? x * columns + line : line * columns + x];
    };
    return Object.assign(plane(width, height, place, within ? gathered(slices, width, from) : {}), { slices });
  }
}

// One line of each slice, row below row.
function gathered(slices, width, from) {
  const n = slices.length * width, structures = new Map();
  const hu = slices.some((one) => one?.hu) ? new Int16Array(n).fill(-1024) : null;
  const dose = slices.some((one) => one?.dose) ? new Uint16Array(n) : null;
  slices.forEach((slice, row) => {
    if (slice?.hu) from(slice.hu, hu, row);
    if (slice?.dose) from(slice.dose, dose, row);
    for (const { shares: inside, ...about } of slice?.structures ?? []) {
      if (!structures.has(about.number)) structures.set(about.number, { ...about, shares: new Uint8Array(n) });
      from(inside, structures.get(about.number).shares, row);
    }
  });
  return { hu, dose, structures: [...structures.values()] };
}
