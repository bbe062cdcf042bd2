// What a reader would see go wrong on the page as it is laid out now: a list of findings, empty if all is well.
const found = [];
const name = (element) =>
  element.tagName.toLowerCase() + (element.id && "#" + element.id) + (element.className && "." + element.className);
const style = (element) => getComputedStyle(element);
const drawn = [...document.body.querySelectorAll("*")].filter(
  (element) => element.getClientRects().length && style(element).display !== "inline"
);
const scrolls = (element) => ["auto", "scroll"].includes(style(element).overflowX);

const root = document.scrollingElement;
if (root.scrollWidth > innerWidth) found.push(`page: ${root.scrollWidth} pixels wide in ${innerWidth}`);

for (const image of document.images) {
  if (!image.complete || !image.naturalWidth) found.push(`image: ${image.getAttribute("src")} is not shown`);
  if (!image.alt) found.push(`image: ${image.getAttribute("src")} has no text`);
}

for (const parent of [document.body, ...drawn]) {
  const children = [...parent.children].filter((child) => drawn.includes(child));
  const boxes = children.map((child) => child.getBoundingClientRect());
  const outer = parent.getBoundingClientRect();
  boxes.forEach((box, place) => {
    if (!scrolls(parent) && (box.right > outer.right + 1 || box.left < outer.left - 1))
      found.push(`beyond: ${name(children[place])} leaves ${name(parent)}`);
    boxes.slice(place + 1).forEach((other, further) => {
      const across = Math.min(box.right, other.right) - Math.max(box.left, other.left);
      const down = Math.min(box.bottom, other.bottom) - Math.max(box.top, other.top);
      if (across > 1 && down > 1)
        found.push(`overlap: ${name(children[place])} and ${name(children[place + 1 + further])}`);
    });
  });
}

for (const element of drawn) {
  const wider = element.scrollWidth > element.clientWidth + 1;
  const higher = element.scrollHeight > element.clientHeight + 1;
  if (element.tagName !== "TABLE" && (wider || higher) && !scrolls(element))
    found.push(`clipped: ${name(element)}: ${element.textContent.trim().slice(0, 40)}`);
  if (!scrolls(element)) continue;
  if (element.tabIndex < 0) found.push(`keyboard: ${name(element)} cannot be scrolled by it`);
  element.scrollLeft = element.scrollWidth;
  const right = element.getBoundingClientRect().right;
  for (const cell of element.querySelectorAll("tr > :last-child"))
    if (cell.getBoundingClientRect().right > right + 1)
      found.push(`unreachable: ${cell.textContent} in ${name(element)}`);
  element.scrollLeft = 0;
}

// Contrast of text by WCAG 2, level AA.
const channels = (colour) => (colour.match(/[\d.]+/g) || []).map(Number);
const luminance = (rgb) => {
  const [red, green, blue] = rgb
    .slice(0, 3)
    .map((value) => value / 255)
    .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
};
const ground = (element) => {
  for (let each = element; each; each = each.parentElement) {
    const rgb = channels(style(each).backgroundColor);
    if (rgb.length === 3 || rgb[3] === 1) return rgb;
  }
  return [255, 255, 255];
};
for (const element of document.body.querySelectorAll("*")) {
  const text = [...element.childNodes].filter((node) => node.nodeType === 3 && node.data.trim());
  if (!text.length) continue;
  const [low, high] = [channels(style(element).color), ground(element)].map(luminance).sort((a, b) => a - b);
  const ratio = (high + 0.05) / (low + 0.05);
  if (ratio < 4.5) found.push(`contrast: ${ratio.toFixed(1)} of ${name(element)}: ${text[0].data.trim()}`);
}
return [...new Set(found)];
