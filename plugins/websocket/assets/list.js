// The words as a list: what the cloud says, for screen readers, keyboards and whoever prefers rows.
//
// One of its words takes the tabulator, arrow keys go on from there: a thousand words are one stop.
// A row stays with its word, so that focus and marks do too. Rows are brought up to date after the
// picture, a slice at a time; until then the list says that it is busy.

import { typeface } from "/sprites.js";
import { number } from "/tools.js";

const PAGE = 10;
/** Milliseconds between two pictures that may go into rows. */
const SLICE_MS = 4;

export class List {
  /** `rows` is an `<ol>`; `choose(key)` is told of the word that was chosen. */
  constructor(rows, choose) {
    this.rows = rows;
    /** Rows by the key of their word. */
    this.items = new Map();
    /** The cloud whose typeface is waited for, and what is listed next. */
    this.awaited = null;
    this.next = null;
    /** What is left to do of the pass that is under way, and whom to tell of its end. */
    this.work = null;
    this.then = null;
    this.current = "";
    /** The button that takes the tabulator. */
    this.stopped = null;
    this.sought = null;
    this.marked = null;
    rows.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (button) choose(button.dataset.word);
    });
    rows.addEventListener("focusin", (event) => this.moveTo(event.target.closest("button")));
    rows.addEventListener("keydown", (event) => this.key(event));
  }

  /** `change(word)` is by how much its count changed, or null; `then` is told when it is listed. */
  async show(frame, change, then) {
    this.awaited = frame;
    this.rows.setAttribute("aria-busy", "true");
    // A row that was laid out with another typeface may keep it.
    await typeface(frame.words);
    if (this.awaited !== frame) return;
    const idle = !this.work && !this.next;
    // A pass goes to its end before the next begins: clouds that come faster than they are listed
    // would else leave the last rows as they are for ever.
    this.next = { frame, change, then };
    if (idle) setTimeout(() => this.slice());
  }

  slice() {
    if (!this.work) {
      const { frame, change, then } = this.next;
      this.next = null;
      this.then = then;
      this.work = this.update(frame, change);
      this.rows.setAttribute("aria-busy", "true");
    }
    const until = performance.now() + SLICE_MS;
    while (!this.work.next().done) {
      if (performance.now() < until) continue;
      setTimeout(() => this.slice());
      return;
    }
    this.work = null;
    this.rows.setAttribute("aria-busy", "false");
    this.find();
    this.then();
    if (this.next) setTimeout(() => this.slice());
  }

  *update(frame, change) {
    const { rows, items } = this;
    const most = frame.words[0]?.count || 1;
    for (const [key, item] of items) {
      if (frame.counts.has(key)) continue;
      // Who reads at a word that goes reads on at the next one.
      if (item.contains(document.activeElement)) beside(item)?.firstChild.focus({ preventScroll: true });
      item.remove();
      items.delete(key);
      yield;
    }
    let place = rows.firstChild;
    for (const word of frame.words) {
      const item = items.get(word.key) ?? this.add(word.key);
      if (item === place) {
        place = place.nextSibling;
      } else if (item === place?.nextSibling && !place.contains(document.activeElement)) {
        // One that has fallen behind; it is put in where its turn comes.
        place.remove();
        place = item.nextSibling;
      } else {
        const focused = item.contains(document.activeElement);
        rows.insertBefore(item, place);
        if (focused) item.firstChild.focus({ preventScroll: true });
      }
      fill(item.firstChild, word, change(word), word.count / most);
      this.hide(item);
      yield;
    }
  }

  add(key) {
    const item = row();
    const button = item.firstChild;
    button.dataset.word = key;
    button.tabIndex = -1;
    if (key === this.marked) button.setAttribute("aria-current", "true");
    this.items.set(key, item);
    return item;
  }

  hide(item) {
    const hidden = this.sought !== null && !this.sought.has(item.firstChild.dataset.word);
    if (item.hidden !== hidden) item.hidden = hidden;
  }

  filter(sought) {
    if (sought === null && this.sought === null) return;
    this.sought = sought;
    for (const item of this.rows.children) this.hide(item);
    this.find();
  }

  /** Finds the row that takes the tabulator. */
  find() {
    let item = this.items.get(this.current);
    if (!item || item.hidden) item = [...this.rows.children].find((one) => !one.hidden);
    this.stop(item?.firstChild ?? null);
  }

  /** Marks the word whose panel is open. */
  mark(key) {
    this.items.get(this.marked)?.firstChild.removeAttribute("aria-current");
    this.marked = key;
    this.items.get(key)?.firstChild.setAttribute("aria-current", "true");
  }

  buttons() {
    return [...this.rows.children].filter((item) => !item.hidden).map((item) => item.firstChild);
  }

  moveTo(button) {
    if (!button) return;
    this.current = button.dataset.word;
    this.stop(button);
  }

  stop(button) {
    if (this.stopped === button) return;
    if (this.stopped) this.stopped.tabIndex = -1;
    this.stopped = button;
    if (button) button.tabIndex = 0;
  }

  key(event) {
    const all = this.buttons();
    const at = all.indexOf(document.activeElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + PAGE, PageUp: at - PAGE, Home: 0, End: all.length - 1 }[event.key];
    if (to === undefined || at < 0) return;
    event.preventDefault();
    event.stopPropagation();
    all[Math.min(Math.max(to, 0), all.length - 1)].focus();
  }
}

/** The next row that is seen, or else the one before. */
function beside(item) {
  for (const way of ["nextSibling", "previousSibling"]) {
    let one = item[way];
    while (one?.hidden) one = one[way];
    if (one) return one;
  }
  return null;
}

function row() {
  const item = document.createElement("li");
  const button = document.createElement("button");
  button.type = "button";
  button.className = "row";
  for (const kind of ["name", "change", "number"]) {
    const part = document.createElement("span");
    part.className = kind;
    if (kind === "name") part.dir = "auto";
    button.append(part);
  }
  item.append(button);
  return item;
}

function fill(button, word, change, part) {
  const [name, by, count] = button.children;
  put(name, word.text);
  put(count, number.format(word.count));
  put(by, signed(change));
  by.dataset.way = Math.sign(change ?? 0);
  button.style.setProperty("--part", part.toFixed(3));
}

function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** +3, −3 or nothing. */
export function signed(change) {
  if (!change) return "";
  return change > 0 ? `+${number.format(change)}` : `\u2212${number.format(-change)}`;
}
