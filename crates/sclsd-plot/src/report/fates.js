// Fates: a panel for each on the embedding, the model and what it is compared with, and means within clusters.

const fates = { beside: null, panels: [] };

/** Rounds in which a panel's cells are painted, so that none of their colours is always on top. */
const ROUNDS = 16;
/** Colours between a probability of 0 and one of 1. */
const SHADES = 32;

function channels(color) {
  return [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16));
}

/** A colour at a share of the way to another. */
function between(from, to, share) {
  const [a, b] = [channels(from), channels(to)];
  return `#${a.map((v, i) => Math.round(v + share * (b[i] - v)).toString(16).padStart(2, "0")).join("")}`;
}

/** Probabilities of the cells that are shown, 0 to 254, cells × fates; 255 where no terminal state is reached. */
function probabilities(method) {
  return (method.values_ ||= bytes(method.values.data));
}

function shownMethods() {
  const [model, ...others] = data.fates.methods;
  return [model, ...others.filter((method) => method.name === fates.beside)];
}

/** Members of each round and shade of a fate: lists of cells in the order they are painted. */
function strokes(method, fate) {
  const values = probabilities(method), n = data.fates.names.length;
  const lists = Array.from({ length: ROUNDS * (SHADES + 2) }, () => []);
  for (let i = 0; i < cells.n; i++) {
    const value = values[i * n + fate];
    const shade = value === 255 ? SHADES + 1 : Math.round((value / 254) * SHADES);
    const round = (Math.imul(i, 2654435761) >>> 16) % ROUNDS;
    lists[round * (SHADES + 2) + shade].push(i);
  }
  return lists;
}

function drawPanel(canvas, method, fate) {
  const width = canvas.parentElement.clientWidth;
  const height = Math.round(width * Math.max(0.6, Math.min(1.15, cells.box.height / cells.box.width)));
  const context = sharp(canvas, width, height);
  context.fillStyle = style("--card");
  context.fillRect(0, 0, width, height);
  const to = placed({ width, height, view: { x: 0, y: 0, zoom: 1 }, box: cells.box });
  const radius = cellRadius(width, height);
  const [zero, color] = [style("--nothing"), data.fates.colors[fate]];
  context.strokeStyle = style("--soft");
  context.lineWidth = Math.min(0.8, radius / 2);
  strokes(method, fate).forEach((members, at) => {
    if (!members.length) return;
    const shade = at % (SHADES + 2);
    trace(context, to, members, shade > SHADES ? 0.8 * radius : radius);
    if (shade > SHADES) { context.stroke(); return; }
    context.fillStyle = between(zero, color, shade / SHADES);
    context.fill();
  });
}

function drawFates() {
  if (!data.fates) return;
  fates.panels.forEach(([canvas, method, fate]) => drawPanel(canvas, method, fate));
  $("fates").querySelectorAll(".ramp").forEach((ramp, fate) => {
    ramp.style.background = `linear-gradient(to right, ${style("--nothing")}, ${data.fates.colors[fate]})`;
  });
  $("fates").querySelectorAll("td[data-share]").forEach((cell) => {
    // Never so dark that the number cannot be read on it.
    const share = 0.75 * cell.dataset.share;
    const color = between(style("--card"), data.fates.colors[cell.dataset.fate], share);
    const [r, g, b] = channels(color);
    cell.style.background = color;
    cell.style.color = 0.299 * r + 0.587 * g + 0.114 * b > 125 ? "#1f2328" : "#ffffff";
  });
}

/** The panels of every fate: the model's, and beside it the method chosen. */
function layFates() {
  const methods = shownMethods();
  const list = $("fates").querySelector(".fates");
  fates.panels = [];
  list.classList.toggle("alone", methods.length === 1);
  list.replaceChildren(...data.fates.names.map((name, fate) => {
    const panels = methods.map((method) => {
      const canvas = element("canvas", { role: "img", "aria-label": `Probability of ${name} on the embedding: ${method.name}` });
      fates.panels.push([canvas, method, fate]);
      return element("div", {}, element("div", { class: "stage" }, canvas), element("p", { class: "note" }, method.name));
    });
    const swatch = element("span", { class: "swatch" });
    swatch.style.background = data.fates.colors[fate];
    const heading = element("figcaption", {}, element("h3", {}, swatch, name), element("div", { class: "bar" }, "0", element("i", { class: "ramp" }), "1"));
    return element("figure", {}, heading, element("div", { class: "pair" }, ...panels));
  }));
  layMeans(methods);
}

/** The table of means: clusters down, fates across, each by the methods shown. */
function layMeans(methods) {
  const { names, clusters } = data.fates;
  $("means").hidden = !clusters.length;
  if (!clusters.length) return;
  const head = [element("tr", {}, element("th", { scope: "col", rowspan: methods.length > 1 ? 2 : 1 }, "Cluster"),
    element("th", { scope: "col", class: "number", rowspan: methods.length > 1 ? 2 : 1 }, "Cells"),
    ...names.map((name) => element("th", { scope: "colgroup", class: "fate", colspan: methods.length }, name)))];
  if (methods.length > 1) head.push(element("tr", {}, ...names.flatMap(() => methods.map((method) => element("th", { scope: "col", class: "number" }, method.name)))));
  const rows = clusters.map(([cluster, n], row) => {
    const cellsOf = names.flatMap((_, fate) => methods.map((method) => {
      const mean = method.means[row * names.length + fate];
      if (mean === null) return element("td", { class: "number" }, "–");
      return element("td", { class: "number", "data-share": mean, "data-fate": fate }, mean.toFixed(2));
    }));
    return element("tr", {}, element("th", { scope: "row" }, cluster), element("td", { class: "number" }, n.toLocaleString("en")), ...cellsOf);
  });
  $("means").querySelector("table").replaceChildren(element("thead", {}, ...head), element("tbody", {}, ...rows));
}

/** What a cell's likely fates are, in words; nothing without fates. */
function fatesOf(cell) {
  if (!data.fates) return [];
  const values = probabilities(data.fates.methods[0]), n = data.fates.names.length;
  const row = data.fates.names.map((name, fate) => [name, values[cell * n + fate]]);
  if (!n || row[0][1] === 255) return ["reaches no terminal state"];
  const likely = row.sort((a, b) => b[1] - a[1]).slice(0, 3).filter(([, value]) => value >= 0.05 * 254);
  return [`may become ${likely.map(([name, value]) => `${name} (${(value / 254).toFixed(2)})`).join(", ")}`];
}

function startFates() {
  if (!data.fates || !data.fates.names.length) return;
  const { methods, n, unreached, note } = data.fates;
  $("fates").hidden = false;
  const count = (v) => v.toLocaleString("en");
  $("unreached").textContent = unreached ? `${count(unreached)} of ${count(n)} cells reach no terminal state by the model: they are outlines without a colour, and no part of the means.` : "";
  $("fate-note").textContent = note || "";
  const beside = $("beside");
  const others = methods.slice(1).map((method) => method.name);
  $("fates").querySelector(".controls").hidden = !others.length;
  beside.append(...others.map((name) => element("option", { value: name }, name)), element("option", { value: "" }, "nothing"));
  fates.beside = beside.value = others[0] || "";
  beside.addEventListener("change", () => { fates.beside = beside.value; layFates(); drawFates(); });
  layFates();
}
