// Clouds arrive in order without a reload, and the page finds its way back to a server that was
// started again, saying what it does meanwhile.
import assert from "node:assert/strict";
import { Server, frame, picture, script, shows, state, still, visit, vocabulary } from "./driver.js";

await script(async (browser) => {
  let server = await Server.start();
  const { listen } = server;
  const page = await visit(browser, server.url);
  await state(page, "live");
  await page.evaluate(() => {
    window.seen = [];
    document.querySelector("#cloud").addEventListener("cloud", (event) => window.seen.push(event.detail));
  });
  const many = vocabulary(60);
  const clouds = [["storm", "rain"], ["storm", "rain", "thunder"], ["sun", "storm"], ["sun", "sea", "#beach", "ice", ...many]];
  for (const [at, words] of clouds.entries()) {
    await server.send([frame(at + 1, words)]);
    await shows(page, at + 1);
    assert.deepEqual(await page.locator("#list .name").allTextContents(), words);
    assert.equal(await page.locator("#cloud").getAttribute("data-words"), String(words.length));
  }
  assert.deepEqual(await page.evaluate("seen"), [1, 2, 3, 4]);
  await still(page);
  const colours = await page.evaluate(() => {
    const canvas = document.querySelector("#canvas");
    const dots = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
    const found = new Set();
    for (let i = 0; i < dots.length; i += 4) if (dots[i + 3] === 255) found.add((dots[i] << 16) | (dots[i + 1] << 8) | dots[i + 2]);
    return found.size;
  });
  assert.ok(colours >= 4, `${colours} colours`);

  await server.close();
  await state(page, "offline");
  assert.equal(await page.locator("#state-text").textContent(), "reconnecting");
  // It tells when it tries again, and can be told to at once.
  await page.waitForFunction(() => /^in \d+ s$/.test(document.getElementById("state-when").textContent));
  await page.locator("#retry").waitFor({ state: "visible" });
  await picture(page, "reconnecting");
  await page.waitForFunction(() => {
    const retry = document.getElementById("retry");
    retry.focus();
    return document.activeElement === retry;
  });

  server = await Server.start({ listen });
  await server.send([frame(6, ["back", "again"])]);
  await page.evaluate(() => document.querySelector("#retry").click());
  await shows(page, 6);
  await state(page, "live");
  assert.equal(await page.evaluate(() => document.activeElement.id), "state", "the focus stays beside the button that goes");
  assert.equal(await page.locator("#retry").isVisible(), false);
  assert.deepEqual(await page.evaluate("seen"), [1, 2, 3, 4, 6], "the page was not loaded again");

  await server.send([{ any: "record" }]);
  await page.waitForFunction(() => document.querySelector("#lines li")?.textContent === '{"any":"record"}');
  await page.leave();
});
