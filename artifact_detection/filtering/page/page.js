"use strict";
// The review page. All text from file names goes through textContent or is CSV-quoted; nothing is parsed as HTML.

const data = JSON.parse(document.getElementById("data").textContent);
const [PATH, SHA, P, EXTREMES, DECIDED, URL_] = [0, 1, 2, 3, 4, 5];
const BANDS = ["review", "reject", "keep"];
const COLOURS = { keep: "#2e7d4f", review: "#b7791f", reject: "#b3372f" };
const PER_PAGE = 60;
const byId = (id) => document.getElementById(id);

const certified = { low: data.edges[0] ?? 0, high: data.edges[1] ?? 1.001 };  // 1.001: nothing is rejected
const state = { ...certified, tab: "review", page: 0, at: 0, list: [], heat: !data.families.length, decisions: restore() };
const rest = new Uint32Array(Uint8Array.from(atob(data.rest), (c) => c.charCodeAt(0)).buffer);
const blocks = new Map();

function band(p) {
  return p >= state.high ? "reject" : p < state.low ? "keep" : "review";
}

// The same rules as Policy.judge: a person first, then flips under re-encoding, then the probability.
function verdict(index) {
  const image = data.images[index];
  if (state.decisions[index]) return state.decisions[index];
  const own = band(image[P]);
  const flips = image[EXTREMES] && image[EXTREMES].some((p) => band(p) !== own);
  return flips ? "review" : own;
}

function counts() {
  const total = { keep: 0, review: 0, reject: 0 };
  data.images.forEach((_, index) => total[verdict(index)]++);
  rest.forEach((millionths) => total[band(millionths / 1e6)]++);
  return total;
}

// ---- decisions: kept in the browser until they are exported

function storageKey() { return `filter-report ${data.model}`; }

// A decision belongs to a path with these bytes: another image at the same place is another image.
function identity(image) { return `${image[SHA]} ${image[PATH]}`; }

function stored() {
  try { return JSON.parse(localStorage.getItem(storageKey()) || "{}"); } catch { return {}; }
}

function restore() {
  const decisions = {}, kept = stored();
  data.images.forEach((image, index) => {
    const choice = identity(image) in kept ? kept[identity(image)] : image[DECIDED];
    if (choice) decisions[index] = choice;
  });
  return decisions;
}

function store(image, choice) {
  const kept = stored();
  kept[identity(image)] = choice || "";
  try { localStorage.setItem(storageKey(), JSON.stringify(kept)); } catch { /* private mode */ }
}

function setDecision(index, choice) {
  if (choice) state.decisions[index] = choice; else delete state.decisions[index];
  store(data.images[index], choice);
}

function decide(choice) {
  if (!state.list.length) return;
  setDecision(state.list[state.at], choice);
  showCounts();
  if (choice && state.at + 1 < state.list.length) go(state.at + 1); else showGallery();
}

function decisionsCsv() {
  const quoted = (text) => `"${text.replaceAll('"', '""')}"`;
  const rows = Object.entries(state.decisions).map(([index, choice]) => {
    const image = data.images[index];
    return `${quoted(image[PATH])},${image[SHA]},${choice}\n`;
  });
  return "path,sha256,decision\n" + rows.join("");
}

const WHERE_IT_IS = "decisions.csv lies where the browser puts downloads; a second one gets another name, often decisions (1).csv.";
const WHAT_NEXT = " Then run the same command with `--decisions PATH/decisions.csv`, and with `--action copy` for copies in the " +
  "folders kept, review and rejected.";

function exportDecisions() {
  byId("export-note").replaceChildren(...prose(WHERE_IT_IS + WHAT_NEXT));
  const link = document.createElement("a");
  link.href = "data:text/csv;charset=utf-8," + encodeURIComponent(decisionsCsv());
  link.download = "decisions.csv";
  link.click();
}

// ---- pictures: a block of text is split only when one of its images is shown

function pictures(index) {
  const number = Math.floor(index / data.block);
  if (!blocks.has(number)) blocks.set(number, byId(`pictures-${number}`).textContent.split("\n"));
  return blocks.get(number)[index % data.block].split(" ");
}

function heatCanvas(base64) {
  const canvas = document.createElement("canvas");
  const values = atob(base64), side = Math.sqrt(values.length);
  canvas.width = canvas.height = side;
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(side, side);
  for (let i = 0; i < values.length; i++) {
    const heat = values.charCodeAt(i);
    pixels.data.set([255, 200 - 0.75 * heat, 0, heat], 4 * i);  // from yellow to red, transparent where cold
  }
  context.putImageData(pixels, 0, 0);
  return canvas;
}

function stack(index, original) {
  const [thumbnail, heatmap] = pictures(index);
  const frame = element("div", "stack");
  const image = document.createElement("img");
  const small = `data:image/jpeg;base64,${thumbnail}`;
  image.alt = "";
  image.src = original || small;
  if (original) image.onerror = () => { image.onerror = null; image.src = small; };  // the file has gone, or is a TIFF
  frame.append(image);
  if (heatmap) frame.append(heatCanvas(heatmap));
  frame.append(...outlines(index));
  return frame;
}

// ---- what is on the screen

function element(tag, className = "", text = "") {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}

// Text and, between backticks, code.
function prose(text) {
  return text.split("`").map((part, number) => number % 2 ? element("code", "", part) : part);
}

function fileName(path) {
  return path.split(/[\\/]/).pop();
}

function card(position) {
  const index = state.list[position];
  const image = data.images[index];
  const figure = element("figure", `card ${verdict(index)}`);
  figure.dataset.position = position;
  figure.title = image[PATH];
  if (state.decisions[index]) figure.append(element("span", `badge ${state.decisions[index]}`, state.decisions[index]));
  const frame = element("div", "frame");
  frame.append(stack(index));
  const caption = element("figcaption");
  caption.append(element("b", "", image[P].toFixed(3)), ` ${fileName(image[PATH])}`);
  figure.append(frame, caption);
  figure.setAttribute("aria-current", position === state.at);
  figure.onclick = () => go(position);
  return figure;
}

function showGallery() {
  const gallery = byId("gallery");
  if (state.tab === "errors") {
    const list = element("ul", "errors");
    data.errors.forEach(([path, error]) => list.append(element("li", "", `${path}: ${error}`)));
    gallery.replaceChildren(list);
    byId("detail").replaceChildren();
  } else {
    const first = state.page * PER_PAGE;
    const positions = state.list.slice(first, first + PER_PAGE).map((_, offset) => first + offset);
    gallery.replaceChildren(...positions.map(card));
    if (!positions.length) gallery.append(element("p", "", "No images here."));
    showDetail();
  }
  const pages = Math.max(1, Math.ceil(state.list.length / PER_PAGE));
  byId("page").textContent = `page ${state.page + 1} of ${pages}, ${state.list.length} images`;
  byId("page-back").disabled = state.page === 0;
  byId("page-on").disabled = state.page + 1 >= pages;
}

function showDetail() {
  const detail = byId("detail");
  const index = state.list[state.at];
  if (index === undefined) { detail.replaceChildren(); return; }
  const image = data.images[index];
  const facts = element("dl");
  const add = (name, text) => facts.append(element("dt", "", name), element("dd", "", text));
  add("probability", image[P].toFixed(6));
  if (image[EXTREMES]) add("re-encoded", image[EXTREMES].map((p) => p.toFixed(3)).join(" to "));
  add("band", verdict(index) + (state.decisions[index] ? ", decided by a person" : ""));
  if (data.families.length) add("families", familyText(index));
  add("path", image[PATH]);
  add("SHA-256", image[SHA]);
  if (!pictures(index)[1]) add("heat map", "not drawn: --heatmaps N draws more of them");
  const buttons = element("div", "choices");
  for (const [text, choice] of [["keep (K)", "keep"], ["reject (R)", "reject"], ["undecided (U)", ""]]) {
    const button = element("button", "", text);
    button.onclick = () => decide(choice);
    buttons.append(button, " ");
  }
  detail.replaceChildren(stack(index, image[URL_]), buttons, facts);  // the buttons where the eye is
}

function showCounts() {
  const total = counts();
  const tabs = BANDS.map((name) => [name, `${name} ${total[name]}`]);
  tabs.push(["decided", `decided ${Object.keys(state.decisions).length}`], ["errors", `unusable ${data.errors.length}`]);
  byId("tabs").replaceChildren(...tabs.map(([name, text]) => {
    const button = element("button", name, text);
    button.setAttribute("aria-pressed", name === state.tab);
    button.onclick = () => openTab(name);
    return button;
  }));
  showFamilies();
  byId("decided").textContent = `${Object.keys(state.decisions).length} decided`;
  const moved = state.low !== certified.low || state.high !== certified.high;
  const hidden = rest.length ? `${rest.length} images are counted but have no thumbnail here. ` : "";
  const how = `filter_images.py … --threshold ${state.low.toFixed(3)} ${Math.min(state.high, 1).toFixed(3)}`;
  byId("slider-note").textContent = hidden + (moved ? `Not certified. To apply: ${how}` : "");
  byId("low-value").textContent = state.low === 0 ? "nothing" : state.low.toFixed(4);
  byId("high-value").textContent = state.high > 1 ? "nothing" : state.high.toFixed(4);
  drawHistogram();
}

function drawHistogram() {
  const bins = 100, canvas = byId("histogram"), context = canvas.getContext("2d");
  canvas.width = canvas.clientWidth;  // also clears it
  const floor = canvas.height - 18;
  const heights = new Array(bins).fill(0);
  const count = (p) => heights[Math.min(bins - 1, Math.floor(p * bins))]++;
  data.images.forEach((image) => count(image[P]));
  rest.forEach((millionths) => count(millionths / 1e6));
  const top = Math.log1p(Math.max(...heights, 1)), width = canvas.width / bins;
  heights.forEach((height, bin) => {
    context.fillStyle = COLOURS[band((bin + 0.5) / bins)];
    const size = (floor - 16) * Math.log1p(height) / top;
    context.fillRect(bin * width + 1, floor - size, width - 2, size);
  });
  context.fillStyle = "#555";
  context.font = "12px system-ui, sans-serif";
  context.fillText("images by probability of artifacts (log scale)", 6, 13);
  for (let p = 0; p <= 10; p++) {
    context.textAlign = p === 0 ? "left" : p === 10 ? "right" : "center";
    context.fillText((p / 10).toFixed(1), p * canvas.width / 10, canvas.height - 4);
  }
  context.textAlign = "left";
  for (const edge of [state.low, state.high]) {
    if (edge > 0 && edge <= 1) context.fillRect(edge * canvas.width - 1, 0, 2, floor);
  }
}

// ---- moving about

function isOfTab(index, name) {
  return name === "decided" ? Boolean(state.decisions[index]) : verdict(index) === name;
}

function openTab(name) {
  state.tab = name;
  const all = data.images.map((_, index) => index);
  state.list = all.filter((index) => isOfTab(index, name) && isOfFamily(index));
  if (name === "keep") state.list.reverse();  // the surest first
  state.page = state.at = 0;
  showCounts();
  showGallery();
}

function go(position) {
  if (position < 0 || position >= state.list.length) return;
  state.at = position;
  state.page = Math.floor(position / PER_PAGE);
  showGallery();
  const current = document.querySelector('[aria-current="true"]');
  if (current) current.scrollIntoView({ block: "nearest" });
}

function turnPage(step) {
  go((state.page + step) * PER_PAGE);
}

function slide(moved) {
  state[moved] = Number(byId(moved).value);
  if (state.low > state.high) {
    const other = moved === "low" ? "high" : "low";
    state[other] = state[moved];
    byId(other).value = state[other];
  }
  openTab(state.tab);
}

function setSliders() {
  byId("low").value = state.low;
  byId("high").value = state.high;
}

function toggleHeat() {
  state.heat = !state.heat;
  showHeat();
}

function showHeat() {  // at first only where there are no outlines: it covers what they point at
  document.body.classList.toggle("heat-off", !state.heat);
}

const KEYS = {
  ArrowRight: () => go(state.at + 1), n: () => go(state.at + 1), ArrowLeft: () => go(state.at - 1), p: () => go(state.at - 1),
  k: () => decide("keep"), r: () => decide("reject"), u: () => decide(""), h: toggleHeat, o: toggleOutlines,
};
let keys = KEYS;  // those that are in force

document.addEventListener("keydown", (event) => {
  const act = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!act || event.ctrlKey || event.metaKey || event.altKey || event.target.type === "range") return;
  event.preventDefault();
  act();
});
byId("low").oninput = () => slide("low");
byId("high").oninput = () => slide("high");
byId("reset").onclick = () => { Object.assign(state, certified); setSliders(); openTab(state.tab); };
byId("export").onclick = exportDecisions;
byId("page-back").onclick = () => turnPage(-1);
byId("page-on").onclick = () => turnPage(1);
window.onresize = drawHistogram;
document.addEventListener("DOMContentLoaded", () => {  // when the other scripts have been read
  setSliders();
  showHeat();
  openTab(counts().review ? "review" : counts().reject ? "reject" : "keep");
});
