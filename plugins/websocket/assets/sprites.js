// Words as pictures: each is set once, as large as it is shown, and from then on only placed.
//
// Letters stand without kerning and ligatures, as the server measured them; a word in a script that
// the typeface lacks is fitted into the width that the server left for it.

import { colour } from "/theme.js";

export const FAMILY = '"Cloud", "Noto Sans", system-ui, sans-serif';
/** Size at which words are measured, and from which they are scaled: each other one takes longer. */
const MEASURED = 100;
/** Words whose measures are kept. */
const KNOWN = 10_000;
/** While it moves, a word that has grown or shrunk so much can do with the sprite that it has. */
const MOST_GROWN = 1.6;
/** Most pixels of all sprites of a cloud (128 MB) and along one: beyond, they are coarser. */
const MOST_PIXELS = 32 << 20;
const LONGEST = 8192;

const shapes = new Map();

export class Sprites {
  constructor() {
    this.all = new Map();
    /** How many were made so far. */
    this.made = 0;
    this.desk = new OffscreenCanvas(1, 1);
    this.pen = this.desk.getContext("2d");
  }

  /**
   * Makes what words of a frame lack at this scale, until a time; false: there is more to make.
   * `exact(word)`: whether a size that is only near will not do.
   */
  make(frame, scale, dark, exact, until) {
    const area = frame.words.reduce((sum, word) => sum + word.width * word.size, 0) * scale * scale;
    const detail = scale * Math.min(1, Math.sqrt(MOST_PIXELS / area));
    for (const word of frame.words) {
      const size = Math.min(word.size * detail, LONGEST / 2, (LONGEST * word.size) / word.width);
      const ink = colour(word, frame, dark);
      const old = this.all.get(word.key);
      const same = old?.text === word.text && old.ink === ink;
      if (same && (old.size === size || (!exact(word) && near(old.size, size)))) continue;
      if (performance.now() > until) return false;
      const sprite = this.sprite(word, size, ink);
      old?.image.close();
      this.all.set(word.key, sprite);
    }
    return true;
  }

  /** Lets go of all but those of words with these keys. */
  keep(keys) {
    for (const [key, { image }] of this.all) {
      if (keys.has(key)) continue;
      image.close();
      this.all.delete(key);
    }
  }

  /** Draws a word where `at` says, in pixels. */
  draw(pen, word, at, alpha) {
    const sprite = this.all.get(word.key);
    if (!sprite || alpha <= 0) return;
    const grow = at.size / sprite.size;
    const [sine, cosine] = turn(at.rotate);
    pen.setTransform(cosine * grow, sine * grow, -sine * grow, cosine * grow, at.x, at.y);
    pen.globalAlpha = alpha;
    pen.drawImage(sprite.image, -sprite.left, -sprite.up);
  }

  sprite(word, size, ink) {
    const { desk, pen } = this;
    this.made += 1;
    const width = (word.width * size) / word.size;
    const shape = measure(pen, word.text);
    const across = size * squeezed(shape, size, width);
    const left = Math.ceil(shape.left * across) + 1;
    const up = Math.ceil(shape.up * size) + 1;
    desk.width = Math.max(1, left + Math.ceil(shape.right * across) + 1);
    desk.height = Math.max(1, up + Math.ceil(shape.down * size) + 1);
    pen.translate(left, up);
    pen.fillStyle = ink;
    set(pen, word.text, size, width);
    return { image: desk.transferToImageBitmap(), text: word.text, size, ink, left, up };
  }
}

/** Waits for the parts of the typeface that words need which were not set before. */
export async function typeface(words) {
  const text = words.filter((word) => !shapes.has(word.text)).map((word) => word.text).join("");
  const font = `700 ${MEASURED}px "Cloud"`;
  if (!text || document.fonts.check(font, text)) return;
  // Without it the system's typeface has to do.
  await document.fonts.load(font, text).catch(() => {});
}

/** Sets a word at the origin, in pixels, no wider than `width`. */
export function set(pen, text, size, width) {
  const scale = size / MEASURED;
  const squeeze = squeezed(measure(pen, text), size, width);
  choose(pen, text);
  pen.scale(scale * squeeze, scale);
  pen.fillText(text, 0, 0);
}

/** The sine and cosine of an angle in degrees: of right angles exactly, so that letters stay sharp. */
export function turn(degrees) {
  if (!degrees) return [0, 1];
  if (degrees % 90 === 0) return [[0, 1], [1, 0], [0, -1], [-1, 0]][(((degrees / 90) % 4) + 4) % 4];
  const angle = (degrees * Math.PI) / 180;
  return [Math.sin(angle), Math.cos(angle)];
}

/** Which way a text runs: as its first letter does, so that the sign of a hashtag stands in front. */
export function direction(text) {
  return /^\P{L}*(?=\p{L})[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]/u.test(text) ? "rtl" : "ltr";
}

const near = (one, other) => one < other * MOST_GROWN && other < one * MOST_GROWN;

function choose(pen, text) {
  pen.font = `700 ${MEASURED}px ${FAMILY}`;
  pen.textAlign = "center";
  pen.textBaseline = "alphabetic";
  pen.direction = direction(text);
  if ("fontKerning" in pen) pen.fontKerning = "none";
  if ("textRendering" in pen) pen.textRendering = "optimizeSpeed";
}

/** By how much a word has to be narrower than its letters are. */
function squeezed(shape, size, width) {
  const own = shape.width * size;
  return own > width * 1.01 ? width / own : 1;
}

/**
 * How wide a text is and how far its ink goes from the middle of its baseline, in parts of its font
 * size: measured once, since measuring takes longer than drawing.
 */
function measure(pen, text) {
  let shape = shapes.get(text);
  if (!shape) {
    if (shapes.size > KNOWN) shapes.clear();
    choose(pen, text);
    const found = pen.measureText(text);
    const part = (name) => found[`actualBoundingBox${name}`] / MEASURED;
    shape = { width: found.width / MEASURED, left: part("Left"), right: part("Right"), up: part("Ascent"), down: part("Descent") };
    shapes.set(text, shape);
  }
  return shape;
}
