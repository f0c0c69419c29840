// What the canvas shows, and what is under the pointer there.
import assert from "node:assert/strict";
import { Server, frame, picture, script, shows, state, still, visit } from "./driver.js";

/** A cloud of words that stand where they are put: `[left, top, width, height]` each. */
function boxes(seq, words) {
  const laid = Object.entries(words).map(([text, [left, top, width, height]], rank) => ({
    text, count: 100 - rank, x: left + width / 2, y: top + height * 0.75, size: height, width, rotate: 0, color: rank, box: [left, top, width, height],
  }));
  return { ...frame(seq, []), words: laid };
}

/** The point of the window so far from the middle of the canvas. */
const point = (page, x, y) =>
  page.evaluate(([x, y]) => {
    const box = document.getElementById("canvas").getBoundingClientRect();
    return [box.left + box.width / 2 + x, box.top + box.height / 2 + y];
  }, [x, y]);

/** A word in the gaps of larger ones is the one that is meant there. */
async function nested(page, server) {
  const about = (width, height) => [640 - width / 2, 360 - height / 2, width, height];
  await server.send([boxes(1, { outermost: about(900, 400), between: about(400, 200), inner: about(60, 24) })]);
  await shows(page, 1);
  await still(page);
  for (const [x, wanted] of [[0, "inner"], [80, "between"], [400, "outermost"]]) {
    const [left, top] = await point(page, x, 0);
    await page.mouse.move(left, top);
    assert.match(await page.locator("#tip").textContent(), new RegExp(`^${wanted} `));
    await page.mouse.click(left, top);
    assert.equal(await page.locator("#panel-word").textContent(), wanted);
    await page.keyboard.press("Escape");
    await page.waitForFunction(() => document.getElementById("canvas").width === innerWidth);
  }
}

/** What is said beside a pointer that rests goes with the words below it; what is the same is not said again. */
async function rests(page, server) {
  const cloud = (seq, texts) => boxes(seq, Object.fromEntries(texts.map((text, at) => [text, [440, 200 + at * 120, 400, 100]])));
  const tip = (wanted) => page.waitForFunction((text) => (document.getElementById("tip").checkVisibility() ? document.getElementById("tip").textContent : null) === text, wanted);
  await server.send([cloud(3, ["upper", "lower"])]);
  await shows(page, 3);
  await still(page);
  await page.mouse.move(...(await point(page, 0, -200)));
  await tip("upper  100");
  await page.fill("#search", "upper");
  await page.evaluate(() => {
    window.said = 0;
    new MutationObserver(() => (window.said += 1)).observe(document.getElementById("found"), { childList: true });
  });
  await server.send([cloud(4, ["lower", "upper"])]);
  await shows(page, 4);
  await tip("lower  100");
  assert.equal(await page.locator("#found").textContent(), "1 of 2");
  assert.equal(await page.evaluate("said"), 0);
  await page.fill("#search", "");
  await page.keyboard.press("Escape");
  await tip(null);
  await page.mouse.move(...(await point(page, 2, -200)));
  await server.send([cloud(5, [])]);
  await shows(page, 5);
  await tip(null);
}

/** Words of all scripts keep to the width that they were given, however wide their letters are here. */
async function inside(page, server) {
  const words = ["مرحبا", "#وسم", "العالم", "שלום", "日本語", "東京", "한국어", "हिन्दी", "สวัสดี", "#tag", "🎉🎊", "العربية"];
  const placed = words.map((word, at) => [word, [390 * (at % 4), 40 + 290 * Math.floor(at / 4), 110, 90]]);
  await server.send([boxes(6, Object.fromEntries(placed))]);
  await shows(page, 6);
  await still(page);
  await picture(page, "scripts-in-boxes");
  const inks = await page.evaluate((placed) => {
    const canvas = document.getElementById("canvas");
    const { width, height } = canvas;
    const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
    // The words reach to the edges of the cloud, so that it fits the canvas as a whole.
    const scale = Math.min((width - 24) / 1280, (height - 24) / 720);
    const found = { outside: 0, within: placed.map(() => 0) };
    for (let at = 3; at < data.length; at += 4) {
      if (data[at] < 32) continue;
      const pixel = (at - 3) / 4;
      const [x, y] = [((pixel % width) + 0.5 - width / 2) / scale + 640, (Math.floor(pixel / width) + 0.5 - height / 2) / scale + 360];
      // Letters of some scripts rise and hang further than those that heights are reckoned by.
      const own = placed.findIndex(([, [left, top, wide, high]]) => Math.abs(x - left - wide / 2) < wide / 2 + 2 && y > top - high / 2 && y < top + high * 1.3);
      if (own < 0) found.outside += 1;
      else found.within[own] += 1;
    }
    return found;
  }, placed);
  assert.equal(inks.outside, 0);
  // Others have a typeface only where the machine has one.
  const brought = words.map((word, at) => [word, inks.within[at]]).filter(([word]) => !/[\p{sc=Han}\p{sc=Hangul}🎉]/u.test(word));
  for (const [word, ink] of brought) assert.ok(ink > 300, `${word}: ${ink} pixels`);
}

/** The sign of a hashtag stands where its word begins: as it does behind a mark of direction. */
async function directions(page) {
  const same = await page.evaluate(async () => {
    const { set } = await import("/sprites.js");
    const ink = (text) => {
      const pen = new OffscreenCanvas(400, 120).getContext("2d");
      pen.translate(200, 80);
      set(pen, text, 60, 400);
      return pen.getImageData(0, 0, 400, 120).data.join();
    };
    return ["\u200f#وسم", "\u200f#תגית", "\u200e#tag"].map((marked) => ink(marked) === ink(marked.slice(1)));
  });
  assert.deepEqual(same, [true, true, true]);
}

/** Whoever prefers less motion sees words of a new cloud where they stand at once, and nowhere on the way. */
async function motion(page, server, seq) {
  const cloud = (seq, left) => boxes(seq, { moves: [left, 300, 300, 100], stays: [0, 610, 300, 100], edge: [980, 0, 300, 100] });
  const places = async () => {
    await server.send([cloud(seq, 100)]);
    await shows(page, seq);
    await still(page);
    await page.evaluate(() => {
      window.places = new Set();
      const { prototype } = CanvasRenderingContext2D;
      const { drawImage } = prototype;
      prototype.drawImage = function (image, ...more) {
        const { e, f } = this.getTransform();
        if (e || f) window.places.add(`${e} ${f}`);
        return drawImage.call(this, image, ...more);
      };
      window.restore = () => (prototype.drawImage = drawImage);
    });
    await server.send([cloud(seq + 1, 700)]);
    await shows(page, seq + 1);
    await still(page);
    seq += 2;
    return page.evaluate(() => (window.restore(), window.places.size));
  };
  assert.ok((await places()) > 3, "the word that moves is seen on its way");
  await page.emulateMedia({ reducedMotion: "reduce" });
  assert.equal(await places(), 3);
}

/** A window that goes to a finer screen is drawn finer. */
async function finer(page) {
  await still(page);
  const cdp = await page.context().newCDPSession(page);
  for (const [deviceScaleFactor, contrast] of [[2, "more"], [1.5, "no-preference"]]) {
    await cdp.send("Emulation.setDeviceMetricsOverride", { width: 1280, height: 800, deviceScaleFactor, mobile: false });
    // A screen that is only played lets the page know when something else about it changes.
    await page.emulateMedia({ contrast });
    await page.waitForFunction((ratio) => document.getElementById("canvas").width === innerWidth * ratio, deviceScaleFactor);
    await still(page);
  }
}

await script(async (browser) => {
  const server = await Server.start();
  const page = await visit(browser, server.url);
  await state(page, "live");
  await nested(page, server);
  await rests(page, server);
  await inside(page, server);
  await directions(page);
  await motion(page, server, 7);
  await finer(page);
  await page.leave();
});
