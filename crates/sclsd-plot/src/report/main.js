// The page: words, then figures, then what redraws them.

function startWords() {
  $("facts").querySelector("dl").append(...data.facts.flatMap(([name, value]) => [element("div", {}, element("dt", {}, name), element("dd", {}, value))]));
  $("warnings").hidden = !data.warnings.length;
  $("warnings").querySelector("ul").append(...data.warnings.map((text) => element("li", {}, text)));
  $("config").hidden = !data.config;
  $("config").querySelector("pre").textContent = data.config;
  $("figures").hidden = !data.figures.length;
  $("figures").querySelector("table").append(...data.figures.map(([name, value, meaning]) =>
    element("tr", {}, element("th", { scope: "row" }, name), element("td", { class: "number" }, value), element("td", {}, meaning))));
}

function startNavigation() {
  for (const section of document.querySelectorAll("main section:not([hidden])")) {
    if (section.id !== "warnings") document.querySelector("nav").append(element("a", { href: `#${section.id}` }, section.querySelector("h2").textContent));
  }
}

function redraw() {
  drawCells();
  drawSurface();
  drawFates();
}

function startTheme() {
  const dark = (on) => {
    document.documentElement.classList.toggle("dark", on);
    $("theme").setAttribute("aria-pressed", String(on));
    $("theme").textContent = on ? "Light" : "Dark";
  };
  const wish = window.matchMedia("(prefers-color-scheme: dark)");
  dark(wish.matches);
  wish.addEventListener("change", () => { dark(wish.matches); redraw(); });
  $("theme").addEventListener("click", () => { dark(!document.documentElement.classList.contains("dark")); redraw(); });
}

startTheme();
startAudit();
startWords();
startCells();
startSurface();
startFates();
startTrends();
startTraining();
startNavigation();
redraw();
let waiting = 0;
window.addEventListener("resize", () => { cancelAnimationFrame(waiting); waiting = requestAnimationFrame(redraw); });
document.documentElement.dataset.drawn = "yes";
