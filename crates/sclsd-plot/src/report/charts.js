// Curves, flows and tables.

const SVG = "http://www.w3.org/2000/svg";
const CURVES = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#7f7f7f", "#b8a600"];

function mark(tag, attributes, text) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text !== undefined) node.textContent = text;
  return node;
}

/** About n round numbers within a range. */
function ticks(low, high, n) {
  const span = high - low;
  if (!(span > 0)) return [low];
  const power = 10 ** Math.floor(Math.log10(span / n));
  const step = power * [1, 2, 5, 10].find((m) => m * power >= (span / n) * 0.999);
  const out = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * span; k++) out.push(k * step);
  return out;
}

/** Curves { name, color, values } over x. A wide range of numbers above 0 has a logarithmic axis. */
function chart(x, curves, { width, height, xLabel, label, linear }) {
  const left = 46, bottom = 32, top = 8, right = 10;
  const finite = curves.flatMap((c) => c.values.filter(Number.isFinite));
  let [low, high] = [Math.min(...finite), Math.max(...finite)];
  const log = !linear && low > 0 && high > 100 * low;
  const lift = log ? Math.log10 : (v) => v;
  [low, high] = [lift(low), lift(high)];
  if (!(high > low)) [low, high] = [low - 0.5, high + 0.5];
  const [x0, x1] = [x[0], Math.max(x[x.length - 1], x[0] + 1e-9)];
  const px = (v) => left + ((v - x0) / (x1 - x0)) * (width - left - right);
  const py = (v) => height - bottom - ((v - low) / (high - low)) * (height - bottom - top);
  const svg = mark("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
  svg.append(mark("path", { class: "axis", d: `M${left} ${top}V${height - bottom}H${width - right}` }));
  for (const v of ticks(x0, x1, 4)) svg.append(mark("text", { x: px(v), y: height - bottom + 15, "text-anchor": "middle", class: "soft" }, short(v)));
  for (const v of ticks(low, high, 4)) svg.append(mark("text", { x: left - 6, y: py(v) + 4, "text-anchor": "end", class: "soft" }, short(log ? 10 ** v : v)));
  svg.append(mark("text", { x: (left + width - right) / 2, y: height - 3, "text-anchor": "middle", class: "soft" }, xLabel));
  for (const curve of curves) {
    const points = curve.values.map((v, i) => (Number.isFinite(v) ? `${px(x[i]).toFixed(1)},${py(lift(v)).toFixed(1)}` : "")).filter(Boolean);
    svg.append(mark("polyline", { points: points.join(" "), fill: "none", stroke: curve.color, "stroke-width": 1.8 }));
  }
  return svg;
}

function startTraining() {
  const names = Object.keys(data.history);
  if (!names.length) return;
  $("training").hidden = false;
  const panels = $("training").querySelector(".panels");
  names.sort((a, b) => (b === "loss") - (a === "loss") || a.localeCompare(b));
  names.forEach((name) => {
    const values = data.history[name];
    const title = name.replace(/^loss_/, "").replaceAll("_", " ");
    const x = values.map((_, epoch) => epoch + 1);
    const last = short(values[values.length - 1]);
    const label = `${title} by epoch, ${last} at the end`;
    panels.append(element("div", {}, element("h3", {}, title), chart(x, [{ values, color: "var(--accent)" }], { width: 260, height: 170, xLabel: "epoch", label })));
  });
}

function startTrends() {
  const trends = data.trends;
  if (!trends) return;
  $("trends").hidden = false;
  const raw = bytes(trends.values.data);
  const bins = trends.times.length;
  const values = (gene) => {
    const [low, high] = trends.values.range[gene];
    return Array.from(raw.subarray(gene * bins, (gene + 1) * bins), (b) => low + (b / 254) * (high - low));
  };
  // Pseudotime may crowd at an end; the order of cells does not.
  const share = trends.times.map((_, bin) => (100 * (bin + 0.5)) / bins);
  let chosen = [...trends.first];
  const draw = () => {
    const curves = chosen.map((gene, i) => ({ name: trends.genes[gene], color: CURVES[i % CURVES.length], values: values(gene) }));
    const figure = $("trends").querySelector(".figure");
    figure.replaceChildren();
    const width = Math.max(300, Math.min(figure.clientWidth || 700, 900));
    if (curves.length) figure.append(chart(share, curves, { width, height: 280, linear: true, xLabel: "cells in order of pseudotime, %", label: `Mean expression of ${curves.map((c) => c.name).join(", ")} along pseudotime` }));
    $("chosen").replaceChildren(...curves.map((curve, i) => {
      const swatch = element("span", { class: "swatch" });
      swatch.style.background = curve.color;
      const button = element("button", { type: "button", title: "Take away" }, swatch, curve.name);
      button.addEventListener("click", () => { chosen.splice(i, 1); draw(); });
      return button;
    }));
  };
  $("genes").append(...trends.genes.map((gene) => element("option", { value: gene })));
  $("gene").addEventListener("change", () => {
    const wanted = $("gene").value.trim().toLowerCase();
    const gene = trends.genes.findIndex((name) => name.toLowerCase() === wanted);
    $("gene").setCustomValidity(gene < 0 && wanted ? "There is no such gene in this file" : "");
    $("gene").reportValidity();
    if (gene >= 0 && !chosen.includes(gene)) chosen.push(gene);
    if (gene >= 0) $("gene").value = "";
    draw();
  });
  $("clear").addEventListener("click", () => { chosen = []; draw(); });
  draw();
}

function startFates() {
  const fates = data.fates;
  if (!fates) return;
  $("fates").hidden = false;
  const n = fates.clusters.length;
  const count = (from, to) => fates.cells[from * n + to];
  const all = fates.cells.reduce((a, b) => a + b, 0) || 1;
  const indices = [...Array(n).keys()];
  const from = indices.map((a) => indices.reduce((s, b) => s + count(a, b), 0));
  const into = indices.map((b) => indices.reduce((s, a) => s + count(a, b), 0));
  const sources = indices.filter((i) => from[i]), ends = indices.filter((i) => into[i]);

  const figure = $("fates").querySelector(".figure");
  const width = Math.max(320, Math.min(760, figure.clientWidth)), gap = 8, height = Math.max(240, 34 * Math.max(sources.length, ends.length));
  const most = width < 500 ? 14 : 24;
  const label = (i) => fates.clusters[i].length > most ? `${fates.clusters[i].slice(0, most - 1)}…` : fates.clusters[i];
  const wide = 6.3 * Math.max(...indices.map((i) => label(i).length)) + 50;
  const x = [Math.min(wide, 0.38 * width), width - Math.min(wide + 22, 0.4 * width)];
  const svg = mark("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": "Where the cells of each cluster end; the table below has the numbers" });
  const stack = (list, sizes) => {
    const unit = (height - gap * (list.length - 1)) / all;
    let y = 0;
    const tops = {};
    for (const i of list) { tops[i] = { y, unit, used: 0 }; y += sizes[i] * unit + gap; }
    return tops;
  };
  const left = stack(sources, from), right = stack(ends, into);
  for (const a of sources) {
    for (const b of ends) {
      const cells = count(a, b);
      if (!cells) continue;
      const [l, r] = [left[a], right[b]];
      const y0 = l.y + l.used, y1 = r.y + r.used;
      l.used += cells * l.unit;
      r.used += cells * r.unit;
      const middle = (x[0] + x[1]) / 2;
      const d = `M${x[0] + 12} ${y0}C${middle} ${y0} ${middle} ${y1} ${x[1]} ${y1}V${y1 + cells * r.unit}C${middle} ${y1 + cells * r.unit} ${middle} ${y0 + cells * l.unit} ${x[0] + 12} ${y0 + cells * l.unit}Z`;
      const flow = mark("path", { d, fill: fates.colors[a], "fill-opacity": 0.45 });
      flow.append(mark("title", {}, `${fates.clusters[a]} to ${fates.clusters[b]}: ${cells} cells`));
      svg.append(flow);
    }
  }
  const block = (list, tops, sizes, at, anchor, tx, text) => {
    let last = -Infinity;
    for (const i of list) {
      const tall = Math.max(1, sizes[i] * tops[i].unit);
      svg.append(mark("rect", { x: at, y: tops[i].y, width: 12, height: tall, fill: fates.colors[i] }));
      last = Math.max(tops[i].y + tall / 2 + 4, last + 13); // no label on another
      svg.append(mark("text", { x: tx, y: last, "text-anchor": anchor }, text(i)));
    }
  };
  block(sources, left, from, x[0], "end", x[0] - 8, (i) => `${label(i)} (${from[i]})`);
  block(ends, right, into, x[1], "start", x[1] + 20, (i) => `${label(i)}: ${((100 * into[i]) / all).toFixed(1)} %`);
  figure.append(svg);

  const table = $("fates").querySelector("table");
  table.append(element("tr", {}, element("th", { scope: "col" }, "from \\ to"), ...ends.map((b) => element("th", { scope: "col" }, fates.clusters[b]))));
  for (const a of sources) {
    table.append(element("tr", {}, element("th", { scope: "row" }, fates.clusters[a]), ...ends.map((b) => element("td", { class: "number" }, String(count(a, b))))));
  }
}
