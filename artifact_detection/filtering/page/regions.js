// Regions: where an artifact is and of which family. Outlines over the image, their legend, a filter by family.

const REGIONS = 6;  // of an image: [number of the family, score, corners in thousandths of the image's sides]
const FAMILY_COLOURS = ["#56b4e9", "#e69f00", "#cc79a7", "#f0e442"];  // Okabe and Ito: told apart by everyone

// What speaks against an image: nothing does against one that is kept, as in scores.csv.
function regionsOf(index) {
  return verdict(index) === "keep" ? [] : data.images[index][REGIONS];
}

function polygon(svg, corners, name, colour) {
  const shape = document.createElementNS(svg.namespaceURI, "polygon");
  shape.setAttribute("points", corners);
  shape.setAttribute("class", name);
  if (colour) shape.setAttribute("stroke", colour);
  return shape;
}

function outlines(index) {
  const regions = regionsOf(index);
  if (!regions.length) return [];
  const svg = byId("no-outlines").cloneNode();
  svg.removeAttribute("id");
  for (const [family, , corners] of regions) {
    svg.append(polygon(svg, corners, "edge"), polygon(svg, corners, "", FAMILY_COLOURS[family]));
  }
  return [svg];
}

function familyText(index) {
  const texts = regionsOf(index).map(([family, score]) => `${data.families[family]} ${score.toFixed(2)}`);
  return texts.join(", ") || "no region";
}

function isOfFamily(index) {
  return state.family === undefined || regionsOf(index).some(([family]) => family === state.family);
}

// The legend: how many images of the open tab show each family; a click shows these alone, a second one all again.
function showFamilies() {
  const found = data.families.map(() => 0);
  data.images.forEach((_, index) => {
    if (isOfTab(index, state.tab)) new Set(regionsOf(index).map(([family]) => family)).forEach((family) => found[family]++);
  });
  byId("families").replaceChildren("families: ", ...data.families.map((name, family) => {
    const button = element("button"), swatch = element("i");
    swatch.style.background = FAMILY_COLOURS[family];
    button.append(swatch, `${name} ${found[family]}`);
    button.setAttribute("aria-pressed", state.family === family);
    button.onclick = () => { state.family = state.family === family ? undefined : family; openTab(state.tab); };
    return button;
  }));
  byId("families").hidden = byId("outline-key").hidden = !data.families.length;
}

function toggleOutlines() {
  document.body.classList.toggle("outlines-off");
}
