// What is known of one word: its count, how that went over time, and tweets that it stands in.

import { signed } from "/list.js";
import { clock, id, number } from "/tools.js";

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 320;
const HEIGHT = 96;

export class Panel {
  /** `closed()` is told when the reader closes it; `otherwise()` is what gets the focus where what had it is gone. */
  constructor(closed, otherwise) {
    this.word = null;
    this.before = null;
    this.otherwise = otherwise;
    id("panel-close").onclick = () => closed();
  }

  /** Opens for a word; where it was opened from gets the focus back. */
  open(key, text) {
    if (this.word === null) this.before = document.activeElement;
    this.word = key;
    id("panel").hidden = false;
    id("cloud").classList.add("asked");
    id("panel-word").textContent = text;
    id("panel-word").focus({ preventScroll: true });
    id("panel-body").scrollTop = 0;
  }

  close() {
    if (this.word === null) return;
    this.word = null;
    if (id("panel").contains(document.activeElement)) this.back();
    id("panel").hidden = true;
    id("cloud").classList.remove("asked");
    this.before = null;
  }

  back() {
    const { before } = this;
    before.focus({ preventScroll: true });
    if (before !== document.body && before !== document.activeElement) this.otherwise()?.focus({ preventScroll: true });
  }

  show(frame, frames) {
    if (this.word === null) return;
    const place = frame.words.findIndex((word) => word.key === this.word);
    const word = frame.words[place];
    id("panel-word").textContent = frames.text(frame, this.word);
    const change = word ? signed(frames.changes(frame)(word)) : "";
    id("panel-facts").textContent = word
      ? `${number.format(word.count)} times, place ${number.format(place + 1)} of ${number.format(frame.words.length)}` +
        (change && `, ${change} since the last cloud`)
      : "Not in this cloud.";
    this.chart(frames.course(this.word), frame);
    this.tweets(frames.samples(frame, this.word), frame.bare);
  }

  chart(course, frame) {
    const chart = id("chart");
    const known = course.filter((point) => point.count !== null);
    const counts = known.map((point) => point.count);
    const most = Math.max(1, ...counts);
    const [first, last] = [course[0], course[course.length - 1]];
    const span = last.time - first.time || 1;
    const x = (point) => 4 + ((point.time - first.time) / span) * (WIDTH - 8);
    const y = (point) => HEIGHT - 4 - (point.count / most) * (HEIGHT - 12);
    const at = (point) => `${x(point).toFixed(1)} ${y(point).toFixed(1)}`;
    // A line of one point has no length, but ends that are round.
    const lines = runs(course).map((run) => ({ run, line: `M${run.map(at).join("L")}${run.length > 1 ? "" : "h0"}` }));
    const areas = lines.map(({ run, line }) => `${line}L${x(run[run.length - 1])} ${HEIGHT - 4}H${x(run[0])}Z`);
    const now = known.find((point) => point.frame === frame);
    chart.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    chart.replaceChildren(
      shape("path", { class: "area", d: areas.join("") }),
      shape("path", { class: "line", d: lines.map(({ line }) => line).join("") }),
      ...(now ? [shape("circle", { class: "now", cx: x(now), cy: y(now), r: 4 })] : []),
    );
    const times = Number.isFinite(frame.time_ms);
    const when = (point) => (times ? clock.format(point.time) : `cloud ${point.time}`);
    const absent = course.length - known.length;
    const figures = known.length
      ? `: first ${counts[0]}, least ${Math.min(...counts)}, most ${Math.max(...counts)}, last ${counts[counts.length - 1]}`
      : "";
    id("chart-from").textContent = when(first);
    id("chart-to").textContent = when(last);
    id("chart-most").textContent = known.length ? `most ${number.format(most)}` : "";
    chart.setAttribute(
      "aria-label",
      `Count over time, from ${when(first)} to ${when(last)}${figures}${absent ? `; ${absent} of ${course.length} clouds without it` : ""}`,
    );
  }

  /** `gone`: those of this cloud are not kept any more. */
  tweets(samples, gone) {
    id("no-samples").hidden = samples.length > 0;
    id("no-samples").textContent = gone ? "Only those of newer clouds are kept." : "None came along with the clouds.";
    const known = [...id("samples").children].map((item) => item.dataset.key);
    const keys = samples.map((sample) => `${sample.id} ${sample.text}`);
    // What stands there already stays, so that a reader's place and selection stay too.
    if (known.length === keys.length && known.every((key, at) => key === keys[at])) return;
    id("samples").replaceChildren(...samples.map((sample, at) => tweet(sample, keys[at])));
  }
}

/** The parts of a course in which the word is among the words without a gap. */
function runs(course) {
  const found = [];
  course.forEach((point, at) => {
    if (point.count === null) return;
    if (at > 0 && course[at - 1].count !== null) found[found.length - 1].push(point);
    else found.push([point]);
  });
  return found;
}

function tweet(sample, key) {
  const item = document.createElement("li");
  item.dataset.key = key;
  const text = document.createElement("p");
  text.dir = "auto";
  text.textContent = sample.text;
  item.append(text);
  const from = [sample.user && `@${sample.user}`, sample.time_ms !== null && clock.format(sample.time_ms)];
  if (from.some(Boolean)) {
    const note = document.createElement("p");
    note.className = "from";
    note.textContent = from.filter(Boolean).join(" · ");
    item.append(note);
  }
  return item;
}

function shape(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}
