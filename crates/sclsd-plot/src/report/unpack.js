// What the page holds, as arrays to draw from.

const data = JSON.parse(document.getElementById("data").textContent);

function bytes(text) {
  const raw = atob(text);
  const out = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) out[i] = raw.charCodeAt(i);
  return out;
}

/** Places of 16 bits each way, as x, y, x, y, … in units of the embedding. */
function places(packed) {
  const raw = new Uint16Array(bytes(packed.data).buffer);
  const out = new Float32Array(raw.length);
  for (let i = 0; i < raw.length; i++) {
    const [low, high] = packed.range[i % 2];
    out[i] = low + (raw[i] / 65535) * (high - low);
  }
  return out;
}

/** The lines that packed places make, one array of x, y, … each. */
function lines(packed) {
  const all = places(packed);
  let at = 0;
  return packed.lengths.map((length) => all.subarray(at, (at += 2 * length)));
}

/** The colour at a share of 0 to 1. */
function gradient(share) {
  const last = GRADIENT.length - 1;
  return GRADIENT[Math.max(0, Math.min(last, Math.round(share * last)))];
}

function style(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function short(value) {
  if (!Number.isFinite(value)) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  return size >= 1e5 || size < 1e-3 ? value.toExponential(1) : String(+value.toPrecision(3));
}

const $ = (id) => document.getElementById(id);

function element(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/** A canvas as sharp as the screen: its context, width and height in CSS pixels. */
function sharp(canvas, width, height) {
  const dots = Math.min(window.devicePixelRatio || 1, 2);
  canvas.width = Math.round(width * dots);
  canvas.height = Math.round(height * dots);
  canvas.style.height = `${height}px`;
  const context = canvas.getContext("2d");
  context.setTransform(dots, 0, 0, dots, 0, 0);
  return context;
}

/** A bar of the gradient with the range it stands for. */
function bar(name, [low, high]) {
  const strip = element("i");
  strip.style.background = `linear-gradient(to right, ${GRADIENT.join(",")})`;
  return element("div", { class: "bar" }, name, element("span", {}, short(low)), strip, element("span", {}, short(high)));
}
