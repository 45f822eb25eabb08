// A case's slices as the archive keeps them; inflated when first shown, then kept.

export const INSIDE = 1.5; // thirds of a pixel: where an outline runs
const MARGIN = 4; // pixels around the body
const LOOKED_AT = 12; // slices to find the body in

export async function load(name) {
  const answer = await fetch(`/api/pictures?case=${encodeURIComponent(name)}`);
  if (!answer.ok) throw new Error((await answer.json()).error);
  return new Pictures(new Uint8Array(await answer.arrayBuffer()));
}

class Pictures {
  constructor(block) {
    const length = new DataView(block.buffer).getUint32(0, true);
    this.head = JSON.parse(new TextDecoder().decode(block.subarray(4, 4 + length)));
    this.bytes = block.subarray(4 + length);
    this.rows = new Map(this.head.index.map((index, row) => [index, row]));
    this.slices = new Map();
    this.outlined = new Map();
    for (const outline of this.head.outlines) {
      const there = this.outlined.get(outline[1]) ?? [];
      this.outlined.set(outline[1], [...there, outline]);
    }
  }

  // The slice with this index: its height, grey values, dose in cGy or null, shares of structures.
  slice(index) {
    if (!this.slices.has(index)) this.slices.set(index, this.#inflated(index));
    return this.slices.get(index);
  }

  // The square around the body in slices all along it: its middle and half its side, in pixels.
  body() {
    this.around ??= this.#body();
    return this.around;
  }

  async #body() {
    const { size, index } = this.head;
    let [left, top, right, bottom] = [size, size, -1, -1];
    const step = Math.max(1, Math.floor(index.length / LOOKED_AT));
    const some = index.filter((_, at) => at % step === 0);
    for (const { grey } of await Promise.all(some.map((one) => this.#values(one)))) {
      for (let at = 0; at < grey.length; at++) {
        if (!grey[at]) continue;
        const x = at % size, y = (at - x) / size;
        if (x < left) left = x;
        if (x > right) right = x;
        if (y < top) top = y;
        if (y > bottom) bottom = y;
      }
    }
    if (right < 0) [left, top, right, bottom] = [0, 0, size - 1, size - 1];
    const half = Math.max(right - left, bottom - top) / 2 + MARGIN;
    return { x: (left + right) / 2, y: (top + bottom) / 2, half: Math.min(half, size / 2) };
  }

  async #inflated(index) {
    const outlined = (this.outlined.get(index) ?? []).map((one) => this.#structure(one));
    const [values, structures] = await Promise.all([this.#values(index), Promise.all(outlined)]);
    return { index, z_mm: this.head.z_mm[this.rows.get(index)], structures, ...values };
  }

  async #values(index) {
    const row = this.rows.get(index), n = this.head.size ** 2;
    const data = await inflate(this.bytes, this.head.offset[row], this.head.offset[row + 1], 3 * n);
    const dose = data.length >= 3 * n ? new Uint16Array(data.slice(n, 3 * n).buffer) : null;
    return { grey: data.subarray(0, n), dose };
  }

  async #structure([number, , first, last]) {
    const n = this.head.size ** 2;
    const shares = await inflate(this.bytes, first, last, Math.ceil(n / 4));
    return { ...this.head.structures[number], shares: unpacked(shares, n) };
  }

  // Everything, so that scrolling waits for nothing.
  async all() {
    for (const index of this.head.index) await this.slice(index);
  }
}

// At most `most` bytes: an archive of somebody else cannot fill the memory.
async function inflate(bytes, first, last, most) {
  const stream = new Blob([bytes.subarray(first, last)]).stream();
  const reader = stream.pipeThrough(new DecompressionStream("deflate")).getReader();
  const parts = [];
  let length = 0;
  for (let step = await reader.read(); !step.done && length <= most; step = await reader.read()) {
    parts.push(step.value);
    length += step.value.length;
  }
  const whole = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole.slice(0, most);
}

// Two bits a pixel, the first of a byte lowest.
function unpacked(bytes, n) {
  const shares = new Uint8Array(n);
  for (let at = 0; at < n; at++) shares[at] = (bytes[at >> 2] >> (2 * (at & 3))) & 3;
  return shares;
}
