// Planes as the archive packs them (features/cases/planes.py, outlines.py), unpacked.

// At most `most` bytes: an archive of somebody else cannot fill the memory.
async function inflate(bytes, first, last, most) {
  const stream = new Blob([bytes.subarray(first, last)]).stream();
  const reader = stream.pipeThrough(new DecompressionStream("deflate")).getReader();
  const whole = new Uint8Array(most);
  let length = 0;
  for (let step = await reader.read(); !step.done && length < most; step = await reader.read()) {
    whole.set(step.value.subarray(0, most - length), length);
    length += step.value.length;
  }
  return whole;
}

// Whole numbers (Int16Array); null where there are no bytes. What is kept of each is its difference
// from what those above and to the left say, the sign lowest; low bytes, then high ones.
export async function numbers(bytes, first, last, rows, columns) {
  if (first === last) return null;
  const n = rows * columns, flat = await inflate(bytes, first, last, 2 * n), found = new Int16Array(n);
  for (let y = 0, at = 0; y < rows; y++) {
    let left = 0;
    for (let x = 0; x < columns; x++, at++) {
      const folded = flat[at] | (flat[n + at] << 8);
      left += (folded >> 1) ^ -(folded & 1);
      found[at] = left + (y ? found[at - columns] : 0);
    }
  }
  return found;
}

// Thirds of pixels that lie inside; two bits a pixel, the first of a byte lowest.
export async function shares(bytes, first, last, n) {
  const packed = await inflate(bytes, first, last, Math.ceil(n / 4)), found = new Uint8Array(n);
  for (let at = 0; at < n; at++) found[at] = (packed[at >> 2] >> (2 * (at & 3))) & 3;
  return found;
}
