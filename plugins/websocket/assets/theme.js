// Light or dark, and colours that can be told from the ground in both.

import { keep, kept } from "/tools.js";

/** Where a cloud has no colours of its own: those of the plugin `wordcloud`, which nobody takes for one another. */
const LIGHT = ["#166af9", "#8c2f00", "#1a826f", "#8e6598", "#a16709", "#144b6e", "#605944", "#000000"];
const DARK = ["#2879ff", "#d35d00", "#009e72", "#c074a2", "#e8a001", "#54b8f1", "#fcee54", "#f1f2f2"];
const GROUND = { light: "#fbfaf6", dark: "#12151b" };
/** Contrast that WCAG asks of text; of large text it asks less, but a word keeps its colour as it grows. */
const CONTRAST = 4.5;

const system = matchMedia("(prefers-color-scheme: dark)");
/** Whether the reader's own few colours are in force, whose ground is as the system says. */
const forced = matchMedia("(forced-colors: active)");
const legible = new Map();

export const ground = (dark) => (dark ? GROUND.dark : GROUND.light);

/** The colour of a word: its own, its place in the frame's colours, or in the page's. */
export function colour(word, frame, dark) {
  const own = typeof word.color === "string" && /^#[0-9a-f]{6}$/i.test(word.color) ? word.color : null;
  const place = Math.abs(word.color | 0);
  const palette = dark ? frame?.palette.dark : frame?.palette.light;
  if (!own && !palette) return (dark ? DARK : LIGHT)[place % LIGHT.length];
  return contrasting(own ?? palette[place % palette.length], dark);
}

/** The colour, or as much lighter or darker as it takes to be legible. */
function contrasting(hex, dark) {
  const key = hex + dark;
  if (legible.has(key)) return legible.get(key);
  const behind = luminance(parse(ground(dark)));
  const towards = dark ? 255 : 0;
  let rgb = parse(hex);
  for (let step = 0; step < 20 && contrast(luminance(rgb), behind) < CONTRAST; step += 1) {
    rgb = rgb.map((part) => part + (towards - part) * 0.12);
  }
  const found = `rgb(${rgb.map(Math.round).join(" ")})`;
  legible.set(key, found);
  return found;
}

function parse(hex) {
  return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
}

function luminance(rgb) {
  const [r, g, b] = rgb.map((part) => {
    const value = part / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function contrast(one, other) {
  return (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
}

function chosen() {
  return kept("theme") ?? document.documentElement.dataset.theme;
}

export function isDark() {
  const choice = forced.matches ? null : chosen();
  return choice ? choice === "dark" : system.matches;
}

/** Puts the choice on the page, `flip`ped if so wished; tells `changed` now and whenever the system changes. */
export function applyTheme(changed, flip) {
  if (flip) {
    const next = isDark() ? "light" : "dark";
    document.documentElement.dataset.theme = next;
    keep("theme", next);
  } else if (chosen()) {
    document.documentElement.dataset.theme = chosen();
  }
  system.onchange = forced.onchange = () => changed(isDark());
  changed(isDark());
}
