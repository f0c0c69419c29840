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

/** Axe cannot tell the contrast of all that stands over something: so each colour of text on each ground. */
async function contrasts(page, where) {
  const faint = await page.evaluate(async () => {
    const { colour } = await import("/theme.js");
    const box = document.body.appendChild(document.createElement("p"));
    const luminance = (text) => {
      box.style.color = text;
      const [r, g, b] = getComputedStyle(box).color.match(/[\d.]+/g).map((part) => part / 255).map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const dark = matchMedia("(prefers-color-scheme: dark)").matches;
    const palette = { light: ["#e69f00", "#ffffff"], dark: ["#0b2a4a", "#000000"] };
    const words = Array.from({ length: 8 }, (_, color) => [`word ${color}`, colour({ color }, null, dark)]);
    const given = [0, 1].map((color) => [`palette ${color}`, colour({ color }, { palette }, dark)]);
    const texts = ["ink", "soft", "accent", "live", "warn", "bad"].map((name) => [name, `var(--${name})`]);
    const found = [];
    for (const [name, text] of [...texts, ...words, ...given]) {
      for (const ground of texts.some(([one]) => one === name) ? ["ground", "raised"] : ["ground"]) {
        const [one, other] = [luminance(text), luminance(`var(--${ground})`)];
        const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
        if (ratio < 4.5) found.push(`${name} on ${ground}: ${ratio.toFixed(2)}`);
      }
    }
    box.remove();
    return found;
  });
  assert.deepEqual(faint, [], where);
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
      await contrasts(page, where);
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
  // A ground that the system makes black is black, whatever was chosen here, and what is pressed is seen to be.
  const forced = await Server.start();
  await forced.send([cloud(1)]);
  const contrast = await visit(browser, forced.url, { colorScheme: "dark", forcedColors: "active" });
  await shows(contrast, 1);
  await contrast.evaluate(() => localStorage.setItem("theme", "light"));
  await contrast.reload();
  await shows(contrast, 1);
  await contrast.click("#view");
  await contrast.click("#list .row >> nth=0");
  await look(contrast, "forced colours");
  await picture(contrast, "forced-colours");
  const seen = await contrast.evaluate(async () => {
    const { isDark } = await import("/theme.js");
    const ground = (name) => getComputedStyle(document.querySelector(name)).backgroundColor;
    return { dark: isDark(), pressed: ground("#view") !== ground("#theme"), current: ground(".row[aria-current]") !== ground(".row:not([aria-current])") };
  });
  assert.deepEqual(seen, { dark: true, pressed: true, current: true });
  await contrast.emulateMedia({ forcedColors: "none" });
  assert.equal(await contrast.evaluate(() => import("/theme.js").then(({ isDark }) => isDark())), false);
  await contrast.leave();
  const server = await Server.start({ token: "a-token-for-this-test" });
  const page = await visit(browser, server.url);
  await state(page, "locked");
  await look(page, "token");
  await picture(page, "token");
  await page.leave();
});
