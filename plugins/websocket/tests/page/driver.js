// What the scripts share: a browser, servers of the test that started the script, clouds to send.
//
// PAGE_PICTURES=FOLDER keeps a picture of each state that a script calls picture() in.
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { createInterface } from "node:readline";

const folder = process.argv[2];
export const load = createRequire(join(folder, "package.json"));
const { chromium } = load("playwright-core");
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

async function order(what) {
  console.log(JSON.stringify(what));
  const { value } = await lines.next();
  return JSON.parse(value);
}

let servers = 0;

/** A server; `options` are those of the sink. */
export class Server {
  static async start(options = {}) {
    const server = new Server();
    server.name = `server ${++servers}`;
    const { url } = await order({ do: "open", server: server.name, options: { listen: "127.0.0.1:0", ...options } });
    server.url = url;
    return server;
  }

  get listen() {
    return this.url.split("://")[1];
  }

  /** Sends records as they are, texts or objects, all under one key. */
  send(records, key = null) {
    const values = records.map((record) => ({ value: typeof record === "string" ? record : JSON.stringify(record), key }));
    return order({ do: "send", server: this.name, records: values });
  }

  close() {
    return order({ do: "close", server: this.name });
  }
}

/** Runs the script's tests in a browser that ends with them, and complains if the page did. */
export async function script(run) {
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: [
      "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
      "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
    ],
  });
  let failed = null;
  try {
    await run(browser);
  } catch (error) {
    failed = error;
  }
  await browser.close();
  if (failed) console.log(failed.stack ?? String(failed));
  process.exit(failed ? 1 : 0);
}

/** A page of its own, as a visitor with this screen has it; `complaints` are its errors. */
export async function visit(browser, url, { width = 1280, height = 800, ...more } = {}) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: "light", acceptDownloads: true, ...more });
  context.setDefaultTimeout(60_000);
  const page = await context.newPage();
  const complaints = [];
  const foreign = [];
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("console", (message) => {
    // Lost connections and refused tokens are what some scripts are about.
    const expected = /WebSocket connection|ERR_CONNECTION_REFUSED|401|ERR_EMPTY_RESPONSE|ERR_CONNECTION_RESET/;
    if (message.type() === "error" && !expected.test(message.text())) complaints.push(message.text());
  });
  page.on("request", (request) => {
    if (!/^(blob|data):/.test(request.url()) && new URL(request.url()).host !== new URL(url).host) foreign.push(request.url());
  });
  await page.goto(url);
  const leave = async () => {
    assert.deepEqual(complaints, []);
    assert.deepEqual(foreign, []);
    await context.close();
  };
  return Object.assign(page, { leave });
}

/** Waits until the cloud with this number is shown. */
export const shows = (page, seq) => page.waitForFunction((wanted) => document.getElementById("cloud").dataset.seq === String(wanted), seq);

export const state = (page, wanted) => page.waitForFunction((name) => document.getElementById("state").dataset.state === name, wanted);

/** Waits until nothing moves any more: on a page that is empty, nothing does. */
export const still = (page) =>
  page.waitForFunction(() => document.getElementById("canvas").dataset.rest !== "no");

/** A picture for whoever wants to look. */
export async function picture(page, name) {
  const pictures = process.env.PAGE_PICTURES;
  if (!pictures) return;
  mkdirSync(pictures, { recursive: true });
  await still(page);
  await page.screenshot({ path: join(pictures, `${name}.png`) });
}

/** A cloud of these words, the most frequent first, set in rows about the middle. */
export function frame(seq, words, more = {}) {
  const [width, height] = [1280, 720];
  const broad = (text) => [...text].reduce((sum, letter) => sum + (letter.codePointAt(0) > 0x2e80 ? 1 : 0.58), 0.2);
  const counted = words.map((word, rank) => ({ count: Math.max(1, Math.round(400 / (rank + 3))), ...(typeof word === "string" ? { text: word } : word) }));
  const area = counted.reduce((sum, { text, count }) => sum + broad(text) * count * 1.25, 0);
  let scale = Math.sqrt((width * height * 0.7) / area);
  let rows;
  for (;;) {
    rows = [[]];
    let used = 0;
    for (const word of counted) {
      const size = Math.sqrt(word.count) * scale;
      const own = broad(word.text) * size;
      if (used + own > width * 0.94 && rows.at(-1).length) {
        rows.push([]);
        used = 0;
      }
      rows.at(-1).push({ ...word, size, width: own });
      used += own + 8;
    }
    const high = rows.reduce((sum, row) => sum + Math.max(...row.map(({ size }) => size)) * 1.15, 0);
    if (high < height * 0.96) break;
    scale *= 0.95;
  }
  // The highest row in the middle, the others above and below in turn.
  const order = rows.reduce((all, row, at) => (at % 2 ? [row, ...all] : [...all, row]), []);
  const total = order.reduce((sum, row) => sum + Math.max(...row.map(({ size }) => size)) * 1.15, 0);
  let y = (height - total) / 2;
  const placed = new Map();
  for (const row of order) {
    const high = Math.max(...row.map(({ size }) => size));
    let x = (width - row.reduce((sum, { width: own }) => sum + own + 8, -8)) / 2;
    y += high * 1.15;
    for (const { text, size, width: own } of row) {
      placed.set(text, { x: x + own / 2, y: y - high * 0.3, size, width: own });
      x += own + 8;
    }
  }
  const laid = counted.map((word) => ({ ...word, ...placed.get(word.text), rotate: 0, color: hash(word.text) % 8 }));
  return {
    type: "wordcloud", seq, time_ms: 1_700_000_000_000 + seq * 1000, newest_ms: null, width, height,
    records: 1000 * seq, tokens: 9000, distinct: 900, words: laid, ...more,
  };
}

/** A word keeps its colour, wherever it stands. */
const hash = (text) => [...text].reduce((sum, letter) => (sum * 31 + letter.codePointAt(0)) >>> 0, 7);

const SYLLABLES = ["ra", "mo", "ti", "ke", "lu", "sa", "ne", "vo", "pi", "da", "zu", "fe", "ga", "bo", "shi", "ko"];

/** So many made-up words. */
export function vocabulary(many) {
  return Array.from({ length: many }, (_, at) => {
    const letters = [at % 16, (at >> 4) % 16, (at >> 8) % 16].map((digit) => SYLLABLES[digit]);
    return letters.slice(0, 2 + (at % 2) + (at > 255)).join("");
  }).filter((word, at, all) => all.indexOf(word) === at);
}
