// The page: follows the feed, keeps what came, and shows it.
//
// For whoever watches from outside (tests, scripts): <main id="cloud"> carries data-seq (number of
// the frame shown), data-frames (frames received since the page was loaded) and data-words; the
// event "cloud" on it tells of each frame as it is shown. data-rest of the canvas is "yes" when nothing
// moves.

import { Cloud } from "/cloud.js";
import { Controls } from "/controls.js";
import { Feed } from "/feed.js";
import { Frames, asFrame, plain } from "/frames.js";
import { List } from "/list.js";
import { Panel } from "/panel.js";
import { applyTheme } from "/theme.js";

const BACK = 30;
const LINES = 100;

const id = (name) => document.getElementById(name);
const main = id("cloud");
const number = new Intl.NumberFormat();
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });

const cloud = new Cloud(id("canvas"));
const list = new List(id("list"), choose);
const panel = new Panel(() => choose(null));

/** Clouds by group; a feed without groups has the one named "". */
const groups = new Map();
/** Topics of the server, which sends only the one that is asked for: null where it has none. */
let topics = null;
/** The group or topic that is looked at, and the topic that the feed was asked for. */
let chosen = null;
let asked = null;
let shown = null;
let received = 0;
let paused = false;
let scheduled = false;
let connection = "connecting";
let again = 0;
let ticking = 0;

const feed = new Feed({ state, message: receive, topics: learn }, () => {
  asked = topics && chosen;
  return { history: frames()?.all.length ? 1 : BACK, ...(asked !== null && { topic: asked }) };
});

function frames() {
  return groups.get(chosen ?? "") ?? null;
}

// ---- what comes

function receive(text) {
  let value = text;
  try {
    value = JSON.parse(text);
  } catch {
    // A text record.
  }
  const frame = asFrame(value);
  if (!frame) {
    line(typeof value === "string" ? value : JSON.stringify(value));
    return;
  }
  if (topics && asked === null) {
    // The first record of the first topic: from now on one of them is followed.
    feed.refresh();
    return;
  }
  // What a topic sends belongs to it, whatever it calls itself.
  const group = asked ?? frame.group;
  if (!groups.has(group)) groups.set(group, new Frames());
  if (!groups.get(group).add(frame)) return;
  received += 1;
  main.dataset.frames = received;
  if (chosen === null) chosen = group;
  choices();
  if (group !== chosen) return;
  slider();
  if (!paused) soon();
}

function learn(names, by_key) {
  topics = by_key ? names : null;
  if (topics?.length && chosen === null) {
    chosen = topics[0];
    if (connection === "live") feed.connect();
  }
  choices();
}

function choices() {
  const names = [...new Set([...(topics ?? []), ...groups.keys()])].sort();
  const select = id("topic");
  id("topic-box").hidden = names.length < 2;
  if (names.length !== select.options.length || names.some((name, at) => select.options[at].value !== name)) {
    select.replaceChildren(...names.map((name) => new Option(name || "all", name)));
  }
  select.value = chosen ?? "";
}

function change(group) {
  chosen = group;
  choose(null);
  shown = null;
  pause(false);
  // A topic is another feed; a group was in this one all along.
  if (topics) feed.connect();
}

/** Shows the newest frame with the next picture: of several that came at once only the last moves. */
function soon() {
  if (scheduled) return;
  scheduled = true;
  const show = () => {
    scheduled = false;
    const newest = frames()?.newest;
    if (!paused && newest) display(newest);
  };
  // A hidden page gets no animation frames, but its title and list should still be right.
  if (document.hidden) setTimeout(show, 0);
  else requestAnimationFrame(show);
}

// ---- what is shown

function display(frame) {
  if (frame === shown) return;
  shown = frame;
  waiting();
  cloud.show(frame);
  main.dataset.words = frame.words.length;
  main.dataset.seq = frame.seq;
  figures();
  list.show(frame, (word) => frames().change(frame, word));
  search();
  panel.show(frame, frames());
  slider();
  const first = frame.words.slice(0, 5).map((word) => word.text);
  const most = first.length ? `. Most frequent: ${first.join(", ")}` : "";
  id("canvas").setAttribute("aria-label", `Word cloud of ${frame.words.length} words${most}`);
  main.dispatchEvent(new CustomEvent("cloud", { detail: frame.seq }));
}

function figures() {
  const parts = {
    count: Number.isFinite(shown.records) && `${number.format(shown.records)} records`,
    distinct: Number.isFinite(shown.distinct) && `${number.format(shown.distinct)} different words`,
    last: `cloud ${number.format(shown.seq)}`,
  };
  for (const [name, text] of Object.entries(parts)) {
    id(name).textContent = text || "";
  }
}

function line(text) {
  if (paused) return;
  id("records").hidden = false;
  if (!shown) id("stage").hidden = true;
  const item = document.createElement("li");
  item.textContent = text.length > 4000 ? `${text.slice(0, 4000)} …` : text;
  item.dir = "auto";
  const lines = id("lines");
  lines.prepend(item);
  while (lines.children.length > LINES) lines.lastChild.remove();
}

function waiting() {
  const note = id("waiting");
  note.hidden = Boolean(shown?.words.length) || connection === "locked";
  if (shown) note.textContent = "No words at the moment: the window is empty.";
  else if (connection === "live") note.textContent = "Connected. Waiting for the first words …";
  else if (connection === "connecting") note.textContent = "Connecting …";
  else note.textContent = "The server cannot be reached. The page goes on trying.";
}

function state(now, until) {
  connection = now;
  again = until ?? 0;
  clearInterval(ticking);
  if (again) ticking = setInterval(countdown, 500);
  id("lock").hidden = now !== "locked";
  if (now === "locked") {
    id("lock-note").textContent = feed.token ? "That token is not the right one." : "";
    id("token").focus();
  }
  tell();
  waiting();
}

function tell() {
  const away = connection === "offline" || connection === "full";
  const was = away || (connection === "connecting" && received);
  const words = {
    live: "live",
    connecting: received ? "reconnecting" : "connecting",
    offline: "reconnecting",
    full: "the server is full",
    locked: "locked",
  };
  const said = paused ? (connection === "live" ? "paused" : `paused, ${words[connection]}`) : words[connection];
  id("state").dataset.state = paused ? "paused" : was ? "offline" : connection;
  // Said once: a screen reader need not hear it again.
  if (id("state-text").textContent !== said) id("state-text").textContent = said;
  id("retry").hidden = !away;
  countdown();
}

function countdown() {
  const seconds = Math.ceil((again - Date.now()) / 1000);
  id("state-when").textContent = again && seconds > 0 ? `in ${seconds} s` : "";
}

// ---- the reader's wishes

function pause(on) {
  paused = on;
  const button = id("pause");
  button.setAttribute("aria-pressed", on);
  button.querySelector(".name").textContent = on ? "Go live" : "Pause";
  button.title = on ? "Go live (space)" : "Pause (space)";
  tell();
  const newest = frames()?.newest;
  if (!on && newest) display(newest);
  slider();
}

function slider() {
  const all = frames()?.all ?? [];
  const bar = id("slider");
  const at = all.indexOf(shown);
  bar.disabled = all.length < 2;
  bar.max = Math.max(0, all.length - 1);
  if (at >= 0) bar.value = at;
  const time = shown && (Number.isFinite(shown.time_ms) ? clock.format(shown.time_ms) : `cloud ${shown.seq}`);
  id("when").textContent = time ?? "";
  bar.setAttribute("aria-valuetext", time ? `${time}, ${at + 1} of ${all.length}` : "none yet");
}

/** Shows an earlier cloud, and stays there. */
function look(place) {
  const all = frames()?.all ?? [];
  const frame = all[Math.min(Math.max(place, 0), all.length - 1)];
  if (!frame) return;
  if (!paused) pause(true);
  display(frame);
}

function search() {
  const sought = plain(id("search").value.trim());
  const found = sought && shown ? shown.words.filter((word) => plain(word.text).includes(sought)) : null;
  const set = found && new Set(found.map((word) => word.key));
  id("found").textContent = found ? `${number.format(found.length)} of ${number.format(shown.words.length)}` : "";
  list.filter(set);
  cloud.emphasise(set, panel.word);
  return found;
}

/** Opens the panel of the word with this key; null: closes it. */
function choose(key) {
  if (key === null) panel.close();
  else panel.open(key, frames().text(shown, key));
  list.mark(key);
  cloud.emphasise(cloud.sought, key);
  if (shown) panel.show(shown, frames());
}

function view() {
  const on = main.classList.toggle("listed");
  main.classList.toggle("only-list", on);
  id("view").setAttribute("aria-pressed", on);
  if (on) list.buttons().find((button) => button.tabIndex === 0)?.scrollIntoView({ block: "nearest" });
}

function theme(flip) {
  applyTheme((dark) => (cloud.theme = dark), flip);
}

new Controls({
  pause: () => pause(!paused),
  look: (step) => look((frames()?.all.indexOf(shown) ?? 0) + step),
  at: look,
  view,
  theme: () => theme(true),
  search,
  choose,
  topic: change,
  word: (x, y, broad) => cloud.at(x, y, broad),
  open: () => panel.word,
  frame: () => shown,
  dark: () => cloud.dark,
});
id("retry").onclick = () => feed.hurry();
id("lock").onsubmit = (event) => {
  event.preventDefault();
  feed.unlock(id("token").value);
};
new ResizeObserver(() => cloud.resize()).observe(id("stage"));

theme(false);
cloud.resize();
// Words measured before the typeface is there would be drawn too wide.
document.fonts.load('700 40px "Cloud"').finally(() => feed.connect());
