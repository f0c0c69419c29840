// A thousand words, none at all, and words of other scripts; how evenly the moves go is measured.
import assert from "node:assert/strict";
import { Server, frame, picture, script, shows, state, still, visit, vocabulary } from "./driver.js";

const SCRIPTS = [
  "مرحبا", "日本語", "한국어", "שלום", "नमस्ते", "สวัสดี", "中文", "العالم", "東京", "#тренды", "ελληνικά", "🎉🎊", "Straße",
  "@ferris", "ไทย", "العربية", "עברית", "ありがとう", "서울", "हिन्दी", "👩‍🚀", "tiếng", "ქართული", "հայերեն",
];

/** No picture of a move lacks words: not of the first one, and not of one after the page has changed. */
async function whole(page, server, words, seq) {
  let cloud = frame(seq, words);
  const move = async () => {
    await server.send([cloud]);
    await shows(page, cloud.seq);
    await still(page);
    // All move a little towards the middle, so that the ink is as much as before.
    cloud = { ...cloud, seq: cloud.seq + 1, words: cloud.words.map((word) => ({ ...word, x: word.x + (cloud.width / 2 - word.x) / 100 })) };
  };
  await move();
  for (const change of [null, () => page.click("#theme"), () => page.setViewportSize({ width: 1400, height: 860 })]) {
    await change?.();
    await still(page);
    await page.evaluate(() => {
      const canvas = document.getElementById("canvas");
      const small = Object.assign(document.createElement("canvas"), { width: canvas.width >> 2, height: canvas.height >> 2 });
      const pen = small.getContext("2d", { willReadFrequently: true });
      const ink = () => {
        pen.clearRect(0, 0, small.width, small.height);
        pen.drawImage(canvas, 0, 0, small.width, small.height);
        return pen.getImageData(0, 0, small.width, small.height).data.reduce((sum, part, at) => (at % 4 === 3 ? sum + part : sum), 0);
      };
      const all = ink();
      window.least = 1;
      const look = () => {
        if (!window.least) return;
        window.least = Math.min(window.least, ink() / all);
        requestAnimationFrame(look);
      };
      requestAnimationFrame(look);
    });
    await move();
    const least = await page.evaluate(() => {
      const found = window.least;
      window.least = null;
      return found;
    });
    assert.ok(least > 0.9, `${words.length} words: of the ink of a cloud ${least.toFixed(2)} is left in a picture`);
  }
}

/** Milliseconds between pictures while every word changes its place and a tenth of them are others. */
async function pace(page, server, words, seq) {
  await page.evaluate(() => {
    window.gaps = [];
    let last = performance.now();
    const look = (now) => {
      if (window.gaps === null) return;
      window.gaps.push(now - last);
      last = now;
      requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
  });
  for (let round = 0; round < 6; round += 1) {
    const turned = words.map((word, at) => ({ text: at % 10 === round ? `${word}${round}` : word, count: 40 + ((at * 37 + round * 11) % 300) }));
    turned.sort((one, other) => other.count - one.count);
    await server.send([frame(seq + round, turned)]);
    await shows(page, seq + round);
    await still(page);
  }
  const gaps = await page.evaluate(() => {
    const all = window.gaps;
    window.gaps = null;
    return all.slice(2);
  });
  gaps.sort((one, other) => one - other);
  const at = (part) => gaps[Math.floor(gaps.length * part)].toFixed(1);
  console.log(`${words.length} words: ${gaps.length} pictures, ms between them p50 ${at(0.5)}, p90 ${at(0.9)}, p99 ${at(0.99)}, most ${at(0.9999)}`);
}

await script(async (browser) => {
  const server = await Server.start();
  const page = await visit(browser, server.url, { width: 1440, height: 900 });
  await state(page, "live");
  assert.match(await page.locator("#waiting").textContent(), /Waiting for the first words/);
  await picture(page, "empty");
  await server.send([frame(1, [])]);
  await shows(page, 1);
  assert.match(await page.locator("#waiting").textContent(), /window is empty/);
  await picture(page, "empty-window");

  const faces = () => page.evaluate(() => [...document.fonts].filter((face) => face.status === "loaded").map((face) => face.unicodeRange.slice(0, 5)));
  assert.deepEqual(await faces(), ["U+0-1"], "faces of scripts that do not occur are not asked for");
  await server.send([frame(2, SCRIPTS)]);
  await shows(page, 2);
  await still(page);
  assert.deepEqual(await faces(), ["U+0-1", "U+590", "U+600", "U+900", "U+E00"]);
  assert.equal(await page.locator("#waiting").isVisible(), false);
  assert.deepEqual(await page.locator("#list .name").allTextContents(), SCRIPTS);
  await picture(page, "scripts");
  await page.click("#view");
  await page.click("#list .row >> nth=0");
  await picture(page, "scripts-panel");
  await page.keyboard.press("Escape");
  await page.click("#view");

  await pace(page, server, vocabulary(200), 10);
  const many = vocabulary(1000);
  await pace(page, server, many, 20);
  await still(page);
  assert.equal(await page.locator("#cloud").getAttribute("data-words"), String(many.length));
  await picture(page, "thousand");
  await whole(page, server, vocabulary(200), 30);
  await whole(page, server, many, 40);
  await page.leave();
});
