// axe-core looks at every state of the page, light and dark, on a screen and on a phone.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { Server, frame, load, picture, script, shows, state, still, visit, vocabulary } from "./driver.js";

const axe = readFileSync(load.resolve("axe-core/axe.min.js"), "utf8");
const samples = ["a tweet with rust in it", { text: "another one", user: "ferris", time_ms: 1_700_000_000_000 }];
const cloud = (seq) => frame(seq, [{ text: "rust", count: 200 + seq, samples }, ...vocabulary(60)]);

async function look(page, where) {
  await still(page);
  // Run from outside: the page's own policy forbids scripts that it did not bring.
  await page.evaluate(axe);
  const found = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  const told = found.violations.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map((node) => node.html).join(" | ")}`);
  assert.deepEqual(told, [], where);
  console.log(`axe-core finds nothing in ${where}`);
}

await script(async (browser) => {
  // A checker that finds nothing anywhere would not be worth much.
  const blank = await browser.newPage();
  await blank.setContent("<button></button>");
  await blank.evaluate(axe);
  assert.notEqual((await blank.evaluate(() => window.axe.run(document))).violations.length, 0);
  for (const colorScheme of ["light", "dark"]) {
    for (const [screen, size] of [["screen", { width: 1280, height: 800 }], ["phone", { width: 390, height: 844, hasTouch: true, isMobile: true }]]) {
      const where = `${colorScheme} ${screen}`;
      const server = await Server.start();
      const page = await visit(browser, server.url, { ...size, colorScheme });
      await state(page, "live");
      await look(page, `${where}, empty`);
      await picture(page, `empty-${colorScheme}-${screen}`);
      await server.send([1, 2, 3].map(cloud));
      await shows(page, 3);
      await look(page, `${where}, cloud`);
      await page.click("#view");
      await look(page, `${where}, list`);
      await page.fill("#search", "ra");
      await look(page, `${where}, search`);
      await page.fill("#search", "");
      await page.click("#list .row >> nth=0");
      await page.locator("#samples li").first().waitFor();
      await look(page, `${where}, word`);
      await page.click("#panel-close");
      await page.click("#more");
      await look(page, `${where}, menu`);
      await page.keyboard.press("Escape");
      await page.click("#pause");
      await look(page, `${where}, history`);
      await page.click("#pause");
      await server.send([{ any: "record" }]);
      await page.locator("#lines li").first().waitFor();
      await look(page, `${where}, records`);
      await server.close();
      await state(page, "offline");
      await look(page, `${where}, reconnecting`);
      await page.leave();
    }
  }
  const server = await Server.start({ token: "a-token-for-this-test" });
  const page = await visit(browser, server.url);
  await state(page, "locked");
  await look(page, "token");
  await picture(page, "token");
  await page.leave();
});
