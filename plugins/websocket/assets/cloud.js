// Draws clouds on the canvas and moves from one to the next.
//
// A move begins when all that it needs is there: sprites are made a slice of a picture at a time, and
// meanwhile what is shown stays or goes on moving. Words that stay are drawn once for the whole
// move, on a layer. Where very many move, the largest do and the others fade from their old places
// to the new ones. At rest each word is its sprite as it is, on whole pixels, so that it is sharp.

import { Sprites, set, turn, typeface } from "/sprites.js";
import { colour } from "/theme.js";

const MOVE_MS = 650;
/** Most words that move; drawing more of them takes longer than there is between two pictures. */
const MOST_MOVING = 300;
/** How much is left of words that are not looked for. */
const DIMMED = 0.16;
/** How large a word is when it comes and goes. */
const SMALL = 0.7;
/** Parts of the font size that a word takes above and below its baseline. */
const ABOVE = 0.78;
const BELOW = 0.24;
/** A finger is broader than a small word: pixels of the window around it that count as well. */
const FINGER = 14;
/** Milliseconds of a picture that may go into making sprites, so that what moves goes on moving. */
const SLICE_MS = 7;

export class Cloud {
  /** `placed()` is told when the words of another cloud are there. */
  constructor(canvas, placed = () => {}) {
    this.canvas = canvas;
    this.placed = placed;
    this.pen = canvas.getContext("2d");
    this.sprites = new Sprites();
    this.dark = false;
    this.ratio = 1;
    this.still = matchMedia("(prefers-reduced-motion: reduce)");
    /** The cloud shown, and how it fits the canvas. */
    this.frame = null;
    this.fit = { scale: 1, left: 0, top: 0 };
    /** The cloud that follows as soon as its sprites are made; its typeface is waited for before. */
    this.next = null;
    this.awaited = null;
    /** From where to where each word goes, in pixels; those of them that are drawn one by one. */
    this.moves = [];
    this.moving = [];
    this.begun = -Infinity;
    /** Words that do not move: where they are in the end, and, if they fade, where they were. */
    this.after = document.createElement("canvas");
    this.before = null;
    /** Whether the layers are as the words are now; without them each word is drawn. */
    this.layered = false;
    this.settled = true;
    /** Whether the move before was not over yet. */
    this.hurried = false;
    /** Whether every sprite is as it should be, and whether the canvas has to be drawn again. */
    this.sharp = true;
    this.dirty = false;
    /** How many sprites had been made when all words were drawn. */
    this.drawn = 0;
    this.turn = 0;
    this.sought = null;
    this.chosen = null;
  }

  /** Shows a frame; moves there unless `at_once`. */
  async show(frame, at_once) {
    const next = { frame, at_once };
    this.awaited = next;
    this.canvas.dataset.rest = "no";
    await typeface(frame.words);
    if (this.awaited !== next) return;
    this.awaited = null;
    this.next = next;
    this.go();
  }

  /** Fits the canvas to its box and draws anew. */
  resize() {
    const ratio = Math.min(window.devicePixelRatio || 1, 3);
    const box = this.canvas.getBoundingClientRect();
    const width = Math.max(1, Math.round(box.width * ratio));
    const height = Math.max(1, Math.round(box.height * ratio));
    if (this.canvas.width === width && this.canvas.height === height) return;
    this.canvas.width = width;
    this.canvas.height = height;
    this.ratio = ratio;
    if (!this.frame) return;
    // The canvas is empty now: nothing of it may be left for later, so the sprites do as they are.
    this.place(this.frame, true);
    this.draw(1);
    this.go();
  }

  /** Light or dark. */
  set theme(dark) {
    this.dark = dark;
    if (!this.frame) return;
    this.sharp = false;
    this.go();
  }

  /** Dims all words but these; null: none. Marks the one that is chosen. */
  emphasise(sought, chosen) {
    if (sought === null && this.sought === null && chosen === this.chosen) return;
    this.sought = sought;
    this.chosen = chosen;
    if (!this.frame) return;
    this.anew();
    this.go();
  }

  /**
   * The word at a point of the window, if any; `broad`: or next to it. Only ink is kept apart, so a
   * word may stand within the box of another: of several the smallest is meant.
   */
  at(x, y, broad) {
    if (!this.frame) return null;
    const box = this.canvas.getBoundingClientRect();
    const { scale, left, top } = this.fit;
    const cx = ((x - box.left) * this.ratio - left) / scale;
    const cy = ((y - box.top) * this.ratio - top) / scale;
    let [found, least, smallest] = [null, broad ? (FINGER * this.ratio) / scale : 0, Infinity];
    for (const word of this.frame.words) {
      const [away, size] = [distance(word, cx, cy), area(word)];
      if (away < least || (away === least && size < smallest)) [found, least, smallest] = [word, away, size];
    }
    return found;
  }

  go() {
    this.canvas.dataset.rest = "no";
    this.turn ||= requestAnimationFrame((now) => this.picture(now));
  }

  /** One picture: a slice of what has to be made, then what has changed. */
  picture(now) {
    this.turn = 0;
    const until = performance.now() + SLICE_MS;
    if (this.next && this.make(this.next.frame, () => false, until)) this.begin(now);
    const part = this.part(now);
    if (part === 1 && !this.settled) this.settle();
    if ((part === 1 || this.hurried) && !this.next && !this.sharp) this.sharpen(until);
    if (part < 1 || this.dirty) this.draw(part);
    if (part < 1 || this.next || !this.sharp) this.go();
    else if (!this.awaited) this.canvas.dataset.rest = "yes";
  }

  make(frame, exact, until) {
    return this.sprites.make(frame, this.fitted(frame).scale, this.dark, exact, until);
  }

  /**
   * Makes the sprites as they should be, and shows them when all are. Where clouds follow each other
   * so fast that no move comes to its end, those of words that do not move cannot wait for it.
   */
  sharpen(until) {
    const own = new Set(this.settled ? [] : this.moving.map(({ word }) => word.key));
    this.sharp = this.make(this.frame, (word) => !own.has(word.key), until);
    if (this.sharp && this.drawn !== this.sprites.made) this.anew();
  }

  /** Words are to look otherwise where they are. */
  anew() {
    if (this.settled) this.layered = false;
    else this.spread();
    this.dirty = true;
  }

  /** Begins the move to the next frame. */
  begin(now) {
    const { frame, at_once } = this.next;
    this.next = null;
    this.place(frame, at_once || this.still.matches, now);
  }

  /** Lays out the way of each word into a frame, from where it is now unless `at_once`. */
  place(frame, at_once, now = 0) {
    const were = at_once ? new Map() : this.positions(this.part(now));
    const jump = were.size === 0;
    this.frame = frame;
    this.fit = this.fitted(frame);
    this.moves = frame.words.map((word) => {
      const to = pose(word, this.fit);
      const from = jump ? to : were.get(word.key)?.at ?? small(to);
      were.delete(word.key);
      return { word, from, to };
    });
    for (const { word, at } of were.values()) this.moves.push({ word, from: at, to: small(at) });
    this.begun = jump ? -Infinity : now;
    this.hurried = !this.settled;
    this.settled = false;
    this.sharp = false;
    this.layered = false;
    if (jump) {
      this.settle();
    } else {
      this.forget();
      this.spread();
    }
    this.dirty = true;
    this.placed();
  }

  /** Parts the words into those that move by themselves and those that stand on a layer. */
  spread() {
    const moved = this.moves.filter(({ from, to }) => !same(from, to));
    moved.sort((one, other) => Math.max(other.from.size, other.to.size) - Math.max(one.from.size, one.to.size));
    this.moving = moved.slice(0, MOST_MOVING);
    this.layered = true;
    this.drawn = this.sprites.made;
    const own = new Set(this.moving);
    const others = this.moves.filter((move) => !own.has(move));
    this.layer(this.after, others, "to");
    this.before = moved.length > MOST_MOVING ? (this.before ?? document.createElement("canvas")) : null;
    if (this.before) this.layer(this.before, others, "from");
  }

  layer(canvas, moves, end) {
    canvas.width = this.canvas.width;
    canvas.height = this.canvas.height;
    const pen = canvas.getContext("2d");
    for (const move of moves) this.word(pen, move.word, move[end]);
  }

  /** The end of a move: what has left is let go of. */
  settle() {
    this.settled = true;
    this.sharp = false;
    this.moves = this.moves.filter(({ to }) => to.alpha > 0);
    this.forget();
    this.dirty = true;
  }

  /** Lets go of sprites of words that are no longer seen, unless the next cloud's are being made. */
  forget() {
    if (!this.next) this.sprites.keep(new Set(this.moves.map(({ word }) => word.key)));
  }

  /** How much of the move is over, from 0 to 1. */
  part(now) {
    return Math.min(1, Math.max(0, (now - this.begun) / MOVE_MS));
  }

  /** Where the words are that are seen. */
  positions(part) {
    const found = new Map();
    for (const { word, from, to } of this.moves) {
      const at = between(from, to, ease(part), {});
      if (at.alpha > 0.02) found.set(word.key, { word, at });
    }
    return found;
  }

  draw(part) {
    this.dirty = false;
    const { pen } = this;
    reset(pen);
    pen.clearRect(0, 0, this.canvas.width, this.canvas.height);
    if (this.layered) {
      this.layers(ease(part));
    } else {
      for (const { word, to } of this.moves) this.word(pen, word, to);
      this.drawn = this.sprites.made;
    }
    const word = part === 1 && this.frame.words.find((one) => one.key === this.chosen);
    if (word) this.mark(word);
  }

  layers(eased) {
    const { pen } = this;
    if (this.before) {
      // What is on both layers must not become fainter in between: light adds up.
      pen.globalCompositeOperation = "lighter";
      pen.globalAlpha = 1 - eased;
      pen.drawImage(this.before, 0, 0);
      pen.globalAlpha = eased;
    }
    pen.drawImage(this.after, 0, 0);
    pen.globalCompositeOperation = "source-over";
    for (const { word, from, to } of this.moving) this.word(pen, word, between(from, to, eased, on_the_way));
  }

  word(pen, word, at) {
    const weight = this.sought && !this.sought.has(word.key) ? DIMMED : 1;
    this.sprites.draw(pen, word, at, at.alpha * weight);
  }

  mark(word) {
    const { pen, ratio } = this;
    const { scale, left, top } = this.fit;
    const around = 3 * ratio;
    reset(pen);
    pen.strokeStyle = colour(word, this.frame, this.dark);
    pen.lineWidth = 2 * ratio;
    let box = [(-word.width / 2) * scale, -word.size * ABOVE * scale, word.width * scale, word.size * (ABOVE + BELOW) * scale];
    if (word.box) {
      const [x, y, width, height] = word.box;
      box = [left + x * scale, top + y * scale, width * scale, height * scale];
    } else {
      toward(pen, word, this.fit);
    }
    const [x, y, width, height] = box;
    pen.beginPath();
    pen.roundRect(x - around, y - around, width + 2 * around, height + 2 * around, 2 * around);
    pen.stroke();
  }

  /** How a frame fits the canvas. */
  fitted(frame) {
    const { width, height } = this.canvas;
    const margin = 12 * this.ratio;
    const shown = reach(frame);
    const scale = Math.max(0.01, Math.min((width - margin * 2) / shown.width, (height - margin * 2) / shown.height));
    return { scale, left: (width - frame.width * scale) / 2, top: (height - frame.height * scale) / 2 };
  }
}

/** Sets all words of a frame. */
export function drawFrame(pen, frame, fit, dark) {
  for (const word of frame.words) {
    toward(pen, word, fit);
    pen.fillStyle = colour(word, frame, dark);
    set(pen, word.text, word.size * fit.scale, word.width * fit.scale);
  }
}

/** What is known of a place. */
const NUMBERS = ["x", "y", "size", "rotate", "alpha"];
/** Where a word is at a time of its move: one for all, since there are many of them in each picture. */
const on_the_way = { x: 0, y: 0, size: 0, rotate: 0, alpha: 0 };

/** Where a word of a frame stands, in pixels: on whole ones. */
function pose(word, { scale, left, top }) {
  const [x, y] = [Math.round(left + word.x * scale), Math.round(top + word.y * scale)];
  return { x, y, size: word.size * scale, rotate: word.rotate, alpha: 1 };
}

/** How a word there comes and goes. */
const small = (at) => ({ ...at, alpha: 0, size: at.size * SMALL });

const same = (one, other) => NUMBERS.every((name) => one[name] === other[name]);

function between(from, to, part, found) {
  for (const name of NUMBERS) found[name] = part === 1 ? to[name] : from[name] + (to[name] - from[name]) * part;
  return found;
}

function ease(part) {
  return 1 - (1 - part) ** 3;
}

function reset(pen) {
  pen.setTransform(1, 0, 0, 1, 0, 0);
  pen.globalAlpha = 1;
}

function toward(pen, word, { scale, left, top }) {
  const [sine, cosine] = turn(word.rotate);
  pen.setTransform(cosine, sine, -sine, cosine, left + word.x * scale, top + word.y * scale);
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

/** Of the box that a word takes. */
function area({ box, width, size }) {
  return box ? box[2] * box[3] : width * size;
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
  const [sine, cosine] = turn(degrees);
  return [x * cosine - y * sine, x * sine + y * cosine];
}
