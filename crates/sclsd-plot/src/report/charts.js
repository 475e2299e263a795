// Curves.

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
