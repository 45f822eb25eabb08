// The dose of a result less that of the query, on the query's grid: laid by the middles of both
// cases' slices and by the matched pairs of slices, interpolated within a slice.

// In steps, at a place of a slice; 0 beyond it, for there is no dose.
function doseAt(slice, u, v) {
  const x = (u - slice.x0) / slice.dx, y = (v - slice.y0) / slice.dy;
  const i = Math.floor(x), j = Math.floor(y), right = x - i, down = y - j;
  const at = (row, column) =>
    row < 0 || column < 0 || row >= slice.rows || column >= slice.columns ? 0 : slice.dose[row * slice.columns + column];
  const above = (1 - right) * at(j, i) + right * at(j, i + 1);
  return (1 - down) * above + down * ((1 - right) * at(j + 1, i) + right * at(j + 1, i + 1));
}

// Of a slice of the query and the one matched with it; in Gy.
export function ofSlices(own, other, steps) {
  const found = new Float32Array(own.rows * own.columns);
  for (let y = 0, at = 0; y < own.rows; y++) {
    const v = own.y0 + y * own.dy;
    for (let x = 0; x < own.columns; x++, at++) {
      const there = other.dose ? doseAt(other, own.x0 + x * own.dx, v) : 0;
      found[at] = there * steps.other - (own.dose ? own.dose[at] : 0) * steps.own;
    }
  }
  return found;
}

// Of a cut through the query; `matched` gives the result's slice by the query's index, or none.
export function ofCuts(own, kind, at, matched, steps) {
  const found = new Float32Array(own.rows * own.columns).fill(NaN);
  own.slices.forEach((slice, row) => {
    const other = slice && matched(slice.index);
    if (!other) return;
    for (let x = 0; x < own.columns; x++) {
      const along = own.x0 + x * own.dx, place = row * own.columns + x;
      const there = !other.dose ? 0 : kind === "sagittal" ? doseAt(other, at, along) : doseAt(other, along, at);
      found[place] = there * steps.other - (own.dose ? own.dose[place] : 0) * steps.own;
    }
  });
  return found;
}
