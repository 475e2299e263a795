// The landscape as a surface that can be turned.

const surface = { azimuth: -60, elevation: 42 };

function readSurface() {
  const grid = data.landscape;
  const heights = bytes(grid.heights.data);
  const [[x0, y0], [x1, y1]] = grid.corners;
  const long = Math.max(x1 - x0, y1 - y0);
  const center = [(x0 + x1) / 2, (y0 + y1) / 2];
  const unit = (x, y) => [(x - center[0]) / long, (y - center[1]) / long];
  const tiles = [];
  for (let row = 0; row + 1 < grid.rows; row++) {
    for (let column = 0; column + 1 < grid.columns; column++) {
      const corners = [[0, 0], [1, 0], [1, 1], [0, 1]].map(([c, r]) => {
        const h = heights[(row + r) * grid.columns + column + c];
        const x = x0 + ((column + c) / (grid.columns - 1)) * (x1 - x0);
        const y = y0 + ((row + r) / (grid.rows - 1)) * (y1 - y0);
        return [...unit(x, y), h === 255 ? NaN : h / 254];
      });
      if (corners.every((c) => Number.isFinite(c[2]))) tiles.push(corners);
    }
  }
  const height = (x, y) => {
    const u = ((x - x0) / (x1 - x0)) * (grid.columns - 1), v = ((y - y0) / (y1 - y0)) * (grid.rows - 1);
    const h = heights[Math.round(v) * grid.columns + Math.round(u)];
    return h === undefined || h === 255 ? NaN : h / 254;
  };
  // Turn about the middle of what there is.
  const all = tiles.flat();
  const middle = [0, 1].map((axis) => {
    const values = all.map((c) => c[axis]);
    return (values.reduce((a, b) => Math.min(a, b), Infinity) + values.reduce((a, b) => Math.max(a, b), -Infinity)) / 2;
  });
  const seen = new Set();
  for (const corner of all) {
    if (seen.has(corner)) continue;
    seen.add(corner);
    corner[0] -= middle[0];
    corner[1] -= middle[1];
  }
  const moved = (x, y) => unit(x, y).map((v, axis) => v - middle[axis]);
  Object.assign(surface, { tiles });
  surface.paths = cells.paths.slice(0, 60).map((path) => {
    const points = [];
    for (let i = 0; i < path.length; i += 2) points.push([...moved(path[i], path[i + 1]), height(path[i], path[i + 1])]);
    return points;
  });
}

function drawSurface() {
  if (!surface.tiles) return;
  const canvas = $("surface");
  const width = canvas.parentElement.clientWidth;
  const tall = Math.max(260, Math.min(0.62 * window.innerHeight, width * 0.62));
  const context = sharp(canvas, width, tall);
  context.fillStyle = style("--card");
  context.fillRect(0, 0, width, tall);
  const relief = 0.9 * (+$("relief").value / 100);
  const [a, e] = [surface.azimuth, surface.elevation].map((d) => (d * Math.PI) / 180);
  const [sa, ca, se, ce] = [Math.sin(a), Math.cos(a), Math.sin(e), Math.cos(e)];
  const seen = ([x, y, h]) => {
    const z = relief * (h - 0.5);
    const towards = ca * x + sa * y;
    return [-sa * x + ca * y, se * towards - ce * z, ce * towards + se * z];
  };
  const low = [Infinity, Infinity], high = [-Infinity, -Infinity];
  for (const [corner] of surface.tiles) {
    seen(corner).slice(0, 2).forEach((v, axis) => { low[axis] = Math.min(low[axis], v); high[axis] = Math.max(high[axis], v); });
  }
  const scale = 0.9 * Math.min(width / (high[0] - low[0]), tall / (high[1] - low[1]), 1.4 * width);
  const see = (point) => {
    const [across, down, depth] = seen(point);
    return [width / 2 + scale * (across - (low[0] + high[0]) / 2), tall / 2 + scale * (down - (low[1] + high[1]) / 2), depth];
  };
  const light = [-0.35, -0.45, 0.82];
  const pieces = surface.tiles.map((corners) => {
    const points = corners.map(see);
    const edge = (i, j) => [corners[j][0] - corners[i][0], corners[j][1] - corners[i][1], relief * (corners[j][2] - corners[i][2])];
    const [p, q] = [edge(0, 2), edge(1, 3)];
    const normal = [p[1] * q[2] - p[2] * q[1], p[2] * q[0] - p[0] * q[2], p[0] * q[1] - p[1] * q[0]];
    const length = Math.hypot(...normal) || 1;
    const facing = (normal[0] * light[0] + normal[1] * light[1] + normal[2] * light[2]) / length;
    const share = (corners[0][2] + corners[1][2] + corners[2][2] + corners[3][2]) / 4;
    return { depth: (points[0][2] + points[1][2] + points[2][2] + points[3][2]) / 4, points, color: shaded(gradient(share), facing) };
  });
  if ($("paths").checked) {
    surface.paths.forEach((path, i) => {
      const points = path.map(([x, y, h]) => (Number.isFinite(h) ? see([x, y, h + 0.015]) : null));
      for (let k = 1; k < points.length; k++) {
        const [from, to] = [points[k - 1], points[k]];
        if (from && to) pieces.push({ depth: Math.max(from[2], to[2]) + 0.02, line: [from, to], color: data.trajectories.colors[i] });
      }
      const end = points[points.length - 1];
      if (end) pieces.push({ depth: end[2] + 0.03, end, color: data.trajectories.colors[i] });
    });
  }
  pieces.sort((p, q) => p.depth - q.depth);
  for (const piece of pieces) {
    context.beginPath();
    if (piece.points) {
      piece.points.forEach(([x, y]) => context.lineTo(x, y));
      context.closePath();
      context.fillStyle = context.strokeStyle = piece.color;
      context.lineWidth = 0.7;
      context.fill();
      context.stroke();
    } else if (piece.line) {
      piece.line.forEach(([x, y]) => context.lineTo(x, y));
      context.strokeStyle = piece.color;
      context.lineWidth = 1.5;
      context.stroke();
    } else {
      context.arc(piece.end[0], piece.end[1], 3.6, 0, 7);
      context.fillStyle = piece.color;
      context.strokeStyle = "#fff";
      context.lineWidth = 1.2;
      context.fill();
      context.stroke();
    }
  }
}

function shaded(color, facing) {
  const parts = [1, 3, 5].map((i) => parseInt(color.slice(i, i + 2), 16));
  const [towards, share] = facing < 0.75 ? [0, 0.45 * Math.min(1, 0.75 - facing)] : [255, 0.9 * (facing - 0.75)];
  return `rgb(${parts.map((p) => Math.round(p * (1 - share) + towards * share)).join(" ")})`;
}

function startSurface() {
  if (!data.landscape) return;
  $("landscape").hidden = false;
  readSurface();
  $("heights").append(bar("V", data.landscape.potentials));
  const canvas = $("surface");
  let from = null;
  const turn = (dx, dy) => {
    surface.azimuth = (surface.azimuth + dx) % 360;
    surface.elevation = Math.max(5, Math.min(90, surface.elevation + dy));
    requestAnimationFrame(drawSurface);
  };
  canvas.addEventListener("pointerdown", (e) => { from = [e.clientX, e.clientY]; canvas.setPointerCapture(e.pointerId); });
  canvas.addEventListener("pointerup", () => (from = null));
  canvas.addEventListener("pointermove", (e) => {
    if (!from) return;
    turn(-(e.clientX - from[0]) * 0.5, (e.clientY - from[1]) * 0.4);
    from = [e.clientX, e.clientY];
  });
  canvas.addEventListener("keydown", (e) => {
    const turns = { ArrowLeft: [6, 0], ArrowRight: [-6, 0], ArrowUp: [0, 5], ArrowDown: [0, -5] };
    if (!turns[e.key]) return;
    e.preventDefault();
    turn(...turns[e.key]);
  });
  $("relief").addEventListener("input", drawSurface);
  $("paths").addEventListener("change", drawSurface);
}
