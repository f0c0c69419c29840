// Draws clouds on the canvas and moves from one to the next.
//
// While words move they are sprites, drawn once each and only scaled and placed sixty times a
// second; at rest the words are set anew, so that they are sharp. Letters stand without kerning
// and ligatures, as the server measured them; a word in a script that the typeface lacks is
// fitted into the width that the server left for it.

const FAMILY = '"Cloud", "Noto Sans", system-ui, sans-serif';
const LIGHT = ["#1d4e89", "#0b7a75", "#b3541e", "#8c2f66", "#3b5bb5", "#8a6a00", "#b02a3c", "#4a6b2a"];
const DARK = ["#7cc4ff", "#5fd6c4", "#ffb07a", "#f29bd0", "#a9b8ff", "#f2cf66", "#ff9aa8", "#b5dd8a"];
const MOVE_MS = 650;

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
    this.fit = { scale: 1, left: 0, top: 0, ratio: 1 };
  }

  /** Shows a frame; moves there unless `at_once`. */
  show(frame, at_once) {
    const before = this.positions(performance.now());
    this.frame = frame;
    this.layout();
    const jump = at_once || this.still.matches || document.hidden || before.size === 0;
    this.moves = [];
    for (const word of frame.words) {
      const from = before.get(word.text);
      before.delete(word.text);
      this.moves.push({
        word,
        from: jump ? pose(word, 1) : from ? { ...from, rotate: turn(from.rotate, word.rotate) } : { ...pose(word, 0), size: word.size * 0.7 },
        to: pose(word, 1),
      });
    }
    if (!jump) {
      for (const [text, from] of before) {
        this.moves.push({ word: { ...from.word, text }, from, to: { ...from, alpha: 0, size: from.size * 0.7 } });
      }
    }
    this.begun = performance.now() - (jump ? MOVE_MS : 0);
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
    }
    this.fit.ratio = ratio;
    this.layout();
    this.redraw();
  }

  /** Light or dark. */
  set theme(dark) {
    this.dark = dark;
    this.sprites.clear();
    this.redraw();
  }

  /** The word at a point of the window, if any. */
  at(x, y) {
    if (!this.frame) return null;
    const box = this.canvas.getBoundingClientRect();
    const { scale, left, top, ratio } = this.fit;
    const cx = ((x - box.left) * ratio - left) / scale;
    const cy = ((y - box.top) * ratio - top) / scale;
    for (const word of this.frame.words) {
      let dx = cx - word.x;
      let dy = cy - word.y;
      if (word.rotate) [dx, dy] = [-dy, dx];
      if (Math.abs(dx) <= word.width / 2 && dy <= word.size * 0.24 && dy >= -word.size * 0.78) return word;
    }
    return null;
  }

  layout() {
    if (!this.frame) return;
    const { width, height } = this.canvas;
    const margin = 14 * this.fit.ratio;
    const bounds = inked(this.frame);
    const scale = Math.max(0.01, Math.min((width - margin * 2) / bounds.width, (height - margin * 2) / bounds.height));
    if (scale !== this.fit.scale) this.sprites.clear();
    this.fit.scale = scale;
    this.fit.left = (width - bounds.width * scale) / 2 - bounds.left * scale;
    this.fit.top = (height - bounds.height * scale) / 2 - bounds.top * scale;
  }

  positions(now) {
    const part = ease((now - this.begun) / MOVE_MS);
    const found = new Map();
    for (const move of this.moves) {
      const at = between(move, part);
      if (at.alpha > 0.02) found.set(move.word.text, { ...at, word: move.word });
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
    const eased = ease(part);
    for (const move of this.moves) this.drawSprite(move.word, between(move, eased));
    requestAnimationFrame((then) => this.step(then));
  }

  redraw() {
    if (this.running || !this.frame) return;
    this.clear();
    for (const word of this.frame.words) this.drawWord(this.pen, word, pose(word, 1));
  }

  clear() {
    this.pen.setTransform(1, 0, 0, 1, 0, 0);
    this.pen.globalAlpha = 1;
    this.pen.clearRect(0, 0, this.canvas.width, this.canvas.height);
  }

  place(at) {
    const { scale, left, top } = this.fit;
    this.pen.setTransform(1, 0, 0, 1, left + at.x * scale, top + at.y * scale);
    if (at.rotate) this.pen.rotate((at.rotate * Math.PI) / 180);
  }

  drawWord(pen, word, at) {
    this.place(at);
    pen.globalAlpha = at.alpha;
    pen.fillStyle = this.color(word);
    set(pen, word, at.size * this.fit.scale, word.width * this.fit.scale * (at.size / word.size));
  }

  drawSprite(word, at) {
    let sprite = this.sprites.get(word.text);
    if (!sprite || Math.abs(sprite.size / word.size - 1) > 0.02) {
      sprite = this.sprite(word);
      this.sprites.set(word.text, sprite);
      if (this.sprites.size > 4000) this.sprites.clear();
    }
    this.place(at);
    this.pen.globalAlpha = at.alpha;
    const grow = at.size / sprite.size;
    this.pen.drawImage(sprite.image, -sprite.left * grow, -sprite.top * grow, sprite.image.width * grow, sprite.image.height * grow);
  }

  sprite(word) {
    const size = word.size * this.fit.scale;
    const width = word.width * this.fit.scale;
    const image = document.createElement("canvas");
    image.width = Math.ceil(width + size * 0.3) + 4;
    image.height = Math.ceil(size * 1.7) + 4;
    const [left, top] = [image.width / 2, size * 1.2 + 2];
    const pen = image.getContext("2d");
    pen.translate(left, top);
    pen.fillStyle = this.color(word);
    set(pen, word, size, width);
    return { image, left, top, size: word.size };
  }

  color(word) {
    const palette = this.dark ? DARK : LIGHT;
    return palette[(word.color | 0) % palette.length] ?? palette[0];
  }
}

/** Sets a word at the origin, in pixels, no wider than `width`. */
function set(pen, word, size, width) {
  pen.font = `700 ${size}px ${FAMILY}`;
  pen.textAlign = "center";
  pen.textBaseline = "alphabetic";
  if ("fontKerning" in pen) pen.fontKerning = "none";
  if ("textRendering" in pen) pen.textRendering = "optimizeSpeed";
  const own = pen.measureText(word.text).width;
  if (own > width * 1.01) pen.scale(width / own, 1);
  pen.fillText(word.text, 0, 0);
}

/** The part of the canvas that words take, so that a small cloud is not lost on it. */
function inked(frame) {
  let [left, top, right, bottom] = [frame.width, frame.height, 0, 0];
  for (const { x, y, size, width, rotate } of frame.words) {
    const half = width / 2;
    const [up, down] = [size * 0.8, size * 0.24];
    left = Math.min(left, rotate ? x - up : x - half);
    right = Math.max(right, rotate ? x + down : x + half);
    top = Math.min(top, rotate ? y - half : y - up);
    bottom = Math.max(bottom, rotate ? y + half : y + down);
  }
  // Frames of one stream keep one zoom: only a cloud far smaller than its canvas is enlarged.
  const full = { left: 0, top: 0, width: frame.width, height: frame.height };
  if (right <= left || bottom <= top) return full;
  const small = (right - left) < frame.width * 0.72 && (bottom - top) < frame.height * 0.72;
  return small ? { left: frame.width * 0.14, top: frame.height * 0.14, width: frame.width * 0.72, height: frame.height * 0.72 } : full;
}

function pose(word, alpha) {
  return { x: word.x, y: word.y, size: word.size, rotate: word.rotate, alpha };
}

function between({ from, to }, part) {
  if (part >= 1) return to;
  const mix = (a, b) => a + (b - a) * part;
  return {
    x: mix(from.x, to.x),
    y: mix(from.y, to.y),
    size: mix(from.size, to.size),
    rotate: mix(from.rotate, to.rotate),
    alpha: mix(from.alpha, to.alpha),
  };
}

function turn(from, to) {
  return Math.abs(from - to) < 0.01 ? to : from;
}

function ease(part) {
  if (part >= 1) return 1;
  if (part <= 0) return 0;
  return 1 - (1 - part) ** 3;
}
