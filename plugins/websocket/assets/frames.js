// What came, made sure of and bounded: clouds whose numbers are numbers, those of each group in the
// order in which they came.

const MOST_WORDS = 2000;
const MOST_SAMPLES = 20;
/** Clouds kept of the group that is looked at, their words and letters together; of each other one the last. */
export const KEPT = 600;
const KEPT_WORDS = 120_000;
const KEPT_LETTERS = 16 << 20;
/** Clouds whose samples are kept: they are most of what comes, and seldom asked for later. */
const KEPT_SAMPLES = 48;
const MOST_GROUPS = 100;
const COLOUR = /^#[0-9a-f]{6}$/i;
/** Times that a date can have, in milliseconds from 1970. */
const LATEST = 8.64e15;

/** What is shown where nothing came. */
export const EMPTY = { words: [], counts: new Map(), width: 1, height: 1, palette: {} };

/** A word cloud, or null: any other record. Whatever a frame lacks is left out, not made up, and so is what the page does not read. */
export function asFrame(value) {
  if (value?.type !== "wordcloud" || !Array.isArray(value.words)) return null;
  const { seq, width, height, records, distinct } = value;
  if (![seq, width, height].every(Number.isFinite) || width <= 0 || height <= 0) return null;
  const shared = Array.isArray(value.samples) ? value.samples.map(sample) : [];
  const words = value.words.slice(0, MOST_WORDS).filter(good).map(({ text, key, count, change, x, y, size, width, rotate, box, color, samples }) => ({
    text,
    // What stays the same when another way to write it becomes the most frequent one.
    key: typeof key === "string" ? key : text,
    count,
    change: finite(change),
    x,
    y,
    size,
    width,
    rotate: finite(rotate) ?? 0,
    box: Array.isArray(box) && box.length === 4 && box.every(Number.isFinite) ? box : null,
    color: COLOUR.test(color) ? color : finite(color),
    samples: sampled(samples, shared),
  }));
  const known = new Map();
  for (const word of words) if (!known.has(word.key)) known.set(word.key, word);
  const palette = { light: colours(value.colors), dark: colours(value.colors_dark ?? value.colors) };
  const group = String(value.group ?? "");
  const figures = { seq, time_ms: time(value.time_ms), records: finite(records), distinct: finite(distinct) };
  return { ...figures, width, height, group, palette, words: [...known.values()], counts: known };
}

function good(word) {
  const { text, count, x, y, size, width } = word ?? {};
  return typeof text === "string" && [count, x, y, size, width].every(Number.isFinite) && size > 0 && width > 0;
}

/** Tweets of a word: by themselves, or places in the list that all words share. */
function sampled(given, shared) {
  if (!Array.isArray(given)) return [];
  const found = given.map((one) => (Number.isInteger(one) ? shared[one] : sample(one)));
  return found.filter(Boolean).slice(0, MOST_SAMPLES);
}

/** A text, or an object with a `text`; null: neither. */
function sample(given) {
  const { text, id = "", user, author, time_ms, at_ms } = typeof given === "string" ? { text: given } : (given ?? {});
  if (typeof text !== "string") return null;
  const name = user?.screen_name ?? user ?? author;
  return { text, id: String(id), user: typeof name === "string" ? name.replace(/^@/, "") : null, time_ms: time(time_ms ?? at_ms) };
}

const finite = (given) => (Number.isFinite(given) ? given : null);

/** Milliseconds that are a date, or null. */
function time(given) {
  return Math.abs(given) <= LATEST ? finite(given) : null;
}

/** How much text is kept of a cloud; samples that words share stand there once. */
function letters({ words }) {
  const texts = new Set(words.flatMap((word) => word.samples));
  const sum = (all, length) => all.reduce((total, one) => total + length(one), 0);
  return sum(words, ({ text, key }) => text.length + (key === text ? 0 : key.length)) + sum([...texts], ({ text, id, user }) => text.length + id.length + (user?.length ?? 0));
}

function colours(palette) {
  const all = Array.isArray(palette) && palette.length > 0 && palette.every((c) => COLOUR.test(c));
  return all ? palette : null;
}

/** The clouds of all groups, the one that was quiet longest first. */
export class Groups {
  constructor() {
    this.all = new Map();
  }

  get(name) {
    return this.all.get(name) ?? null;
  }

  names() {
    return [...this.all.keys()];
  }

  clear() {
    this.all.clear();
  }

  /** Lets go of all but the last cloud of every group but one, to which nothing may come that would. */
  leave(chosen) {
    for (const [name, frames] of this.all) if (name !== chosen) frames.trim(1, null);
  }

  /** Keeps a cloud; false: it is known. Of other groups than `chosen` the last one stays, and `shown` in any case. */
  add(name, frame, chosen, shown) {
    const frames = this.all.get(name) ?? new Frames();
    if (!frames.add(frame)) return false;
    frames.trim(name === chosen ? KEPT : 1, shown);
    this.all.delete(name);
    this.all.set(name, frames);
    const quiet = this.all.size > MOST_GROUPS && this.names().find((one) => one !== chosen);
    if (quiet !== false) this.all.delete(quiet);
    return true;
  }
}

/** The clouds of one group. */
export class Frames {
  constructor() {
    this.all = [];
    this.words = 0;
    this.letters = 0;
    /** Whether the oldest had to go because clouds are large. */
    this.full = false;
  }

  /** How many clouds there is room for: fewer where they are large. */
  get room() {
    return this.full ? this.all.length : KEPT;
  }

  get newest() {
    return this.all[this.all.length - 1] ?? null;
  }

  /**
   * Keeps a cloud; false: it is known, or older than there is room for. A new connection repeats what
   * may have been passed over: that goes where it belongs. A server that begins anew counts from 1
   * again, but later.
   */
  add(frame) {
    const { seq, time_ms } = frame;
    const same = (known) => known.seq === seq && known.time_ms === time_ms;
    const after = (known) => known.time_ms > time_ms && known.seq > seq;
    if (this.all.some(same)) return false;
    const place = this.newest && time_ms !== null && after(this.newest) ? this.all.findIndex(after) : this.all.length;
    if (place === 0 && this.all.length >= this.room) return false;
    this.all.splice(place, 0, frame);
    this.words += frame.words.length;
    this.letters += frame.letters = letters(frame);
    return true;
  }

  /** Lets go of the oldest until so many are left, or two that are very large; of `shown` last. */
  trim(most, shown) {
    if (most < KEPT) this.full = false;
    for (const frame of this.all.slice(0, -KEPT_SAMPLES)) if (frame.bare === undefined && frame !== shown) this.strip(frame);
    const large = () => this.all.length > 2 && (this.words > KEPT_WORDS || this.letters > KEPT_LETTERS);
    while (this.all.length > most || large()) {
      this.full ||= this.all.length <= most;
      const [gone] = this.all.splice(this.all[0] === shown && this.all.length > 1 ? 1 : 0, 1);
      this.words -= gone.words.length;
      this.letters -= gone.letters;
    }
  }

  /** Lets go of a cloud's samples; `bare`: it had some. */
  strip(frame) {
    this.letters -= frame.letters;
    frame.bare = frame.words.some((word) => word.samples.length > 0);
    for (const word of frame.words) word.samples = [];
    this.letters += frame.letters = letters(frame);
  }

  /** Counts of a word over all clouds kept; null where it is not among the words: it may be rare, not gone. */
  course(key) {
    return this.all.map((frame) => ({
      time: Number.isFinite(frame.time_ms) ? frame.time_ms : frame.seq,
      count: frame.counts.get(key)?.count ?? null,
      frame,
    }));
  }

  /**
   * Says by how much a word's count changed: as the frame says, or, where clouds in between did not
   * come, against the one before. null: it was not among the words of that.
   */
  changes(frame) {
    const before = this.all[this.all.indexOf(frame) - 1];
    const skipped = before && before.seq !== frame.seq - 1;
    return (word) => {
      if (Number.isFinite(word.change) && !skipped) return word.change;
      const known = before?.counts.get(word.key);
      return known ? word.count - known.count : null;
    };
  }

  /** How a word is written: in the cloud shown, or else in the last one that has it. */
  text(frame, key) {
    const found = frame.counts.get(key) ?? this.all.findLast((one) => one.counts.has(key))?.counts.get(key);
    return found?.text ?? key;
  }

  /** Newest tweets of a word: those of the cloud shown, or else of the last one before that has any. */
  samples(frame, key) {
    for (let at = this.all.indexOf(frame); at >= 0; at -= 1) {
      const found = this.all[at].counts.get(key)?.samples;
      if (found?.length) return found;
    }
    return [];
  }
}

/** For comparing what is sought with words: without case, accents and forms of width. Marks of other
 * scripts are vowels, and stay. */
export function plain(text) {
  return text.normalize("NFKD").replace(/[\u0300-\u036f]/g, "").toLowerCase();
}
