// Looking at images one by one, blind: no score, no verdict and no name, for each of them could sway the eye.

const AHEAD = 4;  // files that are read before they are wanted
const QUEUES = {
  audit: {
    title: "Random sample: does this image have an artifact?",
    button: "the random sample",
    then: "Run the same command again with `--decisions decisions.csv`: it says how many artifacts are among the kept at " +
      "most, and how many clean images among the rejected. Or, without `--audit`, with `--calibrate decisions.csv`: it " +
      "chooses by them what to keep and what to reject.",
  },
  informative: {
    title: "Most informative first: does this image have an artifact?",
    button: "the most informative first",
    then: "`organize_dataset.py --labels decisions.csv` makes a training set of what was decided.",
  },
};
const looking = { queue: null, list: [], at: 0, done: [], ahead: [] };
const decidedOf = (list) => list.filter((index) => state.decisions[index]).length;

function startLooking(name) {
  Object.assign(looking, { queue: QUEUES[name], list: data[name], done: [], ahead: [] });
  looking.at = looking.list.findIndex((index) => !state.decisions[index]);
  if (looking.at < 0) looking.at = looking.list.length;
  keys = LOOKING_KEYS;
  document.body.classList.add("looking");
  byId("looking").hidden = false;
  showLooked();
}

function stopLooking() {
  keys = KEYS;
  document.body.classList.remove("looking");
  byId("looking").hidden = true;
  offerLooking();
  openTab(state.tab);
}

function lookAt(position) {
  looking.at = Math.max(0, Math.min(looking.list.length, position));
  showLooked();
}

function judge(choice) {
  const index = looking.list[looking.at];
  if (index === undefined) return;
  looking.done.push([looking.at, state.decisions[index] || ""]);
  setDecision(index, choice);
  lookAt(looking.at + 1);
}

function undoLooked() {
  if (!looking.done.length) return;
  const [position, before] = looking.done.pop();
  setDecision(looking.list[position], before);
  lookAt(position);
}

function showLooked() {
  const { list, at, queue } = looking, index = list[at], frame = byId("looking-image");
  const decided = decidedOf(list);
  byId("looking-title").textContent = queue.title;
  byId("looking-bar").max = list.length;
  byId("looking-bar").value = decided;
  byId("looking-count").textContent = `${decided} of ${list.length} decided`;
  byId("looking-note").textContent = "";
  byId("look-undo").disabled = !looking.done.length;
  frame.className = state.decisions[index] || "";
  if (index === undefined) frame.replaceChildren(lastWords(list.length - decided)); else frame.replaceChildren(wholeImage(index));
  looking.ahead = list.slice(at + 1, at + 1 + AHEAD).filter((next) => data.images[next][URL_]).map((next) => {
    const image = new Image();
    image.src = data.images[next][URL_];
    return image;
  });
}

function wholeImage(index) {
  const image = document.createElement("img"), original = data.images[index][URL_];
  const small = () => {
    image.onerror = null;
    image.src = `data:image/jpeg;base64,${pictures(index)[0]}`;
    byId("looking-note").textContent = "only the thumbnail: the page cannot show the file";
  };
  image.alt = "";
  image.onerror = small;
  if (original) image.src = original; else small();
  return image;
}

function lastWords(open) {
  const said = open ? `${open} of them are not decided yet. ` : "All of them are decided. ";
  const text = element("p"), button = element("button", "", "export decisions.csv"), note = element("p");
  text.append(...prose(said + looking.queue.then));
  button.onclick = () => { exportDecisions(); note.replaceChildren(...prose(WHERE_IT_IS)); };
  const all = element("div");
  all.append(text, button, note);
  return all;
}

function offerLooking() {
  for (const [name, queue] of Object.entries(QUEUES)) {
    const list = data[name], button = byId(`look-${name}`);
    button.hidden = !list.length;
    button.textContent = `${queue.button}: ${decidedOf(list)} of ${list.length} decided`;
    button.onclick = () => startLooking(name);
  }
  byId("to-look").hidden = !data.audit.length && !data.informative.length;
}

const LOOKING_KEYS = {
  k: () => judge("keep"), r: () => judge("reject"), u: () => judge("review"), z: undoLooked, Backspace: undoLooked,
  ArrowLeft: () => lookAt(looking.at - 1), ArrowRight: () => lookAt(looking.at + 1), Escape: stopLooking,
};
byId("look-keep").onclick = LOOKING_KEYS.k;
byId("look-reject").onclick = LOOKING_KEYS.r;
byId("look-unsure").onclick = LOOKING_KEYS.u;
byId("look-undo").onclick = undoLooked;
byId("look-back").onclick = LOOKING_KEYS.ArrowLeft;
byId("look-on").onclick = LOOKING_KEYS.ArrowRight;
byId("looking-close").onclick = stopLooking;
byId("looking-export").onclick = exportDecisions;
document.addEventListener("DOMContentLoaded", () => {
  offerLooking();
  if (decidedOf(data.audit) < data.audit.length) startLooking("audit");
});
