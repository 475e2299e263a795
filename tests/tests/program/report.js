// What the test does to a report as a reader would, and what it finds. Appended to a copy of the page.
(async () => {
  const frames = async (n) => { for (let i = 0; i < n; i++) await new Promise((done) => requestAnimationFrame(done)); };
  const dots = (id) => {
    const canvas = document.getElementById(id);
    return canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  };
  const hash = (id) => dots(id).reduce((sum, v, i) => (sum + v * ((i % 9973) + 1)) % 4294967291, 7);
  // Dots that are not of the background.
  const ink = (id) => {
    const all = dots(id);
    let n = 0;
    for (let i = 4; i < all.length; i += 4) if (all[i] !== all[0] || all[i + 1] !== all[1] || all[i + 2] !== all[2]) n++;
    return n / (all.length / 4);
  };
  const $ = (id) => document.getElementById(id);
  const key = (id, name) => $(id).dispatchEvent(new KeyboardEvent("keydown", { key: name, bubbles: true, cancelable: true }));
  const pointer = (id, type, x, y) => {
    const box = $(id).getBoundingClientRect();
    $(id).dispatchEvent(new PointerEvent(type, { clientX: box.left + x, clientY: box.top + y, pointerId: 1, bubbles: true }));
  };
  const found = {};
  try {
    $("map").setPointerCapture = $("surface").setPointerCapture = () => {}; // a made-up pointer cannot be captured
    await frames(2);
    found.drawn = document.documentElement.dataset.drawn;
    found.map = ink("map");
    found.surface = ink("surface");
    found.fate_panels = document.querySelectorAll("#fates canvas").length;
    found.curves = document.querySelectorAll("#training svg polyline").length;
    found.trends = document.querySelectorAll("#trends svg polyline").length;
    found.sections = [...document.querySelectorAll("main section:not([hidden])")].map((s) => s.id);
    found.legend = document.querySelectorAll("#legend button").length;
    found.facts = document.querySelectorAll("#facts dt").length;

    const before = hash("map");
    $("coloring").value = "1";
    $("coloring").dispatchEvent(new Event("change"));
    found.recolored = hash("map") !== before;
    found.bar = document.querySelectorAll("#legend .bar").length;
    const colored = hash("map");
    key("map", "+");
    found.zoomed = hash("map") !== colored;
    key("map", "0");
    found.whole = hash("map") === colored;
    $("stream").click();
    found.bare = hash("map") !== colored;

    const turned = hash("surface");
    key("surface", "ArrowLeft");
    await frames(3);
    found.turnedByKey = hash("surface") !== turned;
    const again = hash("surface");
    pointer("surface", "pointerdown", 100, 100);
    pointer("surface", "pointermove", 160, 120);
    pointer("surface", "pointerup", 160, 120);
    await frames(3);
    found.turnedByHand = hash("surface") !== again;

    const to = placed();
    pointer("map", "pointermove", to.x(cells.at[0]), to.y(cells.at[1]));
    found.tip = $("tip").hidden ? "" : $("tip").textContent;

    $("play").click();
    await new Promise((done) => setTimeout(done, 1500));
    found.moved = cells.time > 0 && dots("motion").some((v) => v > 0);
    $("play").click();

    const gene = data.trends.genes.find((_, i) => !data.trends.first.includes(i));
    $("gene").value = gene;
    $("gene").dispatchEvent(new Event("change"));
    found.added = document.querySelectorAll("#trends svg polyline").length;

    const paper = getComputedStyle(document.body).backgroundColor;
    const light = hash("map");
    $("theme").click();
    found.otherPaper = getComputedStyle(document.body).backgroundColor !== paper && hash("map") !== light;
    $("theme").click();

    found.tooWide = document.documentElement.scrollWidth - window.innerWidth;
    found.width = window.innerWidth;
    found.loaded = performance.getEntriesByType("resource").map((r) => r.name);
    found.unnamed = [...document.querySelectorAll("button, input, select")].filter((n) => !n.textContent && !n.labels?.length).length;
  } catch (error) {
    errors.push(String(error.stack || error));
  }
  found.errors = errors;
  window.parent.document.body.append(Object.assign(window.parent.document.createElement("pre"), { id: "verdict", textContent: JSON.stringify(found) }));
})();
