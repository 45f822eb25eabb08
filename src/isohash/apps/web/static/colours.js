// From HU and Gy to pixels (0xAABBGGRR, as canvases keep them on little-endian machines).

const WASH = [[0, 0, 160], [0, 140, 220], [0, 170, 90], [240, 228, 66], [230, 120, 0], [200, 0, 0]];
const WASHED = 256; // colours of a wash
const LEAST_WASHED = 0.1; // of the highest level
const HOTTER = [213, 94, 0], COLDER = [0, 114, 178]; // told apart without red and green
const LEAST_SHOWN = 0.03; // of the difference's span

const mixed = (grey, [r, g, b], share) => {
  const part = (value) => Math.round(share * value + (1 - share) * grey);
  return 0xff000000 | (part(b) << 16) | (part(g) << 8) | part(r);
};
const scale = Array.from({ length: WASHED }, (_, at) => {
  const place = Math.min(at / WASHED, 0.999) * (WASH.length - 1), low = Math.floor(place);
  return WASH[low].map((value, i) => value + (place - low) * (WASH[low + 1][i] - value));
});

// Fills pixels with a plane in a window {level, width}; `wash` is the dose in steps that has the
// hottest colour (0: none); `difference` {values, span} in Gy or null.
export function paint(pixels, { hu, dose }, { level, width }, wash, difference) {
  const low = level - width / 2, gain = 255 / width;
  for (let at = 0; at < pixels.length; at++) {
    const value = hu ? (hu[at] - low) * gain : 0, grey = value < 0 ? 0 : value > 255 ? 255 : value | 0;
    const apart = difference ? difference.values[at] / difference.span : 0;
    if (Math.abs(apart) > LEAST_SHOWN) {
      pixels[at] = mixed(grey, apart > 0 ? HOTTER : COLDER, 0.2 + 0.7 * Math.min(1, Math.abs(apart)));
    } else if (wash && dose && dose[at] > LEAST_WASHED * wash) {
      pixels[at] = mixed(grey, scale[Math.min(WASHED - 1, ((dose[at] / wash) * WASHED) | 0)], 0.45);
    } else pixels[at] = 0xff000000 | (grey << 16) | (grey << 8) | grey;
  }
}
