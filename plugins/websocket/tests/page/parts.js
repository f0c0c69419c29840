// The modules of the page by themselves: what they keep is bounded, and what they take is made sure of.
import assert from "node:assert/strict";
import { Server, frame, script, shows, state, visit, vocabulary } from "./driver.js";

/** Of many groups the newest clouds stay, of the one that is looked at its past, and what is shown in any case. */
async function groups(page) {
  const kept = await page.evaluate(async () => {
    const { Groups, asFrame } = await import("/frames.js");
    const word = { text: "a", count: 1, x: 1, y: 1, size: 1, width: 1 };
    const cloud = (seq) => asFrame({ type: "wordcloud", seq, width: 9, height: 9, words: [word] });
    const all = new Groups();
    const first = cloud(0);
    all.add("chosen", first, "chosen", first);
    for (let seq = 1; seq <= 1000; seq += 1) {
      all.add("chosen", cloud(seq), "chosen", first);
      all.add("other", cloud(seq), "chosen", first);
      all.add(`group ${seq}`, cloud(seq), "chosen", first);
    }
    const { all: clouds } = all.get("chosen");
    const kept = { groups: all.names().length, clouds: clouds.length, shown: clouds[0] === first, second: clouds[1].seq, other: all.get("other").all.length };
    // Words that are too many for all clouds to stay.
    for (let seq = 1001; seq <= 1500; seq += 1) all.add("chosen", { ...cloud(seq), words: Array(1000).fill({ ...word, key: "a", samples: [] }) }, "chosen", null);
    const large = all.get("chosen").room;
    all.leave("other");
    return { ...kept, large, left: all.get("chosen").all.map(({ seq }) => seq), room: all.get("chosen").room };
  });
  assert.deepEqual(kept, { groups: 100, clouds: 600, shown: true, second: 402, other: 1, large: 120, left: [1500], room: 600 });
}

/** What a new connection repeats tells where clouds belong that were passed over; a server that begins anew goes on behind. */
async function order(page) {
  const found = await page.evaluate(async () => {
    const { Frames } = await import("/frames.js");
    const all = new Frames();
    const add = (...clouds) => clouds.forEach(([seq, time_ms]) => all.add({ seq, time_ms, words: [] }));
    const run = (from, to, time) => Array.from({ length: to - from + 1 }, (_, at) => [from + at, time + from + at]);
    add(...run(2, 4, 0), ...run(6, 7, 0));
    // The newest stays the newest while older ones come.
    const newest = [1, 5, 3, 7].map((seq) => (add([seq, seq]), all.newest.seq));
    if (newest.some((seq) => seq !== 7)) return newest;
    add(...run(8, 8, 0), ...run(1, 3, 100), ...run(3, 3, 100));
    return all.all.map(({ seq, time_ms }) => [seq, time_ms]);
  });
  assert.deepEqual(found, [...[1, 2, 3, 4, 5, 6, 7, 8].map((seq) => [seq, seq]), [1, 101], [2, 102], [3, 103]]);
}

/** A word that was not among those shown was not seen to change, and no cloud that did not come is counted with. */
async function changes(page) {
  const found = await page.evaluate(async () => {
    const { Frames, asFrame } = await import("/frames.js");
    const all = new Frames();
    const cloud = (seq, ...words) => {
      const whole = words.map((word) => ({ text: "a", x: 1, y: 1, size: 1, width: 1, ...word }));
      const frame = asFrame({ type: "wordcloud", seq, width: 9, height: 9, words: whole });
      all.add(frame);
      return frame;
    };
    const change = (frame) => all.changes(frame)(frame.words[0]);
    const clouds = [[{ count: 20 }], [], [{ count: 31 }], [{ count: 40, change: 9 }]].map((words, at) => cloud(at + 1, ...words));
    clouds.push(cloud(9, { count: 42, change: -1 }));
    return { changes: [clouds[0], ...clouds.slice(2)].map(change), course: all.course("a").map(({ count }) => count) };
  });
  assert.deepEqual(found, { changes: [null, null, 9, 2], course: [20, null, 31, 40, 42] });
}

/** Samples stay for the newest clouds and the one that is shown; of text only so much is kept. */
async function letters(page) {
  const found = await page.evaluate(async () => {
    const { Groups, asFrame } = await import("/frames.js");
    const text = "x".repeat(50_000);
    const word = { count: 1, x: 1, y: 1, size: 1, width: 1 };
    const cloud = (seq, more) => asFrame({ type: "wordcloud", seq, width: 9, height: 9, ...more });
    const sampled = (seq) => cloud(seq, { words: [{ ...word, text: "a", samples: [0, "own"] }], samples: [text], more: text });
    const all = new Groups();
    const first = sampled(0);
    for (let seq = 0; seq < 200; seq += 1) all.add("", seq ? sampled(seq) : first, "", first);
    const { all: clouds } = all.get("");
    const before = clouds.length;
    const with_samples = clouds.filter(({ words }) => words[0].samples.length > 0).map(({ seq }) => seq);
    for (let seq = 200; seq < 800; seq += 1) all.add("", cloud(seq, { words: [{ ...word, text: `${seq}${text}` }] }), "", clouds.at(-1));
    const kept = all.get("").all.reduce((sum, { words }) => sum + words[0].text.length, 0);
    return { before, with_samples, unknown: "more" in clouds.at(-1), kept, newest: all.get("").newest.seq };
  });
  assert.ok(found.kept > 15 << 20 && found.kept <= 16 << 20, `${found.kept} letters`);
  assert.deepEqual({ ...found, kept: 0 }, { before: 200, with_samples: [0, ...Array.from({ length: 48 }, (_, at) => 152 + at)], unknown: false, kept: 0, newest: 799 });
}

/** Words that are there twice, or are none, are left out, and so are times that no date has. */
async function frames(page) {
  const { words, times } = await page.evaluate(async () => {
    const { asFrame } = await import("/frames.js");
    const samples = [8.64e15, 8.65e15].map((time_ms) => ({ text: "tweet", time_ms }));
    const word = { text: "a", count: 1, x: 1, y: 1, size: 1, width: 1, samples };
    const words = [word, { ...word, text: "b", key: "a" }, { ...word, text: "c", size: NaN }, null, { ...word, text: "d" }];
    const frame = asFrame({ type: "wordcloud", seq: 1, width: 9, height: 9, words, time_ms: -8.65e15 });
    return { words: frame.words.map(({ text }) => text), times: [frame, ...frame.words[0].samples].map(({ time_ms }) => time_ms) };
  });
  assert.deepEqual(words, ["a", "d"]);
  assert.deepEqual(times, [null, 8.64e15, null]);
}

/** Accents are passed over, vowels are not, whatever the script. */
async function plain(page) {
  const found = await page.evaluate(async () => {
    const { plain } = await import("/frames.js");
    return ["ÉCLAIR", "हिन्दी", "हन्दी", "ที่", "ท", "ｆｕｌｌ"].map(plain);
  });
  assert.equal(found[0], "eclair");
  assert.notEqual(found[1], found[2]);
  assert.notEqual(found[3], found[4]);
  assert.equal(found[5], "full");
}

/** However large words are, their pictures are not; those of words that left are let go of. */
async function sprites(page) {
  const { most, longest, left } = await page.evaluate(async () => {
    const { Sprites } = await import("/sprites.js");
    const { asFrame } = await import("/frames.js");
    const made = new Sprites();
    const word = (text, size) => ({ text, count: 1, x: 1, y: 1, size, width: size * 3 });
    const cloud = (words) => asFrame({ type: "wordcloud", seq: 1, width: 9, height: 9, words });
    const all = cloud([word("vast", 1e9), ...Array.from({ length: 20 }, (_, at) => word(`w${at}`, 5000))]);
    made.make(all, 1, false, () => true, Infinity);
    const images = [...made.all.values()].map(({ image }) => image);
    const most = images.reduce((sum, { width, height }) => sum + width * height, 0);
    const longest = Math.max(...images.flatMap(({ width, height }) => [width, height]));
    made.keep(new Set(["w3"]));
    return { most, longest, left: [...made.all.keys()] };
  });
  assert.ok(most > 0 && most <= 80 << 20, `${most} pixels`);
  assert.ok(longest <= 10_000, `${longest} pixels along one side`);
  assert.deepEqual(left, ["w3"]);
}

/** Clouds that follow each other before a move is over: what left is let go of, what stays is as it should be. */
async function hurried(page) {
  const found = await page.evaluate(async () => {
    const { Cloud } = await import("/cloud.js");
    const { asFrame } = await import("/frames.js");
    const { colour } = await import("/theme.js");
    const canvas = Object.assign(document.createElement("canvas"), { width: 400, height: 300 });
    const cloud = new Cloud(canvas);
    // Pictures are made here, not by the screen.
    cloud.go = () => {};
    const word = (text, x, size) => ({ text, count: 1, x, y: 150, size, width: size * 4 });
    const most = { sprites: 0 };
    for (let seq = 0; seq < 40; seq += 1) {
      if (seq === 20) cloud.theme = true;
      const words = [word("stays", 100, seq ? 25 : 20), word("moves", 200 + seq, 20), word(`new ${seq}`, 300, 20)];
      await cloud.show(asFrame({ type: "wordcloud", seq, width: 400, height: 300, words }));
      for (const time of [0, 10, 20]) cloud.picture(seq * 500 + time);
      most.sprites = Math.max(most.sprites, cloud.sprites.all.size);
    }
    const stays = cloud.sprites.all.get("stays");
    const { ink: moved } = cloud.sprites.all.get("moves");
    const [shown] = cloud.frame.words;
    return { sprites: most.sprites, inks: [stays.ink, moved], ink: colour(shown, cloud.frame, true), size: stays.size, wanted: 25 * cloud.fit.scale };
  });
  assert.ok(found.sprites <= 6, `${found.sprites} sprites for 3 words`);
  assert.deepEqual(found.inks, [found.ink, found.ink]);
  assert.equal(found.size, found.wanted);
}

/** Clouds that come while one is listed wait for the end of that: the list is right again and again. */
async function passes(page) {
  const listed = await page.evaluate(async () => {
    const { List } = await import("/list.js");
    const { asFrame } = await import("/frames.js");
    const rows = document.createElement("ol");
    const list = new List(rows, () => {});
    const word = (text) => ({ text, count: 1, x: 1, y: 1, size: 1, width: 1 });
    const cloud = (seq) => asFrame({ type: "wordcloud", seq, width: 9, height: 9, words: ["a", "b", `c${seq}`].map(word) });
    const found = [];
    let [coming, time] = [0, 0];
    const genuine = performance.now;
    // Each row takes a slice of its own, and with each another cloud comes.
    performance.now = () => (time += 100);
    await new Promise((done) => {
      const come = () => {
        if (coming === 40) return null;
        const frame = cloud(++coming);
        list.show(frame, come, () => {
          found.push([frame.seq, rows.getAttribute("aria-busy"), rows.lastChild.textContent]);
          if (frame.seq === 40) done();
        });
        return null;
      };
      come();
    });
    performance.now = genuine;
    return found;
  });
  assert.ok(listed.length > 5, `${listed.length} of 40 clouds were listed`);
  for (const [seq, busy, last] of listed) assert.deepEqual([busy, last], ["false", `c${seq}1`]);
}

/** A feed faster than the page loses its oldest; one that answers seldom asked is not given up. */
async function feed(page) {
  const got = await page.evaluate(async () => {
    const { Feed } = await import("/feed.js");
    const made = [];
    class Fake {
      static OPEN = 1;
      readyState = 1;
      sent = [];
      constructor() {
        made.push(this);
      }
      send(text) {
        this.sent.push(text);
      }
      close() {
        this.closed = true;
      }
    }
    const genuine = { WebSocket, setInterval, setTimeout };
    const timers = [];
    Object.assign(window, { WebSocket: Fake, setInterval: (then) => timers.push(then), setTimeout: (then) => timers.push(then) });
    const messages = [];
    const states = [];
    const feed = new Feed({ state: (now) => states.push(now), message: (text) => messages.push(text), topics: () => {} }, () => ({}));
    await feed.connect();
    const [socket] = made;
    socket.onopen();
    const packed = await new Response(new Blob(["packed"]).stream().pipeThrough(new CompressionStream("deflate-raw"))).arrayBuffer();
    socket.onmessage({ data: packed });
    for (let number = 0; number < 1000; number += 1) socket.onmessage({ data: `${number} ${"x".repeat(100_000)}` });
    socket.onmessage({ data: "last" });
    while (messages.at(-1) !== "last") await new Promise((then) => genuine.setTimeout.call(window, then));
    // A minute in which nothing came, the question, its answer, and all timers that were set.
    feed.probe();
    const asked = socket.sent.length;
    socket.onmessage({ data: '{"type":"alive"}' });
    const [, ...set] = timers.splice(0);
    set.forEach((then) => then());
    const answered = Boolean(socket.closed);
    // The same without an answer.
    feed.hurry();
    timers.forEach((then) => then());
    Object.assign(window, genuine);
    return { messages: messages.length, first: messages[0], second: messages[1].slice(0, 5), asked, answered, given_up: socket.closed, last: states.at(-1) };
  });
  assert.equal(got.first, "packed");
  assert.ok(got.messages > 80 && got.messages < 170, `${got.messages} messages of 100 kB`);
  assert.match(got.second, /^[89]\d\d x/);
  assert.ok(got.asked >= 2);
  assert.equal(got.answered, false);
  assert.equal(got.given_up, true);
  assert.equal(got.last, "offline");
}

/** Pauses between tries grow up to a bound, differ from page to page, and begin anew once something came. */
async function pauses(page) {
  const waits = await page.evaluate(async () => {
    const { Feed } = await import("/feed.js");
    let [socket, last] = [null, 0];
    class Fake {
      constructor() {
        socket = this;
      }
      send() {}
      close() {}
    }
    const genuine = { WebSocket, setInterval, setTimeout };
    const { random } = Math;
    Object.assign(window, { WebSocket: Fake, setInterval: () => 0, setTimeout: (_, wait) => (last = wait) });
    const feed = new Feed({ state: () => {}, message: () => {}, topics: () => {} }, () => ({}));
    const lose = async (chance, heard) => {
      Math.random = () => chance;
      await feed.connect();
      if (heard) socket.onmessage({ data: "record" });
      socket.onclose();
      return last;
    };
    const found = [];
    for (const chance of [1, 1, 1, 1, 1, 1, 1, 0, 0.5]) found.push(await lose(chance, false));
    found.push(await lose(1, true));
    Math.random = random;
    Object.assign(window, genuine);
    return found;
  });
  assert.deepEqual(waits, [500, 1000, 2000, 4000, 8000, 15_000, 15_000, 7500, 11_250, 500]);
}

/** What a spreadsheet would take for a formula is text. */
async function csv(page) {
  const text = await page.evaluate(async () => {
    const { csv } = await import("/save.js");
    return csv({ words: ["=1+1", "@łukasz_1", "#tag", 'a "b"', "@SUM(1)", "-1", "＝1", "\t=1", "$rust"].map((text) => ({ text, count: 1 })) });
  });
  const words = [`'=1+1`, "@łukasz_1", "#tag", `a ""b""`, "'@SUM(1)", "'-1", "'＝1", "'\t=1", "$rust"];
  assert.deepEqual(text.split("\r\n").slice(1, -1), words.map((word, at) => `${at + 1},"${word}",1`));
}

/** A word that runs from right to left does so in a file, too. */
async function svg(page) {
  const ways = await page.evaluate(async () => {
    const { svg } = await import("/save.js");
    const words = ["#وسم", "#tag", "٣abc"].map((text) => ({ text, x: 1, y: 1, size: 1, width: 1 }));
    const parsed = new DOMParser().parseFromString(svg({ words, width: 9, height: 9, palette: {} }, false), "image/svg+xml");
    return [...parsed.querySelectorAll("text")].map((text) => text.getAttribute("direction"));
  });
  assert.deepEqual(ways, ["rtl", null, null]);
}

/** A row stays with its word: focus and marks go where it goes, and on to the next one when it leaves. */
async function rows(page, server) {
  const words = ["one", "two", "three", "four", ...vocabulary(30)];
  const focus = () => page.evaluate(() => document.activeElement.dataset.word);
  const marked = () => page.evaluate(() => [...document.querySelectorAll("#list [aria-current]")].map((row) => row.dataset.word));
  const listed = () => page.locator("#list .name").allTextContents();
  const send = async (seq, all) => {
    await server.send([frame(seq, all)]);
    await shows(page, seq);
    assert.deepEqual(await listed(), all);
  };
  await send(1, words);
  await page.click("#view");
  await page.click("#list .row >> nth=2");
  await page.locator("#list .row >> nth=1").focus();
  assert.deepEqual([await focus(), await marked()], ["two", ["three"]]);
  await send(2, ["three", "four", ...words.slice(4), "two", "one"]);
  assert.deepEqual([await focus(), await marked()], ["two", ["three"]]);
  await send(3, ["four", "one", "two"]);
  assert.deepEqual([await focus(), await marked()], ["two", []]);
  await send(4, ["four", "one"]);
  assert.equal(await focus(), "one");
  await send(5, ["three", ...words.slice(4), "four"]);
  assert.deepEqual([await focus(), await marked()], ["four", ["three"]]);
  assert.equal(await page.locator("#list [tabindex='0']").count(), 1);
  // The panel gives the focus back to the list even where the row that it came from is gone.
  await page.keyboard.press("Enter");
  assert.equal(await page.locator("#panel-word").textContent(), "four");
  await send(6, ["one", "three"]);
  await page.keyboard.press("Escape");
  assert.equal(await focus(), "one");
}

await script(async (browser) => {
  const server = await Server.start();
  const page = await visit(browser, server.url);
  await state(page, "live");
  for (const part of [groups, order, changes, letters, frames, plain, sprites, hurried, passes, csv, svg]) await part(page);
  await rows(page, server);
  await page.leave();
  const other = await visit(browser, server.url);
  await state(other, "live");
  await feed(other);
  await pauses(other);
  await other.leave();
});
