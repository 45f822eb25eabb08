// Lines of equal value in a picture (marching squares), as one path of the canvas.

// Which edges of a square a line joins, by which of its corners lie above (1, 2, 4, 8: upper left,
// upper right, lower right, lower left). Edges: 0 top, 1 right, 2 bottom, 3 left.
const JOINED = [
  [], [[3, 0]], [[0, 1]], [[3, 1]], [[1, 2]], null, [[0, 2]], [[3, 2]],
  [[2, 3]], [[2, 0]], null, [[2, 1]], [[1, 3]], [[1, 0]], [[0, 3]], [],
];

// `values` holds rows of numbers; whole coordinates are centres of pixels. What touches the edge is
// closed beyond it, for nothing lies there.
export function contour(values, columns, rows, level) {
  const path = new Path2D(), wide = columns + 2, around = framed(values, columns, rows);
  for (let y = 0; y <= rows; y++) {
    for (let x = 0; x <= columns; x++) {
      const at = y * wide + x;
      const a = around[at], b = around[at + 1], c = around[at + wide + 1], d = around[at + wide];
      const which = (a >= level) + 2 * (b >= level) + 4 * (c >= level) + 8 * (d >= level);
      if (which === 0 || which === 15) continue;
      const joined = JOINED[which] ?? saddle(which, (a + b + c + d) / 4 >= level);
      for (const [from, to] of joined) {
        path.moveTo(...crossing(from, x - 1, y - 1, a, b, c, d, level));
        path.lineTo(...crossing(to, x - 1, y - 1, a, b, c, d, level));
      }
    }
  }
  return path;
}

// With a border of zeros.
function framed(values, columns, rows) {
  const found = new Float32Array((columns + 2) * (rows + 2));
  for (let y = 0; y < rows; y++) found.set(values.subarray(y * columns, (y + 1) * columns), (y + 1) * (columns + 2) + 1);
  return found;
}

// Two opposite corners lie above: whether they are joined is said by the middle.
function saddle(which, middleAbove) {
  const around = [[[3, 0], [1, 2]], [[0, 1], [2, 3]]];
  return around[(which === 5) === middleAbove ? 1 : 0];
}

function crossing(edge, x, y, a, b, c, d, level) {
  if (edge === 0) return [x + (level - a) / (b - a), y];
  if (edge === 1) return [x + 1, y + (level - b) / (c - b)];
  if (edge === 2) return [x + (level - d) / (c - d), y + 1];
  return [x, y + (level - a) / (d - a)];
}
