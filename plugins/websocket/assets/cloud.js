// Draws clouds on the canvas and moves from one to the next.
//
// While words move they are sprites, drawn once each and only scaled and placed sixty times a
// second; at rest the words are set anew, so that they are sharp. Neither may hold up a picture:
// what takes longer than a slice of it goes on with the next one. Letters stand without kerning
// and ligatures, as the server measured them; a word in a script that the typeface lacks is
// fitted into the width that the server left for it.

import { colour } from "/theme.js";

export const FAMILY = '"Cloud", "Noto Sans", system-ui, sans-serif';
const MOVE_MS = 650;
/** How much is left of words that are not looked for. */
const DIMMED = 0.16;
/** A sprite does for a word that has grown or shrunk so much: it moves, and at rest it is set anew. */
const MOST_GROWN = 1.6;
/** Parts of the font size that a word takes above and below its baseline. */
const ABOVE = 0.78;
const BELOW = 0.24;
/** A finger is broader than a small word: pixels of the window around it that count as well. */
const FINGER = 14;

/** Milliseconds of a picture that may go into setting words, so that what moves goes on moving. */
const SLICE_MS = 7;
const breadths = new Map();

export class Cloud {
  constructor(canvas) {
    this.canvas = canvas;
    this.pen = canvas.getContext("2d");
    this.dark = false;
    this.frame = null;
    this.sprites = new Map();
    this.moves = [];
    this.begun = 0;
    this.running = false;
    this.still = matchMedia("(prefers-reduced-motion: reduce)");
    this.ratio = 1;
    this.fit = { scale: 1, left: 0, top: 0 };
    this.fitted = this.fit;
    this.sought = null;
    this.chosen = null;
    this.until = 0;
    /** Where a cloud at rest is set, slice by slice, before it is shown. */
    this.desk = document.createElement("canvas");
    this.setting = 0;
    /** Words that there was no time for while the others moved. */
    this.missing = new Set();
  }

  /** Shows a frame; moves there unless `at_once`. */
  show(frame, at_once) {
    const before = this.positions(performance.now());
    const jump = at_once || this.still.matches || document.hidden || before.size === 0;
    this.frame = frame;
    const from = this.fit;
    this.layout();
    this.fitted = jump ? this.fit : from;
    this.moves = [];
    for (const word of frame.words) {
      const to = pose(word, 1);
      const old = before.get(word.key);
      before.delete(word.key);
      this.moves.push({ word, from: jump ? to : old ?? { ...to, alpha: 0, size: word.size * 0.7 }, to });
    }
    if (!jump) {
      for (const old of before.values()) {
        this.moves.push({ word: old.word, from: old, to: { ...old, alpha: 0, size: old.size * 0.7 } });
      }
    }
    this.begun = performance.now() - (jump ? MOVE_MS : 0);
    this.canvas.dataset.rest = "no";
    if (!this.running) {
      this.running = true;
      requestAnimationFrame((now) => this.step(now));
    }
  }

  /** Fits the canvas to its box and draws anew. */
  resize() {
    const ratio = Math.min(window.devicePixelRatio || 1, 3);
    const box = this.canvas.getBoundingClientRect();
    const width = Math.max(1, Math.round(box.width * ratio));
    const height = Math.max(1, Math.round(box.height * ratio));
    if (this.canvas.width !== width || this.canvas.height !== height) {
      this.canvas.width = width;
      this.canvas.height = height;
      this.sprites.clear();
    }
    this.ratio = ratio;
    this.layout();
    this.fitted = this.fit;
    // The canvas is empty now: nothing of it may be left for later.
    this.redraw(Infinity);
  }

  /** Light or dark. */
  set theme(dark) {
    this.dark = dark;
    this.sprites.clear();
    this.redraw();
  }

  /** Dims all words but these; null: none. Marks the one that is chosen. */
  emphasise(sought, chosen) {
    this.sought = sought;
    this.chosen = chosen;
    this.redraw();
  }

  /** The word at a point of the window, if any; `broad`: or next to it. */
  at(x, y, broad) {
    if (!this.frame) return null;
    const box = this.canvas.getBoundingClientRect();
    const { scale, left, top } = this.fit;
    const cx = ((x - box.left) * this.ratio - left) / scale;
    const cy = ((y - box.top) * this.ratio - top) / scale;
    let nearest = null;
    let least = broad ? (FINGER * this.ratio) / scale : 0;
    for (const word of this.frame.words) {
      const away = distance(word, cx, cy);
      if (away === 0) return word;
      if (away < least) [nearest, least] = [word, away];
    }
    return nearest;
  }

  layout() {
    if (!this.frame) return;
    const { width, height } = this.canvas;
    const margin = 12 * this.ratio;
    const shown = reach(this.frame);
    const scale = Math.max(0.01, Math.min((width - margin * 2) / shown.width, (height - margin * 2) / shown.height));
    this.fit = { scale, left: (width - this.frame.width * scale) / 2, top: (height - this.frame.height * scale) / 2 };
  }

  positions(now) {
    const part = ease((now - this.begun) / MOVE_MS);
    const found = new Map();
    for (const move of this.moves) {
      const at = between(move, part);
      if (at.alpha > 0.02) found.set(move.word.key, at);
    }
    return found;
  }

  step(now) {
    const part = (now - this.begun) / MOVE_MS;
    if (part >= 1) {
      this.running = false;
      this.moves = this.moves.filter((move) => move.to.alpha > 0);
      this.redraw();
      return;
    }
    this.clear();
    this.until = performance.now() + SLICE_MS;
    const eased = ease(part);
    const fit = between({ from: this.fitted, to: this.fit }, eased);
    for (const move of this.moves) this.drawSprite(move.word, between(move, eased), fit);
    requestAnimationFrame((then) => this.step(then));
  }

  /** Sets the words at rest: at first as long as a slice, then with each picture that follows. */
  redraw(slice = SLICE_MS) {
    const turn = ++this.setting;
    if (this.running || !this.frame) return;
    const { desk, canvas, frame, missing } = this;
    canvas.dataset.rest = "no";
    this.missing = new Set();
    // Those that are not seen yet come first, and at once.
    const words = [...frame.words].sort((one, other) => missing.has(other.key) - missing.has(one.key));
    const weight = (word) => this.weight(word);
    desk.width = canvas.width;
    desk.height = canvas.height;
    const pen = desk.getContext("2d");
    let done = 0;
    const go = () => {
      if (turn !== this.setting || this.running) return;
      const from = done;
      done = drawWords(pen, words, frame, this.fit, this.dark, weight, performance.now() + slice, from);
      if (done < words.length) {
        const late = words.slice(from, done).filter((word) => missing.has(word.key));
        drawWords(this.pen, late, frame, this.fit, this.dark, weight, Infinity);
        requestAnimationFrame(go);
        return;
      }
      this.clear();
      this.pen.drawImage(desk, 0, 0);
      const word = frame.words.find((one) => one.key === this.chosen);
      if (word) this.mark(word);
      canvas.dataset.rest = "yes";
    };
    go();
  }

  clear() {
    this.pen.setTransform(1, 0, 0, 1, 0, 0);
    this.pen.globalAlpha = 1;
    this.pen.clearRect(0, 0, this.canvas.width, this.canvas.height);
  }

  weight(word) {
    return this.sought && !this.sought.has(word.key) ? DIMMED : 1;
  }

  mark(word) {
    const pen = this.pen;
    const { scale, left, top } = this.fit;
    const around = 3 * this.ratio;
    pen.globalAlpha = 1;
    pen.strokeStyle = colour(word, this.frame, this.dark);
    pen.lineWidth = 2 * this.ratio;
    pen.beginPath();
    if (word.box) {
      const [x, y, width, height] = word.box;
      pen.setTransform(1, 0, 0, 1, left + x * scale, top + y * scale);
      pen.roundRect(-around, -around, width * scale + 2 * around, height * scale + 2 * around, 2 * around);
    } else {
      const [width, height] = [word.width * scale, word.size * (ABOVE + BELOW) * scale];
      place(pen, word, this.fit);
      pen.roundRect(-width / 2 - around, -word.size * ABOVE * scale, width + 2 * around, height, 2 * around);
    }
    pen.stroke();
  }

  drawSprite(word, at, fit) {
    const size = word.size * this.fit.scale;
    let sprite = this.sprites.get(word.text);
    const ink = colour(word, this.frame, this.dark);
    const fits = sprite?.ink === ink && size < sprite.size * MOST_GROWN && size > sprite.size / MOST_GROWN;
    if (!fits) {
      const time = performance.now() <= this.until;
      // Without it the old one has to do; a new word is hardly seen as yet and can wait.
      if (!time && !sprite) {
        this.missing.add(word.key);
        return;
      }
      this.missing.delete(word.key);
      if (time) {
        if (this.sprites.size > 4000) this.sprites.clear();
        sprite = this.sprite(word, size, ink);
        this.sprites.set(word.text, sprite);
      }
    }
    place(this.pen, at, fit);
    this.pen.globalAlpha = at.alpha * this.weight(word);
    const grow = (at.size * fit.scale) / sprite.size;
    const { image, left, top } = sprite;
    this.pen.drawImage(image, -left * grow, -top * grow, image.width * grow, image.height * grow);
  }

  sprite(word, size, ink) {
    const width = word.width * this.fit.scale;
    const image = document.createElement("canvas");
    image.width = Math.ceil(width + size * 0.3) + 4;
    image.height = Math.ceil(size * 1.7) + 4;
    const [left, top] = [image.width / 2, size * 1.2 + 2];
    const pen = image.getContext("2d");
    pen.translate(left, top);
    pen.fillStyle = ink;
    set(pen, word.text, size, width);
    return { image, left, top, size, ink };
  }
}

/** Sets all words of a frame at rest. */
export function drawFrame(pen, frame, fit, dark) {
  drawWords(pen, frame.words, frame, fit, dark, () => 1, Infinity);
}

/** Sets words from the one at `from` on, until a time; answers where it has come to. */
function drawWords(pen, words, frame, fit, dark, weight, until, from = 0) {
  for (let at = from; at < words.length; at += 1) {
    if (performance.now() > until) return at;
    const word = words[at];
    place(pen, word, fit);
    pen.globalAlpha = weight(word);
    pen.fillStyle = colour(word, frame, dark);
    set(pen, word.text, word.size * fit.scale, word.width * fit.scale);
  }
  return words.length;
}

/** How far a point is from a word; 0: on it. */
function distance(word, px, py) {
  if (word.box) {
    const [x, y, width, height] = word.box;
    return Math.hypot(Math.max(0, x - px, px - x - width), Math.max(0, y - py, py - y - height));
  }
  const [dx, dy] = turned(px - word.x, py - word.y, -word.rotate);
  return Math.hypot(Math.max(0, Math.abs(dx) - word.width / 2), Math.max(0, dy - word.size * BELOW, -dy - word.size * ABOVE));
}

function place(pen, at, fit) {
  pen.setTransform(1, 0, 0, 1, fit.left + at.x * fit.scale, fit.top + at.y * fit.scale);
  if (at.rotate) pen.rotate((at.rotate * Math.PI) / 180);
}

/** Sets a word at the origin, in pixels, no wider than `width`. */
function set(pen, text, size, width) {
  pen.font = `700 ${size}px ${FAMILY}`;
  pen.textAlign = "center";
  pen.textBaseline = "alphabetic";
  if ("fontKerning" in pen) pen.fontKerning = "none";
  if ("textRendering" in pen) pen.textRendering = "optimizeSpeed";
  const own = breadth(pen, text, size) * size;
  if (own > width * 1.01) pen.scale(width / own, 1);
  pen.fillText(text, 0, 0);
}

/** Width of a text in parts of its font size: measured once, since measuring takes longer than drawing. */
function breadth(pen, text, size) {
  let known = breadths.get(text);
  if (known === undefined) {
    if (breadths.size > 10_000) breadths.clear();
    known = pen.measureText(text).width / size;
    breadths.set(text, known);
  }
  return known;
}

/** The part of the canvas, about its middle, that words take: in steps, so that it seldom changes. */
function reach(frame) {
  let [across, down] = [0, 0];
  const [middle, centre] = [frame.width / 2, frame.height / 2];
  for (const { x, y, size, width, rotate } of frame.words) {
    for (const corner of [-width / 2, width / 2]) {
      for (const edge of [-size * ABOVE, size * BELOW]) {
        const [dx, dy] = turned(corner, edge, rotate);
        across = Math.max(across, Math.abs(x + dx - middle));
        down = Math.max(down, Math.abs(y + dy - centre));
      }
    }
  }
  const step = (part) => Math.min(1, Math.max(0.5, Math.ceil(part * 16) / 16));
  return { width: frame.width * step(across / middle), height: frame.height * step(down / centre) };
}

function turned(x, y, degrees) {
  if (!degrees) return [x, y];
  const [sine, cosine] = [Math.sin((degrees * Math.PI) / 180), Math.cos((degrees * Math.PI) / 180)];
  return [x * cosine - y * sine, x * sine + y * cosine];
}

function pose(word, alpha) {
  return { x: word.x, y: word.y, size: word.size, rotate: word.rotate, alpha, word };
}

/** Every number between those of `from` and `to`. */
function between({ from, to }, part) {
  if (part >= 1) return to;
  const mixed = { ...to };
  for (const key in to) {
    if (typeof to[key] === "number") mixed[key] = from[key] + (to[key] - from[key]) * part;
  }
  return mixed;
}

function ease(part) {
  if (part >= 1) return 1;
  if (part <= 0) return 0;
  return 1 - (1 - part) ** 3;
}
