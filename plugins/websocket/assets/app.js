// The page: follows the feed, keeps what came, and shows it.
//
// For whoever watches from outside (tests, scripts): <main id="cloud"> carries data-seq (number of
// the frame shown), data-frames (frames received since the page was loaded) and data-words; the
// event "cloud" on it tells of each frame that is shown and listed. data-rest of the canvas is "yes"
// when nothing moves.

import { Cloud } from "/cloud.js";
import { Controls } from "/controls.js";
import { Feed } from "/feed.js";
import { EMPTY, Groups, KEPT, asFrame, plain } from "/frames.js";
import { List } from "/list.js";
import { Panel } from "/panel.js";
import { applyTheme } from "/theme.js";
import { clock, id, number } from "/tools.js";

const LINES = 100;
/** Clouds asked for anew beyond one for each second without any. */
const SPARE = 30;

const main = id("cloud");

const cloud = new Cloud(id("canvas"), () => controls.placed());
const list = new List(id("list"), choose);
const panel = new Panel(() => choose(null), () => list.stopped);

/** Clouds by group; a feed without groups has the one named "". */
const groups = new Groups();
/** Topics of the server, which sends only the one that is asked for: null where it has none. */
let topics = null;
/** The group or topic that is looked at, and the topic that the feed was asked for. */
let chosen = null;
let asked = null;
/** Whether this connection has asked for topics since. */
let refreshed = false;
let shown = null;
let received = 0;
let paused = false;
let scheduled = false;
let connection = "connecting";
/** Whether the connection was lost since it was last there: else it is another one that is wanted. */
let lost = false;
let again = 0;
let ticking = 0;
/** When the last cloud came that was new. */
let came = 0;
/** Lines that are not put in yet, and the last that came. */
const pending = [];
let last = null;
/** Whether this connection has sent anything: it begins with what came last, which may be known. */
let heard = false;

const feed = new Feed({ state, message: receive, topics: learn }, () => {
  // One that was followed is followed on, even where a new server has not heard of it yet.
  asked = topics?.length || asked !== null ? chosen : null;
  return { history: wanted(), ...(asked !== null && { topic: asked }) };
});

/**
 * How many of the last records are asked for. Clouds that are known already are told apart from those
 * that came meanwhile, lines cannot be.
 */
function wanted() {
  if (last !== null) return 1;
  // Where clouds of several groups come, those of one are not all.
  const room = groups.names().length > 1 && asked === null ? KEPT : (frames()?.room ?? KEPT);
  const missed = frames()?.newest ? SPARE + Math.ceil((performance.now() - came) / 1000) : KEPT;
  return Math.min(room, missed);
}

function frames() {
  return groups.get(chosen ?? "");
}

// ---- what comes

function receive(text) {
  let value = text;
  try {
    value = JSON.parse(text);
  } catch {
    // A text record.
  }
  const first = !heard;
  heard = true;
  const frame = asFrame(value);
  if (topics && asked === null && !refreshed) {
    // This may be the first record of the first topic: if so, one is followed from now on.
    refreshed = true;
    feed.refresh();
  }
  if (!frame) {
    const said = typeof value === "string" ? value : JSON.stringify(value);
    if (!first || said !== last) line(said);
    return;
  }
  // What a topic sends belongs to it, whatever it calls itself.
  const group = asked ?? frame.group;
  if (chosen === null) chosen = group;
  if (groups.add(group, frame, chosen, shown)) {
    received += 1;
    came = performance.now();
    main.dataset.frames = received;
    choices();
  }
  if (group !== chosen) return;
  slider();
  if (!paused) soon();
}

function learn(names, by_key) {
  topics = by_key ? names : null;
  if (topics?.length && asked === null) {
    // Until now all came, whatever their topic.
    choose(null);
    groups.clear();
    unlist();
    pause(false);
    if (!topics.includes(chosen)) chosen = topics[0];
    if (shown) {
      shown = null;
      blank();
    }
    if (connection === "live") feed.connect();
  }
  choices();
}

function choices() {
  const names = [...new Set([...(topics ?? []), ...groups.names()])].sort();
  const select = id("topic");
  id("topic-box").hidden = names.length < 2;
  if (names.length !== select.options.length || names.some((name, at) => select.options[at].value !== name)) {
    select.replaceChildren(...names.map((name) => new Option(name || "all", name)));
  }
  select.value = chosen ?? "";
}

function change(group) {
  choose(null);
  chosen = group;
  shown = null;
  if (!frames()?.newest) blank();
  groups.leave(group);
  pause(false);
  // A topic is another feed; a group was in this one all along.
  if (!topics) return;
  unlist();
  feed.connect();
}

/** Shows the newest frame with the next picture: of several that came at once only the last moves. */
function soon() {
  if (scheduled) return;
  scheduled = true;
  next(() => {
    scheduled = false;
    const newest = frames()?.newest;
    if (!paused && newest) display(newest);
  });
}

/** Puts in with the next picture, or when the page goes live again, what came as lines: of many only the last. */
function line(text) {
  last = text;
  pending.push(text.length > 4000 ? `${text.slice(0, 4000)} …` : text);
  if (pending.length > LINES) pending.shift();
  if (pending.length === 1) next(enlist);
}

function enlist() {
  if (paused || !pending.length) return;
  const items = pending.splice(0).map((text) => {
    const item = document.createElement("li");
    item.textContent = text;
    item.dir = "auto";
    return item;
  });
  id("records").hidden = false;
  if (!shown) id("stage").hidden = true;
  waiting();
  const lines = id("lines");
  lines.prepend(...items.reverse());
  while (lines.children.length > LINES) lines.lastChild.remove();
}

/** Lines of another topic are none of this one. */
function unlist() {
  pending.length = 0;
  last = null;
  id("lines").replaceChildren();
  id("records").hidden = true;
  waiting();
}

/** With the next picture. A hidden page has none, but its list should still be right. */
function next(then) {
  if (document.hidden) setTimeout(then);
  else requestAnimationFrame(then);
}

// ---- what is shown

function display(frame) {
  if (frame === shown) return;
  shown = frame;
  id("stage").hidden = false;
  waiting();
  cloud.show(frame);
  figures();
  list.show(frame, frames().changes(frame), () => {
    main.dataset.words = frame.words.length;
    main.dataset.seq = frame.seq;
    main.dispatchEvent(new CustomEvent("cloud", { detail: frame.seq }));
  });
  search();
  panel.show(frame, frames());
  slider();
  const first = frame.words.slice(0, 5).map((word) => word.text);
  const most = first.length ? `. Most frequent: ${first.join(", ")}` : "";
  id("canvas").setAttribute("aria-label", `Word cloud of ${frame.words.length} words${most}`);
}

/** Nothing of what is looked at has come yet. */
function blank() {
  cloud.show(EMPTY, true);
  list.show(EMPTY, null, () => {
    main.dataset.words = 0;
    main.dataset.seq = "";
  });
  for (const name of ["count", "distinct", "last"]) id(name).textContent = "";
  id("canvas").setAttribute("aria-label", "Word cloud");
  search();
  waiting();
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

/** Why there is nothing, by the state of the connection. */
const AWAY = {
  offline: "The server cannot be reached",
  full: "The server has as many readers as it takes",
  refused: "The server has no room for this topic, or does not let this page read",
};

function waiting() {
  const note = id("waiting");
  note.hidden = Boolean(shown?.words.length) || !id("records").hidden || connection === "locked";
  if (shown) note.textContent = "No words at the moment: the window is empty.";
  else if (connection === "live") note.textContent = "Connected. Waiting for the first words …";
  else if (connection === "connecting") note.textContent = "Connecting …";
  else note.textContent = `${AWAY[connection]}. The page goes on trying.`;
}

function state(now, until) {
  connection = now;
  again = until ?? 0;
  lost = now in AWAY || (lost && now === "connecting");
  if (now === "live") {
    refreshed = false;
    heard = false;
  }
  clearInterval(ticking);
  if (again) ticking = setInterval(countdown, 500);
  if (now !== "locked" && id("lock").contains(document.activeElement)) id("state").focus();
  id("lock").hidden = now !== "locked";
  main.classList.toggle("locked", now === "locked");
  if (now === "locked") {
    id("lock-note").textContent = feed.token || id("token").value ? "That token is not the right one." : "";
    id("token").focus();
  }
  tell();
  waiting();
}

function tell() {
  const away = connection in AWAY;
  const words = {
    live: "live",
    connecting: lost ? "reconnecting" : "connecting",
    offline: "reconnecting",
    full: "the server is full",
    refused: "refused",
    locked: "locked",
  };
  const said = paused ? (connection === "live" ? "paused" : `paused, ${words[connection]}`) : words[connection];
  id("state").dataset.state = paused ? "paused" : lost ? "offline" : connection;
  // Said once: a screen reader need not hear it again.
  if (id("state-text").textContent !== said) id("state-text").textContent = said;
  // It must not take the focus with it.
  if (!away && document.activeElement === id("retry")) id("state").focus();
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
  button.dataset.on = on;
  button.querySelector(".name").textContent = on ? "Go live" : "Pause";
  button.title = on ? "Go live (space)" : "Pause (space)";
  tell();
  const newest = frames()?.newest;
  if (!on && newest) display(newest);
  if (!on) enlist();
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
  const said = found ? `${number.format(found.length)} of ${number.format(shown.words.length)}` : "";
  // A screen reader says it each time that it is put there.
  if (id("found").textContent !== said) id("found").textContent = said;
  list.filter(set);
  cloud.emphasise(set, panel.word);
  return found;
}

/** Opens the panel of the word with this key; null: closes it. */
function choose(key) {
  if (key !== null && !shown) return;
  if (key === null) panel.close();
  else panel.open(key, frames().text(shown, key));
  list.mark(key);
  cloud.emphasise(cloud.sought, key);
  if (shown) panel.show(shown, frames());
}

function view() {
  const on = main.classList.toggle("listed");
  id("view").setAttribute("aria-pressed", on);
  if (on) list.buttons().find((button) => button.tabIndex === 0)?.scrollIntoView({ block: "nearest" });
}

function theme(flip) {
  applyTheme((dark) => (cloud.theme = dark), flip);
}

const controls = new Controls({
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
/** Another screen may have other pixels in a stage that is as large. */
function follow() {
  const ratio = matchMedia(`(resolution: ${devicePixelRatio}dppx)`);
  ratio.addEventListener("change", () => (cloud.resize(), follow()), { once: true });
}
follow();

theme(false);
cloud.resize();
// Words measured before the typeface is there would be drawn too wide.
document.fonts.load('700 40px "Cloud"').finally(() => feed.connect());
