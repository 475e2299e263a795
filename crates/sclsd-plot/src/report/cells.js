// Cells on the embedding: colours, streamlines, trajectories in motion, and the cell one points at.

const cells = {
  at: places(data.cells.places),
  view: { x: 0, y: 0, zoom: 1 },
  hidden: new Set(),
  coloring: 0,
  streams: data.streamlines ? lines(data.streamlines) : [],
  paths: data.trajectories ? lines(data.trajectories.places) : [],
  time: 0,
};
cells.n = cells.at.length / 2;
cells.box = (() => {
  const [x, y] = data.cells.places.range;
  return { x: (x[0] + x[1]) / 2, y: (y[0] + y[1]) / 2, width: x[1] - x[0], height: y[1] - y[0] };
})();

function decoded(coloring) {
  if (!coloring.values_) {
    const raw = bytes(coloring.values.data);
    coloring.values_ = coloring.categories.length ? new Uint16Array(raw.buffer) : raw;
  }
  return coloring.values_;
}

/** The value that means "none". */
function none(coloring) {
  return coloring.categories.length ? 65535 : 255;
}

function colorOf(coloring, value) {
  if (value === none(coloring)) return style("--missing");
  return coloring.categories.length ? coloring.categories[value][1] : gradient(value / 254);
}

function said(coloring, value) {
  if (value === none(coloring)) return "–";
  if (coloring.categories.length) return coloring.categories[value][0];
  const [low, high] = coloring.values.range[0];
  return short(low + (value / 254) * (high - low));
}

/** From units of the embedding to CSS pixels. */
function placed({ width, height, view, box } = cells) {
  const scale = 0.94 * Math.min(width / box.width, height / box.height) * view.zoom;
  return {
    scale,
    x: (x) => width / 2 + (x - box.x - view.x) * scale,
    y: (y) => height / 2 - (y - box.y - view.y) * scale,
  };
}

/** Radius of a cell's mark where all cells are seen. */
function cellRadius(width, height, zoom = 1) {
  return Math.max(0.7, Math.min(5, Math.sqrt((0.035 * width * height) / Math.max(cells.n, 1)) * Math.sqrt(zoom)));
}

/** A path around each of some cells. */
function trace(context, to, members, radius) {
  context.beginPath();
  for (const i of members) {
    const x = to.x(cells.at[2 * i]), y = to.y(cells.at[2 * i + 1]);
    if (radius < 1.6) context.rect(x - radius, y - radius, 2 * radius, 2 * radius);
    else { context.moveTo(x + radius, y); context.arc(x, y, radius, 0, 7); }
  }
}

function drawCells() {
  const width = $("map").parentElement.clientWidth;
  const height = Math.max(260, Math.min(0.68 * window.innerHeight, width * 0.72));
  Object.assign(cells, { width, height });
  const context = sharp($("map"), width, height);
  context.fillStyle = style("--card");
  context.fillRect(0, 0, width, height);
  const to = placed();
  const radius = cellRadius(width, height, cells.view.zoom);
  const coloring = data.cells.colorings[cells.coloring];
  const values = coloring ? decoded(coloring) : null;
  const faint = (cells.streams.length && $("stream").checked) || $("rolling").checked;
  context.globalAlpha = faint ? 0.45 : 0.9;
  // One colour at a time: changing colours is what takes long.
  const groups = new Map();
  for (let i = 0; i < cells.n; i++) {
    const value = values ? values[i] : 0;
    if (cells.hidden.has(value)) continue;
    if (!groups.has(value)) groups.set(value, []);
    groups.get(value).push(i);
  }
  for (const [value, members] of [...groups].sort((a, b) => a[0] - b[0])) {
    context.fillStyle = coloring ? colorOf(coloring, value) : style("--soft");
    trace(context, to, members, radius);
    context.fill();
  }
  context.globalAlpha = 1;
  if ($("stream").checked) drawStreams(context, to);
  drawMotion();
}

function drawStreams(context, to) {
  context.strokeStyle = context.fillStyle = style("--ink");
  context.lineWidth = cells.width < 500 ? 0.8 : 1.2;
  for (const line of cells.streams) {
    context.beginPath();
    for (let i = 0; i < line.length; i += 2) context.lineTo(to.x(line[i]), to.y(line[i + 1]));
    context.stroke();
    const middle = 2 * Math.floor(line.length / 4);
    const before = Math.max(0, middle - 8);
    arrow(context, to.x(line[before]), to.y(line[before + 1]), to.x(line[middle]), to.y(line[middle + 1]));
  }
}

function arrow(context, ax, ay, bx, by) {
  const angle = Math.atan2(by - ay, bx - ax);
  const size = Math.max(5, Math.min(9, cells.width / 80));
  context.beginPath();
  context.moveTo(bx, by);
  for (const side of [2.7, -2.7]) context.lineTo(bx + size * Math.cos(angle + side), by + size * Math.sin(angle + side));
  context.closePath();
  context.fill();
}

/** Trajectories up to the present time, on a canvas of their own. */
function drawMotion() {
  const context = sharp($("motion"), cells.width, cells.height);
  context.clearRect(0, 0, cells.width, cells.height);
  if (!$("rolling").checked || !cells.paths.length) return;
  const to = placed();
  const times = data.trajectories.times;
  const now = cells.time * times[times.length - 1];
  let last = times.findIndex((t) => t > now);
  last = last < 0 ? times.length - 1 : Math.max(0, last - 1);
  const span = times[last + 1] - times[last];
  const share = span > 0 ? Math.min(1, (now - times[last]) / span) : 0;
  cells.paths.forEach((path, i) => {
    context.strokeStyle = context.fillStyle = data.trajectories.colors[i];
    context.lineWidth = 1.6;
    context.beginPath();
    for (let step = Math.max(0, last - 40); step <= last; step++) context.lineTo(to.x(path[2 * step]), to.y(path[2 * step + 1]));
    const next = Math.min(last + 1, times.length - 1);
    const x = path[2 * last] + share * (path[2 * next] - path[2 * last]);
    const y = path[2 * last + 1] + share * (path[2 * next + 1] - path[2 * last + 1]);
    context.lineTo(to.x(x), to.y(y));
    context.stroke();
    context.beginPath();
    context.arc(to.x(x), to.y(y), 3.6, 0, 7);
    context.fill();
    context.strokeStyle = style("--ink");
    context.lineWidth = 0.8;
    context.stroke();
  });
  $("clock").textContent = now.toFixed(1);
}

function drawLegend() {
  const legend = $("legend");
  const coloring = data.cells.colorings[cells.coloring];
  legend.replaceChildren();
  if (!coloring) return;
  if (!coloring.categories.length) {
    legend.append(bar(coloring.name, coloring.values.range[0]));
    return;
  }
  coloring.categories.forEach(([name, color], value) => {
    const swatch = element("span", { class: "swatch" });
    swatch.style.background = color;
    const button = element("button", { type: "button", "aria-pressed": String(!cells.hidden.has(value)) }, swatch, name);
    button.addEventListener("click", () => {
      cells.hidden.has(value) ? cells.hidden.delete(value) : cells.hidden.add(value);
      button.setAttribute("aria-pressed", String(!cells.hidden.has(value)));
      drawCells();
    });
    legend.append(button);
  });
}

function nearest(px, py, reach) {
  const to = placed();
  let best = -1, closest = reach * reach;
  const values = data.cells.colorings.length ? decoded(data.cells.colorings[cells.coloring]) : null;
  for (let i = 0; i < cells.n; i++) {
    if (values && cells.hidden.has(values[i])) continue;
    const dx = to.x(cells.at[2 * i]) - px, dy = to.y(cells.at[2 * i + 1]) - py;
    const far = dx * dx + dy * dy;
    if (far < closest) { closest = far; best = i; }
  }
  return best;
}

function tell(cell, px, py) {
  const tip = $("tip");
  tip.hidden = cell < 0;
  if (cell < 0) return;
  const about = data.cells.colorings.map((c) => `${c.name}: ${said(c, decoded(c)[cell])}`).concat(fatesOf(cell));
  tip.replaceChildren(element("strong", {}, data.cells.names[cell]), ...about.flatMap((line) => [element("br"), line]));
  tip.style.left = `${Math.max(4, Math.min(px + 12, cells.width - tip.offsetWidth - 6))}px`;
  tip.style.top = `${Math.max(4, Math.min(py + 12, cells.height - tip.offsetHeight - 6))}px`;
}

function zoomAt(factor, px, py) {
  const before = placed();
  const zoom = Math.max(1, Math.min(60, cells.view.zoom * factor));
  const change = 1 / before.scale - cells.view.zoom / (before.scale * zoom);
  cells.view.x += (px - cells.width / 2) * change;
  cells.view.y -= (py - cells.height / 2) * change;
  cells.view.zoom = zoom;
  if (zoom === 1) cells.view.x = cells.view.y = 0;
  drawCells();
}

function startCells() {
  const map = $("map");
  const select = $("coloring");
  data.cells.colorings.forEach((coloring, i) => select.append(element("option", { value: i }, coloring.name)));
  select.addEventListener("change", () => {
    cells.coloring = +select.value;
    cells.hidden.clear();
    drawLegend();
    drawCells();
  });
  if (data.cells.names.length < data.cells.n) {
    $("sample").textContent = `Showing ${data.cells.names.length.toLocaleString("en")} of ${data.cells.n.toLocaleString("en")} cells, drawn evenly at random. Streamlines, landscape and genes are of all cells; trajectories${data.fates && data.fates.n < data.cells.n ? " and fates" : ""} are of those shown.`;
  }
  if (!cells.streams.length) document.querySelectorAll(".for-stream").forEach((node) => (node.hidden = true));
  if (!cells.paths.length) document.querySelectorAll(".for-trajectories").forEach((node) => (node.hidden = true));
  $("stream").checked = cells.streams.length > 0;
  $("stream").addEventListener("change", drawCells);
  $("rolling").addEventListener("change", drawCells);
  $("time").addEventListener("input", () => {
    cells.time = $("time").value / 1000;
    if (!$("rolling").checked) { $("rolling").checked = true; drawCells(); } else drawMotion();
  });
  $("play").addEventListener("click", play);

  let from = null;
  map.addEventListener("pointerdown", (e) => { from = [e.clientX, e.clientY]; map.setPointerCapture(e.pointerId); });
  map.addEventListener("pointerup", () => (from = null));
  map.addEventListener("pointermove", (e) => {
    if (from) {
      const { scale } = placed();
      cells.view.x -= (e.clientX - from[0]) / scale;
      cells.view.y += (e.clientY - from[1]) / scale;
      from = [e.clientX, e.clientY];
      drawCells();
    } else {
      tell(nearest(e.offsetX, e.offsetY, 12), e.offsetX, e.offsetY);
    }
  });
  map.addEventListener("pointerleave", () => tell(-1));
  map.addEventListener("wheel", (e) => { e.preventDefault(); zoomAt(e.deltaY < 0 ? 1.2 : 1 / 1.2, e.offsetX, e.offsetY); }, { passive: false });
  map.addEventListener("keydown", (e) => {
    const step = 30 / placed().scale;
    const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] };
    const middle = [cells.width / 2, cells.height / 2];
    if (moves[e.key]) { cells.view.x += moves[e.key][0]; cells.view.y += moves[e.key][1]; drawCells(); }
    else if (e.key === "+" || e.key === "=") zoomAt(1.3, ...middle);
    else if (e.key === "-") zoomAt(1 / 1.3, ...middle);
    else if (e.key === "0") { cells.view = { x: 0, y: 0, zoom: 1 }; drawCells(); }
    else if (e.key === "Enter") tell(nearest(...middle, 200), ...middle);
    else return;
    e.preventDefault();
  });
  drawLegend();
}

function play() {
  if (cells.playing) { cells.playing = false; $("play").textContent = "Play"; return; }
  $("rolling").checked = true;
  if (cells.time >= 1) cells.time = 0;
  cells.playing = true;
  $("play").textContent = "Pause";
  drawCells();
  let before = null;
  const frame = (now) => {
    if (!cells.playing) return;
    // Cells move most at first: let the clock run slowly there.
    if (before !== null) cells.time = Math.min(1, (Math.sqrt(cells.time) + (now - before) / 9000) ** 2);
    before = now;
    $("time").value = 1000 * cells.time;
    drawMotion();
    if (cells.time < 1) requestAnimationFrame(frame);
    else { cells.playing = false; $("play").textContent = "Play"; }
  };
  requestAnimationFrame(frame);
}
