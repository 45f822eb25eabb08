// The distances of a result's matched pairs, head to feet: one bar a pair; a click shows the pair.

export function strip(canvas, pairs, colour, chosen, jump) {
  const pen = canvas.getContext("2d"), { width, height } = canvas;
  const most = Math.max(0.1, ...pairs.map((pair) => pair.distance)), step = width / pairs.length;
  pen.clearRect(0, 0, width, height);
  pairs.forEach((pair, at) => {
    pen.fillStyle = pair === chosen ? "#D55E00" : colour;
    const tall = Math.max(2, (pair.distance / most) * (height - 4));
    pen.fillRect(at * step, height - tall, Math.max(1, step - 1), tall);
  });
  canvas.onclick = (event) => {
    const box = canvas.getBoundingClientRect();
    const at = Math.floor(((event.clientX - box.left) / box.width) * pairs.length);
    if (pairs[at]) jump(pairs[at].query_slice);
  };
}
