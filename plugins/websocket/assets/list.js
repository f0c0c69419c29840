// The words as a list: what the cloud says, for screen readers, keyboards and whoever prefers rows.
//
// One of its words takes the tabulator, arrow keys go on from there: a thousand words are one stop.

const number = new Intl.NumberFormat();
const PAGE = 10;

export class List {
  /** `rows` is an `<ol>`; `choose(key)` is told of the word that was chosen. */
  constructor(rows, choose) {
    this.rows = rows;
    this.current = "";
    this.sought = null;
    rows.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (button) choose(button.dataset.word);
    });
    rows.addEventListener("focusin", (event) => this.moveTo(event.target.closest("button")));
    rows.addEventListener("keydown", (event) => this.key(event));
  }

  /** `change(word)` is by how much its count changed, or null. */
  show(frame, change) {
    const { rows } = this;
    const most = frame.words[0]?.count || 1;
    while (rows.children.length > frame.words.length) rows.lastChild.remove();
    while (rows.children.length < frame.words.length) rows.append(row());
    const focused = rows.contains(document.activeElement) ? document.activeElement.dataset.word : null;
    frame.words.forEach((word, place) => {
      const button = rows.children[place].firstChild;
      const [name, by, count] = button.children;
      button.dataset.word = word.key;
      put(name, word.text);
      put(count, number.format(word.count));
      put(by, signed(change(word)));
      by.dataset.way = Math.sign(change(word) ?? 0);
      button.style.setProperty("--part", word.count / most);
    });
    // Who reads at a word stays at it when words above it come and go.
    if (focused !== null) this.button(focused)?.focus({ preventScroll: true });
    this.filter(this.sought);
  }

  filter(sought) {
    this.sought = sought;
    for (const item of this.rows.children) item.hidden = Boolean(sought) && !sought.has(item.firstChild.dataset.word);
    const shown = this.buttons();
    this.stop(shown.find((button) => button.dataset.word === this.current) ?? shown[0]);
  }

  /** Marks the word whose panel is open. */
  mark(key) {
    for (const item of this.rows.children) {
      if (item.firstChild.dataset.word === key) item.firstChild.setAttribute("aria-current", "true");
      else item.firstChild.removeAttribute("aria-current");
    }
  }

  button(key) {
    return this.buttons().find((button) => button.dataset.word === key);
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
    for (const item of this.rows.children) item.firstChild.tabIndex = item.firstChild === button ? 0 : -1;
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

function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** +3, −3 or nothing. */
export function signed(change) {
  if (!change) return "";
  return change > 0 ? `+${number.format(change)}` : `\u2212${number.format(-change)}`;
}
