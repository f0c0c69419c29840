// What the canvas shows, and what is under the pointer there.
import assert from "node:assert/strict";
import { Server, frame, script, shows, state, still, visit } from "./driver.js";

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
  await finer(page);
  await page.leave();
});
