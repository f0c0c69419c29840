// A thousand words, none at all, and words of other scripts; how evenly the moves go is measured.
import assert from "node:assert/strict";
import { Server, frame, picture, script, shows, state, still, visit, vocabulary } from "./driver.js";

const SCRIPTS = [
  "مرحبا", "日本語", "한국어", "שלום", "नमस्ते", "สวัสดี", "中文", "العالم", "東京", "#тренды", "ελληνικά", "🎉🎊", "Straße",
  "@ferris", "ไทย", "العربية", "עברית", "ありがとう", "서울", "हिन्दी", "👩‍🚀", "tiếng", "ქართული", "հայերեն",
];

/** Milliseconds between pictures while clouds come twice a second. */
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
    // Every word changes its place and a tenth of them are others.
    const turned = words.map((word, at) => ({ text: at % 10 === round ? `${word}${round}` : word, count: 40 + ((at * 37 + round * 11) % 300) }));
    turned.sort((one, other) => other.count - one.count);
    await server.send([frame(seq + round, turned)]);
    await shows(page, seq + round);
    await page.waitForTimeout(500);
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

  await server.send([frame(2, SCRIPTS)]);
  await shows(page, 2);
  await still(page);
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
  await page.leave();
});
