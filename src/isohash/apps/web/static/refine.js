// The span of slices that counts, taken from the slice that is shown; the form asks with it.

const here = () => new URLSearchParams(location.hash.slice(1)).get("slice");
const field = () => document.getElementById("span");

function set(place) {
  const slice = here(), span = field();
  if (slice === null || !span) return;
  const ends = span.value.trim() ? span.value.trim().split(/[\s,]+/) : [slice, slice];
  ends[place] = slice;
  if (Number(ends[0]) > Number(ends[1])) ends[1 - place] = slice;
  span.value = ends.join(" ");
  document.getElementById("refine").open = true;
}

// One scrolls from the head, where the slices have the highest numbers: "from" sets the last of them.
const PLACES = { "[": 1, "]": 0, "span-first": 1, "span-last": 0 };

document.addEventListener("click", (event) => {
  if (event.target.id in PLACES) set(PLACES[event.target.id]);
});
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input:not([type=checkbox]):not([type=range]), select, dialog")) return;
  if (event.key in PLACES) set(PLACES[event.key]);
});
