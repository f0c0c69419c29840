// The page: follows the feed, keeps what came, and shows it.
//
// For whoever watches from outside (tests, scripts): <main id="cloud"> carries data-seq (number of
// the frame shown), data-frames (frames received since the page was loaded) and data-words; the
// event "cloud" on it tells of each frame as it is shown.

import { Cloud } from "/cloud.js";

const KEPT = 200;
const LINES = 100;
const MOST_WORDS = 2000;
const FIRST_WAIT = 500;
const LONGEST_WAIT = 10_000;
const ALIVE_EVERY = 20_000;
const SILENT_AFTER = 45_000;

const id = (name) => document.getElementById(name);
const main = id("cloud");
const cloud = new Cloud(id("canvas"));
const number = new Intl.NumberFormat();
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });

const frames = [];
let shown = null;
let received = 0;
let paused = false;
let socket = null;
let wait = FIRST_WAIT;
let retry = 0;
let heard = 0;
let connected = false;
let scheduled = false;

// ---- the feed

function connect() {
  clearTimeout(retry);
  if (socket) return;
  state();
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  const mine = new WebSocket(`${scheme}//${location.host}/feed?history=${frames.length ? 1 : 30}`);
  socket = mine;
  heard = Date.now();
  mine.onopen = () => {
    connected = true;
    wait = FIRST_WAIT;
    state();
  };
  mine.onmessage = (event) => {
    heard = Date.now();
    if (typeof event.data === "string") receive(event.data);
  };
  mine.onclose = () => {
    if (socket !== mine) return;
    socket = null;
    connected = false;
    state();
    // Many pages that lost one server must not come back at one instant.
    retry = setTimeout(connect, wait * (0.5 + Math.random() / 2));
    wait = Math.min(wait * 2, LONGEST_WAIT);
  };
}

/** Comes back at once when the network or the reader does. */
function hurry() {
  wait = FIRST_WAIT;
  if (!socket) connect();
}

setInterval(() => {
  if (!socket) return;
  if (Date.now() - heard > SILENT_AFTER) {
    const dead = socket;
    socket.onclose({});
    dead.close();
  } else if (socket.readyState === WebSocket.OPEN) {
    socket.send("alive?");
  }
}, ALIVE_EVERY);

addEventListener("online", hurry);
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) hurry();
});

function receive(text) {
  let value = text;
  try {
    value = JSON.parse(text);
  } catch {
    // A text record.
  }
  if (value?.type === "alive") return;
  const frame = asFrame(value);
  if (frame) {
    if (frames.some((known) => known.seq === frame.seq && known.time_ms === frame.time_ms)) return;
    received += 1;
    main.dataset.frames = received;
    frames.push(frame);
    if (frames.length > KEPT) frames.shift();
    slider();
    if (!paused) soon();
  } else {
    line(typeof value === "string" ? value : JSON.stringify(value));
  }
}

/** A word cloud whose numbers are numbers; anything else is an ordinary record. */
function asFrame(value) {
  if (value?.type !== "wordcloud" || !Array.isArray(value.words)) return null;
  const finite = (...numbers) => numbers.every(Number.isFinite);
  const good = (word) =>
    typeof word?.text === "string" && finite(word.count, word.x, word.y, word.size, word.width, word.rotate) && word.size > 0;
  if (!finite(value.seq, value.width, value.height) || value.width <= 0 || value.height <= 0) return null;
  return { ...value, words: value.words.slice(0, MOST_WORDS).filter(good) };
}

// ---- what is shown

/** Shows the newest frame with the next picture: of several that came at once only the last moves. */
function soon() {
  if (scheduled) return;
  scheduled = true;
  const show = () => {
    scheduled = false;
    if (!paused && frames.length) display(frames[frames.length - 1], false);
  };
  // A hidden page gets no animation frames, but its title and list should still be right.
  if (document.hidden) setTimeout(show, 0);
  else requestAnimationFrame(show);
}

function display(frame, at_once) {
  if (frame === shown) return;
  shown = frame;
  id("waiting").hidden = true;
  cloud.show(frame, at_once);
  main.dataset.words = frame.words.length;
  main.dataset.seq = frame.seq;
  figures();
  list(frame);
  const first = frame.words.slice(0, 5).map((word) => word.text);
  id("canvas").setAttribute("aria-label", `Word cloud of ${frame.words.length} words. Most frequent: ${first.join(", ")}`);
  main.dispatchEvent(new CustomEvent("cloud", { detail: frame.seq }));
}

function figures() {
  const parts = {
    count: Number.isFinite(shown.records) && `${number.format(shown.records)} records`,
    distinct: Number.isFinite(shown.distinct) && `${number.format(shown.distinct)} different words`,
    last: Number.isFinite(shown.time_ms) && `cloud ${number.format(shown.seq)} at ${clock.format(shown.time_ms)}`,
  };
  for (const [name, text] of Object.entries(parts)) {
    id(name).textContent = text || "";
  }
}

function list(frame) {
  const rows = id("list");
  const most = frame.words[0]?.count || 1;
  while (rows.children.length > frame.words.length) rows.lastChild.remove();
  while (rows.children.length < frame.words.length) rows.append(row());
  frame.words.forEach((word, place) => {
    const [name, count, bar] = rows.children[place].children;
    if (name.textContent !== word.text) name.textContent = word.text;
    const written = number.format(word.count);
    if (count.textContent !== written) count.textContent = written;
    bar.max = most;
    bar.value = word.count;
  });
}

function row() {
  const item = document.createElement("li");
  const name = document.createElement("span");
  name.className = "name";
  const count = document.createElement("span");
  count.className = "number";
  const bar = document.createElement("meter");
  bar.min = 0;
  bar.setAttribute("aria-hidden", "true");
  item.append(name, count, bar);
  return item;
}

function line(text) {
  id("waiting").hidden = true;
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

function state() {
  const now = paused ? "paused" : connected ? "live" : received || !socket ? "offline" : "connecting";
  const words = { live: "live", paused: connected ? "paused" : "paused, no connection", connecting: "connecting", offline: "reconnecting" };
  id("state").dataset.state = now;
  id("state-text").textContent = words[now];
}

// ---- the reader's wishes

function pause(on) {
  paused = on;
  const button = id("pause");
  button.setAttribute("aria-pressed", on);
  button.querySelector(".label").textContent = on ? "Go on" : "Pause";
  id("past").hidden = !on || frames.length < 2;
  state();
  if (on) {
    slider();
    id("slider").value = Math.max(0, frames.indexOf(shown));
    when();
  } else if (frames.length) {
    display(frames[frames.length - 1], false);
  }
  resize();
}

function slider() {
  if (!paused) return;
  const bar = id("slider");
  const at = frames.indexOf(shown);
  bar.max = Math.max(0, frames.length - 1);
  if (at >= 0) bar.value = at;
  id("past").hidden = frames.length < 2;
}

function when() {
  id("when").textContent = shown && Number.isFinite(shown.time_ms) ? clock.format(shown.time_ms) : "";
}

function look(place) {
  const frame = frames[Math.min(Math.max(place, 0), frames.length - 1)];
  if (!frame) return;
  display(frame, false);
  id("slider").value = frames.indexOf(frame);
  when();
}

function view() {
  const on = main.classList.toggle("listed");
  main.classList.toggle("only-list", on);
  id("view").setAttribute("aria-pressed", on);
  resize();
}

const dark = matchMedia("(prefers-color-scheme: dark)");

function theme(flip) {
  const root = document.documentElement;
  let chosen = remembered();
  if (flip) {
    chosen = isDark(chosen) ? "light" : "dark";
    try {
      localStorage.setItem("theme", chosen);
    } catch {
      // Without storage the choice lasts as long as the page.
    }
  }
  if (chosen) root.dataset.theme = chosen;
  cloud.theme = isDark(chosen);
}

function remembered() {
  try {
    return localStorage.getItem("theme") ?? document.documentElement.dataset.theme;
  } catch {
    return document.documentElement.dataset.theme;
  }
}

function isDark(chosen) {
  return chosen ? chosen === "dark" : dark.matches;
}

function resize() {
  cloud.resize();
}

function tip(event) {
  const word = cloud.at(event.clientX, event.clientY);
  const tag = id("tip");
  tag.hidden = !word;
  if (!word) return;
  tag.textContent = `${word.text}  ${number.format(word.count)}`;
  const box = id("stage").getBoundingClientRect();
  const x = Math.min(event.clientX - box.left + 14, box.width - tag.offsetWidth - 8);
  const y = Math.min(event.clientY - box.top + 16, box.height - tag.offsetHeight - 8);
  tag.style.transform = `translate(${Math.max(4, x)}px, ${Math.max(4, y)}px)`;
}

id("pause").onclick = () => pause(!paused);
id("view").onclick = view;
id("theme").onclick = () => theme(true);
id("slider").oninput = (event) => look(Number(event.target.value));
id("canvas").onpointermove = tip;
id("canvas").onpointerdown = tip;
id("canvas").onpointerleave = () => (id("tip").hidden = true);
dark.onchange = () => theme(false);
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.("button, input")) return;
  const act = {
    " ": () => pause(!paused),
    l: view,
    d: () => theme(true),
    ArrowLeft: () => paused && look(frames.indexOf(shown) - 1),
    ArrowRight: () => paused && look(frames.indexOf(shown) + 1),
  }[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!act) return;
  event.preventDefault();
  act();
});
new ResizeObserver(resize).observe(id("stage"));

theme(false);
resize();
// Words measured before the typeface is there would be drawn too wide.
document.fonts.load('700 40px "Cloud"').finally(connect);
