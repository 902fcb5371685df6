"use strict";
// Draws what /runs.json and /metrics.json say. Text is put in as text, never as HTML.
const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 520, HEIGHT = 260, LEFT = 62, RIGHT = 12, TOP = 12, BOTTOM = 40;
const DASHES = ["", "7 4", "2 3", "10 3 2 3", "4 2", "12 4"];
const MOST_POINTS = 700;
const MARKS = ["step", "split", "fold", "data"];
const chosen = { name: "", next: 0, series: new Map(), state: "" };
let listed = [];
let reading = false;

function make(tag, attributes = {}, text = null) {
  const drawn = ["svg", "line", "polyline", "text", "g", "circle"].includes(tag);
  const element = drawn ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== null) element.textContent = text;
  return element;
}

async function ask(address) {
  const answer = await fetch(address, { cache: "no-store" });
  if (!answer.ok) throw new Error(`${address}: ${answer.status}`);
  return answer.json();
}

function ago(seconds) {
  for (const [size, unit] of [[86400, "days"], [3600, "hours"], [60, "minutes"]]) {
    if (seconds >= 2 * size) return `${Math.round(seconds / size)} ${unit} ago`;
  }
  return `${Math.max(0, Math.round(seconds))} seconds ago`;
}

function kind(state) {
  if (state === "in progress") return "going";
  if (state === "finished") return "done";
  return ["damaged", "missing", "no run"].includes(state) ? "wrong" : "";
}

function showList(found) {
  listed = found.runs;
  const going = listed.filter((run) => run.state === "in progress").length;
  document.getElementById("about").textContent =
    `${listed.length} runs of ${found.patterns.join(", ")}; ${going} in progress.`;
  document.title = going ? `(${going}) Runs` : "Runs";
  const body = document.getElementById("runs");
  const focused = document.activeElement && document.activeElement.dataset.run;
  body.replaceChildren(...listed.map((run) => {
    const row = make("tr", run.name === chosen.name ? { class: "chosen" } : {});
    const cell = make("td");
    const link = make("a", { href: `#${encodeURIComponent(run.name)}`, "data-run": run.name }, run.name);
    if (run.name === chosen.name) link.setAttribute("aria-current", "true");
    cell.append(link);
    if (run.phantom) cell.append(" ", make("span", { class: "mark" }, "PHANTOM"));
    const state = make("td");
    state.append(make("span", { class: `state ${kind(run.state)}` }, run.state));
    if (run.note) state.append(make("div", { class: "note" }, run.note));
    const what = [run.experiment, run.task, run.network].filter(Boolean).join(", ");
    const when = run.changed === null ? "" : ago(found.now - run.changed);
    row.append(cell, state, make("td", {}, what), make("td", {}, run.headline), make("td", {}, when));
    return row;
  }));
  if (focused) {
    const again = Array.from(body.querySelectorAll("a")).find((a) => a.dataset.run === focused);
    if (again) again.focus({ preventScroll: true });
  }
  showRun();
}

function showRun() {
  const run = listed.find((one) => one.name === chosen.name);
  document.getElementById("run").hidden = !run;
  if (!run) return;
  document.getElementById("run-title").textContent = (run.phantom ? "PHANTOM: " : "") + run.name;
  document.getElementById("run-about").textContent =
    [run.state, run.note, run.headline].filter(Boolean).join("; ");
  const pages = document.getElementById("run-pages");
  if (pages.dataset.shown !== run.name + run.pages.join()) {
    pages.dataset.shown = run.name + run.pages.join();
    pages.replaceChildren(...run.pages.flatMap((page) => [make("a", { href: file(run, page) }, page), " "]));
  }
  const place = document.getElementById("figures");
  if (place.dataset.shown !== run.name + run.figures.join()) {
    place.dataset.shown = run.name + run.figures.join();
    place.replaceChildren(...run.figures.map((name) => {
      const link = make("a", { href: file(run, `figures/${name}`) });
      link.append(make("img", { src: file(run, `figures/${name}`), alt: `Figure ${name.replace(/\.png$/, "").replaceAll("_", " ")}`, loading: "lazy" }));
      return link;
    }));
  }
}

function file(run, path) {
  return `/files/${encodeURIComponent(run.name)}/${path.split("/").map(encodeURIComponent).join("/")}`;
}

// chosen.series: figure -> series -> step -> value. Of two lines of a step the later one counts.
function take(lines) {
  for (const line of lines) {
    if (typeof line.step !== "number") continue;
    const series = [line.split, line.fold].filter(Boolean).join(", ") || "run";
    for (const [name, value] of Object.entries(line)) {
      if (MARKS.includes(name) || typeof value !== "number") continue;
      if (!chosen.series.has(name)) chosen.series.set(name, new Map());
      const figure = chosen.series.get(name);
      if (!figure.has(series)) figure.set(series, new Map());
      figure.get(series).set(line.step, value);
    }
  }
}

function ticks(low, high) {
  const raw = (high - low) / 5 || 1, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((m) => m * power).find((size) => size >= raw);
  const found = [];
  for (let at = Math.ceil(low / step) * step; at <= high + step / 1e6; at += step) found.push(at);
  return [found, step];
}

function written(value, step) {
  const digits = Math.min(6, Math.max(0, -Math.floor(Math.log10(step) + 1e-9)));
  return value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

function thinned(points) {
  const every = Math.ceil(points.length / MOST_POINTS);
  return every < 2 ? points : points.filter((_, n) => n % every === 0 || n === points.length - 1);
}

function chart(name, figure) {
  const all = Array.from(figure, ([series, values]) =>
    [series, Array.from(values).sort((a, b) => a[0] - b[0])]);
  const steps = all.flatMap(([, points]) => points.map((p) => p[0]));
  const values = all.flatMap(([, points]) => points.map((p) => p[1]));
  const least = (list) => list.reduce((a, b) => Math.min(a, b), Infinity);
  const most = (list) => list.reduce((a, b) => Math.max(a, b), -Infinity);
  let [x0, x1, y0, y1] = [least(steps), most(steps), least(values), most(values)];
  if (x0 === x1) { x0 -= 1; x1 += 1; }
  if (y0 === y1) { y0 -= Math.abs(y0) * 0.05 || 0.5; y1 += Math.abs(y1) * 0.05 || 0.5; }
  const x = (s) => LEFT + (s - x0) / (x1 - x0) * (WIDTH - LEFT - RIGHT);
  const y = (v) => TOP + (y1 - v) / (y1 - y0) * (HEIGHT - TOP - BOTTOM);
  const title = name.replaceAll("_", " ");
  const last = all.map(([series, points]) =>
    `${series}: ${points.at(-1)[1].toPrecision(4)} at step ${points.at(-1)[0]}`);
  const svg = make("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `${title} over the steps. ${last.join("; ")}` });
  const [yTicks, yStep] = ticks(y0, y1), [xTicks, xStep] = ticks(x0, x1);
  for (const at of yTicks) {
    svg.append(make("line", { class: "rule", x1: LEFT, x2: WIDTH - RIGHT, y1: y(at), y2: y(at) }));
    svg.append(make("text", { x: LEFT - 6, y: y(at) + 4, "text-anchor": "end" }, written(at, yStep)));
  }
  for (const at of xTicks) {
    svg.append(make("text", { x: x(at), y: HEIGHT - BOTTOM + 17, "text-anchor": "middle" }, written(at, xStep)));
  }
  svg.append(make("line", { class: "frame", x1: LEFT, x2: WIDTH - RIGHT, y1: HEIGHT - BOTTOM, y2: HEIGHT - BOTTOM }));
  svg.append(make("line", { class: "frame", x1: LEFT, x2: LEFT, y1: TOP, y2: HEIGHT - BOTTOM }));
  svg.append(make("text", { x: (LEFT + WIDTH - RIGHT) / 2, y: HEIGHT - 4, "text-anchor": "middle" }, "step"));
  const legend = make("ul", { class: "legend" });
  all.forEach(([series, points], n) => {
    const look = { class: `s${n % 6}`, "stroke-dasharray": DASHES[Math.floor(n / 6) % 6 || n % 6] };
    const line = thinned(points).map(([s, v]) => `${x(s).toFixed(1)},${y(v).toFixed(1)}`).join(" ");
    svg.append(make("polyline", { ...look, points: line }));
    if (points.length < 30) {
      for (const [s, v] of points) svg.append(make("circle", { class: look.class, cx: x(s), cy: y(v), r: 2.5 }));
    }
    const item = make("li");
    const key = make("svg", { viewBox: "0 0 28 10", "aria-hidden": "true" });
    key.append(make("line", { ...look, x1: 0, x2: 28, y1: 5, y2: 5, "stroke-width": 2 }));
    item.append(key, last[n]);
    legend.append(item);
  });
  const box = make("div", { class: "chart", "data-figure": name });
  box.append(make("h3", {}, title), svg, legend);
  return box;
}

function draw() {
  const place = document.getElementById("charts");
  const order = ["loss", "auroc", "balanced_accuracy", "accuracy", "psnr"];
  const rank = (name) => (order.includes(name) ? order.indexOf(name) : order.length);
  const names = Array.from(chosen.series.keys()).sort((a, b) => rank(a) - rank(b) || a.localeCompare(b));
  if (names.length) {
    place.replaceChildren(...names.map((name) => chart(name, chosen.series.get(name))));
  } else {
    place.replaceChildren(make("p", {}, "Nothing has been logged yet."));
  }
}

async function readMetrics() {
  if (!chosen.name || reading) return;
  reading = true;
  const name = chosen.name;
  try {
    for (let more = true, first = chosen.next === 0; more && name === chosen.name;) {
      const found = await ask(`/metrics.json?run=${encodeURIComponent(name)}&from=${chosen.next}`);
      if (name !== chosen.name) return;
      if (found.again) chosen.series = new Map();
      chosen.next = found.next;
      take(found.lines);
      more = found.more;
      if (found.lines.length || first || found.again) draw();
      first = false;
    }
  } finally {
    reading = false;
  }
}

async function refresh() {
  try {
    showList(await ask("/runs.json"));
    await readMetrics();
  } catch (error) {
    document.getElementById("about").textContent = "The server does not answer; it may have been stopped.";
  }
}

function choose() {
  let name = "";
  try { name = decodeURIComponent(location.hash.slice(1)); } catch { name = ""; }
  if (name === "content") return;
  Object.assign(chosen, { name, next: 0, series: new Map() });
  document.getElementById("charts").replaceChildren();
  refresh().then(() => { if (name) document.getElementById("run-title").focus(); });
}

window.addEventListener("hashchange", choose);
setInterval(() => {
  if (!document.hidden && document.getElementById("refresh").checked) refresh();
}, 3000);
choose();
