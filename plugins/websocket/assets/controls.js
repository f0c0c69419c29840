// What the reader can do, by mouse, finger and keyboard, and what it leads to.

import { save } from "/save.js";
import { id, keep, kept, number } from "/tools.js";

/** In full screen the bars go when nothing has moved for so long. */
const QUIET_AFTER = 3000;

export class Controls {
  /** `act` has a function for each wish. */
  constructor(act) {
    this.act = act;
    this.quiet = 0;
    /** Where the tip was last put. */
    this.pointed = null;
    id("pause").onclick = act.pause;
    id("view").onclick = act.view;
    id("theme").onclick = act.theme;
    id("full").onclick = full;
    // Some phones have none.
    id("full").hidden = !document.documentElement.requestFullscreen;
    id("slider").oninput = (event) => act.at(Number(event.target.value));
    id("topic").onchange = (event) => act.topic(event.target.value);
    this.search();
    this.canvas();
    this.menu();
    addEventListener("keydown", (event) => this.key(event));
    document.addEventListener("fullscreenchange", () => this.fullscreen());
    for (const kind of ["pointermove", "pointerdown", "keydown", "focusin"]) addEventListener(kind, () => this.wake());
  }

  search() {
    const box = id("search");
    box.oninput = this.act.search;
    box.onkeydown = (event) => {
      // Enter and Escape also end the writing of a word by an input method.
      if (event.isComposing) return;
      const first = event.key === "Enter" && this.act.search()?.[0];
      if (first) this.act.choose(first.key);
      if (event.key !== "Escape" || !box.value) return;
      box.value = "";
      this.act.search();
      event.stopPropagation();
    };
  }

  canvas() {
    const canvas = id("canvas");
    const tip = id("tip");
    canvas.onpointermove = (event) => this.point(event);
    canvas.onpointerleave = () => (tip.hidden = true);
    canvas.onclick = (event) => {
      tip.hidden = true;
      const word = this.act.word(event.clientX, event.clientY, broad(event));
      this.act.choose(word ? word.key : null);
    };
  }

  /** Says which word the pointer is at. */
  point(event) {
    const tip = id("tip");
    const word = this.act.word(event.clientX, event.clientY, broad(event));
    id("canvas").classList.toggle("over", Boolean(word));
    tip.hidden = !word || broad(event);
    if (tip.hidden) return;
    this.pointed = event;
    tip.firstChild.textContent = word.text;
    tip.lastChild.textContent = `  ${number.format(word.count)}`;
    const box = id("stage").getBoundingClientRect();
    const x = Math.min(event.clientX - box.left + 14, box.width - tip.offsetWidth - 8);
    const y = Math.min(event.clientY - box.top + 16, box.height - tip.offsetHeight - 8);
    tip.style.transform = `translate(${Math.max(4, x)}px, ${Math.max(4, y)}px)`;
  }

  /** Words have changed below a pointer that rests. */
  placed() {
    if (!id("tip").hidden) this.point(this.pointed);
  }

  menu() {
    const menu = id("menu");
    menu.addEventListener("beforetoggle", () => {
      const button = id("more").getBoundingClientRect();
      menu.style.top = `${button.bottom + 6}px`;
      menu.style.right = `${Math.max(8, document.documentElement.clientWidth - button.right)}px`;
    });
    for (const button of menu.querySelectorAll("[data-save]")) {
      button.onclick = () => {
        const frame = this.act.frame();
        if (frame) save(button.dataset.save, frame, this.act.dark()).catch((error) => console.error(error));
        menu.hidePopover();
      };
    }
    const keys = id("keys");
    keys.checked = kept("keys") !== "off";
    keys.onchange = () => keep("keys", keys.checked ? "on" : "off");
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { act } = this;
    if (event.key === "Escape") {
      id("tip").hidden = true;
      if (act.open() !== null && !document.querySelector("#menu:popover-open")) act.choose(null);
      return;
    }
    // Fields have keys of their own; single keys can be switched off (WCAG 2.1.4).
    if (event.target.closest?.("input, select, [popover]") || !id("keys").checked) return;
    const wish = {
      " ": act.pause,
      l: act.view,
      d: act.theme,
      f: full,
      "/": () => id("search").focus(),
      ArrowLeft: () => act.look(-1),
      ArrowRight: () => act.look(1),
    }[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!wish || (event.repeat && event.key.length === 1)) return;
    // It presses a button, and goes on by a page in what scrolls.
    if (event.key === " " && event.target.closest?.("button, #panel-body, #records")) return;
    event.preventDefault();
    wish();
  }

  fullscreen() {
    id("full").setAttribute("aria-pressed", Boolean(document.fullscreenElement));
    this.wake();
  }

  wake() {
    clearTimeout(this.quiet);
    document.body.classList.remove("quiet");
    if (document.fullscreenElement) this.quiet = setTimeout(() => document.body.classList.add("quiet"), QUIET_AFTER);
  }
}

/** Whether it is a finger that points, or something as broad. */
const broad = (event) => event.pointerType !== "mouse";

function full() {
  // A browser may refuse; then the page stays as it is.
  if (document.fullscreenElement) document.exitFullscreen().catch(() => {});
  else document.documentElement.requestFullscreen?.().catch(() => {});
}
