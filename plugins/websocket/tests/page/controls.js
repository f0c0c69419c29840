// Everything that the page offers, by mouse, by keyboard and by finger.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { Server, frame, picture, script, shows, state, still, visit, vocabulary } from "./driver.js";

const WORDS = ["rust", "kafka", "avro", "stream", "Éclair", ...vocabulary(80)];
const tweets = [
  { text: "rust makes the stream <b>fast</b>", user: "ferris", time_ms: 1_700_000_000_000 },
  "a plain text about rust",
];
const cloud = (seq) => frame(seq, WORDS.map((text, rank) => (text === "rust" ? { text, count: 100 + 20 * seq, samples: tweets } : text)));
const shown = (page) => page.locator("#cloud").getAttribute("data-seq");
const pressed = (page, name) => page.locator(name).getAttribute("aria-pressed");

await script(async (browser) => {
  const server = await Server.start();
  await server.send([1, 2, 3, 4].map(cloud));

  // By mouse.
  let page = await visit(browser, server.url);
  await shows(page, 4);
  await still(page);
  const found = await word(page, "rust");
  await page.mouse.move(found.x, found.y);
  assert.match(await page.locator("#tip").textContent(), /^rust {2}180$/);
  await page.mouse.click(found.x, found.y);
  assert.equal(await page.locator("#panel-word").textContent(), "rust");
  assert.match(await page.locator("#panel-facts").textContent(), /^180 times, place 1 of 85, \+20 since/);
  const course = await page.locator("#chart").getAttribute("aria-label");
  assert.match(course, /first 120, least 120, most 180, last 180$/);
  assert.deepEqual(await page.locator("#samples li > p:first-child").allTextContents(), [tweets[0].text, tweets[1]]);
  await picture(page, "panel");
  for (const width of [1600, 1280, 1000, 800]) {
    await page.setViewportSize({ width, height: 800 });
    const cut = await page.evaluate(() => {
      const line = document.getElementById("figures").getBoundingClientRect();
      const parts = [...document.querySelectorAll("#figures span")].map((part) => part.getBoundingClientRect());
      const seen = parts.filter(({ top, width }) => width > 0 && top < line.bottom - 2);
      return { seen: seen.length, cut: seen.filter(({ right }) => right > line.right + 1).length };
    });
    assert.ok(cut.seen > 0 && cut.cut === 0, `${width} pixels: ${JSON.stringify(cut)}`);
  }
  await page.setViewportSize({ width: 1280, height: 800 });
  await server.send([cloud(5)]);
  await shows(page, 5);
  assert.match(await page.locator("#panel-facts").textContent(), /^200 times/);
  await page.click("#panel-close");
  assert.equal(await page.locator("#panel").isVisible(), false);

  await page.click("#pause");
  await state(page, "paused");
  await server.send([cloud(6)]);
  await page.waitForFunction(() => document.getElementById("cloud").dataset.frames === "6");
  assert.equal(await shown(page), "5");
  await picture(page, "history");
  // The button says what it does, so it has no state besides.
  assert.equal(await pressed(page, "#pause"), null);
  await page.click("#pause");
  await shows(page, 6);
  // Taking hold of the bar stops at that cloud.
  const bar = await page.locator("#slider").boundingBox();
  await page.mouse.click(bar.x + 9, bar.y + bar.height / 2);
  await shows(page, 1);
  await state(page, "paused");
  await page.click("#pause");
  await shows(page, 6);

  await page.fill("#search", "ECLA");
  assert.equal(await page.locator("#found").textContent(), "1 of 85");
  await page.click("#view");
  assert.deepEqual(await page.locator("#list li:not([hidden]) .name").allTextContents(), ["Éclair"]);
  await picture(page, "search");
  await page.fill("#search", "");
  await picture(page, "list");
  await page.click("#list .row >> nth=1");
  assert.equal(await page.locator("#panel-word").textContent(), "kafka");
  await page.keyboard.press("Escape");
  await page.click("#view");
  await picture(page, "light");
  await page.click("#theme");
  assert.equal(await page.locator("html").getAttribute("data-theme"), "dark");
  await picture(page, "dark");
  await page.click("#full");
  await page.waitForFunction(() => document.fullscreenElement !== null);
  await page.waitForFunction(() => document.getElementById("full").getAttribute("aria-pressed") === "true");
  // The bars go, although the button still has the focus, and come when the pointer moves.
  const bars = (opacity, events) =>
    page.waitForFunction(([opacity, events]) => {
      const look = ["header", "footer"].map((name) => getComputedStyle(document.querySelector(name)));
      return look.every((bar) => bar.opacity === opacity && bar.pointerEvents === events);
    }, [opacity, events]);
  assert.equal(await page.evaluate(() => document.activeElement.id), "full");
  await bars("0", "none");
  await page.mouse.move(300, 300);
  await bars("1", "auto");
  await page.click("#full");
  await page.waitForFunction(() => document.fullscreenElement === null);
  for (const kind of ["png", "svg", "csv"]) {
    await page.click("#more");
    if (kind === "png") await picture(page, "menu");
    const [file] = await Promise.all([page.waitForEvent("download"), page.click(`[data-save=${kind}]`)]);
    assert.equal(file.suggestedFilename(), `cloud-6.${kind}`);
    const bytes = readFileSync(await file.path());
    if (kind === "png") assert.equal(bytes.subarray(1, 4).toString(), "PNG");
    if (kind === "svg") assert.match(bytes.toString(), /<svg [^]*>rust<\/text>[^]*<\/svg>\n$/);
    if (kind === "csv") assert.match(bytes.toString(), /^\ufeffrank,word,count\r\n1,"rust",220\r\n2,"kafka",100\r\n/);
  }
  await page.addInitScript(() => delete Element.prototype.requestFullscreen);
  await page.reload();
  await shows(page, 6);
  assert.equal(await page.locator("#full").isVisible(), false, "full screen is offered where there is one");
  await page.leave();

  // By keyboard alone: what is not reached by keys of its own is reached by the tabulator.
  page = await visit(browser, server.url);
  await shows(page, 6);
  const focus = () => page.evaluate(() => document.activeElement.id || document.activeElement.dataset.word || document.activeElement.dataset.save);
  const tab = async (wanted) => {
    for (let steps = 0; steps < 20; steps += 1) {
      await page.keyboard.press("Tab");
      if ((await focus()) === wanted) return;
    }
    assert.fail(`the tabulator does not come to ${wanted}`);
  };
  for (const wanted of ["search", "view", "theme", "full", "more", "rust", "pause", "slider"]) await tab(wanted);
  await page.keyboard.press("Home");
  await shows(page, 1);
  await page.keyboard.press("ArrowRight");
  await shows(page, 2);
  await page.keyboard.press("Shift+Tab");
  await page.keyboard.press("Enter");
  await shows(page, 6);
  await page.keyboard.press("Shift+Tab");
  assert.equal(await focus(), "rust");
  assert.ok((await page.locator("#words").boundingBox()).width > 100, "the list is seen while it has the focus");
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("ArrowDown");
  assert.equal(await focus(), "avro");
  await page.keyboard.press("Enter");
  assert.equal(await page.locator("#panel-word").textContent(), "avro");
  assert.equal(await focus(), "panel-word");
  for (const [key, seq] of [["ArrowLeft", 5], ["ArrowLeft", 4], ["ArrowRight", 5], [" ", 6]]) {
    await page.keyboard.press(key);
    await shows(page, seq);
  }
  await page.keyboard.press("Escape");
  assert.equal(await focus(), "avro");
  // A button keeps the space bar, and no other key.
  await page.focus("#pause");
  await page.keyboard.press("ArrowLeft");
  await shows(page, 5);
  await page.keyboard.press(" ");
  await shows(page, 6);
  await state(page, "live");
  await page.keyboard.press("l");
  assert.equal(await pressed(page, "#view"), "true");
  await page.keyboard.press("d");
  assert.equal(await page.locator("html").getAttribute("data-theme"), "dark");
  await page.keyboard.press("f");
  await page.waitForFunction(() => document.fullscreenElement !== null);
  await page.keyboard.press("f");
  await page.waitForFunction(() => document.fullscreenElement === null);
  await page.keyboard.press("/");
  await page.keyboard.type("kafk");
  // This Enter takes what an input method offers.
  await page.evaluate(() => {
    const enter = new KeyboardEvent("keydown", { key: "Enter", isComposing: true, bubbles: true });
    document.getElementById("search").dispatchEvent(enter);
  });
  assert.equal(await page.locator("#panel").isVisible(), false);
  await page.keyboard.press("Enter");
  assert.equal(await page.locator("#panel-word").textContent(), "kafka");
  // What scrolls keeps the space bar, and a key that is held down does a thing once.
  await page.locator("#panel-body").focus();
  await page.keyboard.press(" ");
  await page.locator("#panel-word").focus();
  await page.keyboard.down("d");
  await page.keyboard.down("d");
  await page.keyboard.up("d");
  assert.equal(await page.locator("html").getAttribute("data-theme"), "light");
  await state(page, "live");
  await page.keyboard.press("d");
  await page.keyboard.press("/");
  await page.keyboard.press("Escape");
  await page.keyboard.press("Escape");
  assert.equal(await page.inputValue("#search"), "");
  await page.focus("#more");
  await page.keyboard.press("Enter");
  await tab("csv");
  const [file] = await Promise.all([page.waitForEvent("download"), page.keyboard.press("Enter")]);
  assert.equal(file.suggestedFilename(), "cloud-6.csv");
  await page.focus("#more");
  await page.keyboard.press("Enter");
  await tab("keys");
  await page.keyboard.press(" ");
  await page.keyboard.press("Escape");
  await page.keyboard.press("l");
  assert.equal(await pressed(page, "#view"), "true", "single keys are off");
  await page.leave();

  // By finger, on a phone.
  page = await visit(browser, server.url, { width: 390, height: 844, hasTouch: true, isMobile: true, deviceScaleFactor: 2 });
  await shows(page, 6);
  await picture(page, "phone");
  const touched = await word(page, "rust");
  await page.touchscreen.tap(touched.x, touched.y);
  assert.equal(await page.locator("#panel-word").textContent(), "rust");
  await picture(page, "phone-panel");
  const free = await page.evaluate(() => {
    const { left, top, width, height } = document.getElementById("pause").getBoundingClientRect();
    return Boolean(document.elementFromPoint(left + width / 2, top + height / 2).closest("#pause"));
  });
  assert.ok(free, "the panel leaves the footer free");
  await page.tap("#panel-close");
  await page.tap("#pause");
  await state(page, "paused");
  const touch = await page.locator("#slider").boundingBox();
  await page.touchscreen.tap(touch.x + touch.width / 2, touch.y + touch.height / 2);
  await page.waitForFunction(() => document.getElementById("cloud").dataset.seq !== "6");
  await page.tap("#pause");
  await shows(page, 6);
  await page.tap("#view");
  assert.equal(await page.locator("#stage").isVisible(), false);
  await page.tap("#list .row >> nth=2");
  assert.equal(await page.locator("#panel-word").textContent(), "avro");
  // Rows that a keyboard goes to are not below the sheet.
  await page.locator("#list .row >> nth=2").focus();
  for (let row = 3; row < 30; row += 1) {
    await page.keyboard.press("ArrowDown");
    const hidden = await page.evaluate(() => document.activeElement.getBoundingClientRect().bottom > document.getElementById("panel").getBoundingClientRect().top + 1);
    assert.equal(hidden, false, `row ${row}`);
  }
  await page.tap("#panel-close");
  await page.tap("#theme");
  await picture(page, "phone-dark");
  await page.tap("#more");
  const [saved] = await Promise.all([page.waitForEvent("download"), page.tap("[data-save=png]")]);
  assert.equal(saved.suggestedFilename(), "cloud-6.png");
  const small = await page.evaluate(() =>
    [...document.querySelectorAll("button, input, select")]
      .filter((one) => one.offsetParent && Math.min(one.offsetWidth, one.offsetHeight) < 24 && one.type !== "checkbox")
      .map((one) => one.id || one.textContent),
  );
  assert.deepEqual(small, [], "too small for a finger");
  // Also not on the narrowest screen that WCAG asks for.
  for (const width of [390, 320]) {
    await page.setViewportSize({ width, height: 600 });
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `nothing sticks out of ${width} pixels`);
  }
  await page.leave();
});

/** Where the middle of a word is in the window: found as a reader finds it, by what the pointer says. */
async function word(page, text) {
  await still(page);
  const at = await page.evaluate((wanted) => {
    const canvas = document.getElementById("canvas");
    const tip = document.getElementById("tip");
    const box = canvas.getBoundingClientRect();
    const hits = [];
    for (let y = box.top; y < box.bottom; y += 3) {
      for (let x = box.left; x < box.right; x += 3) {
        canvas.dispatchEvent(new PointerEvent("pointermove", { clientX: x, clientY: y, pointerType: "mouse" }));
        if (!tip.hidden && tip.textContent.startsWith(`${wanted}  `)) hits.push({ x, y });
      }
    }
    tip.hidden = true;
    return hits[hits.length >> 1];
  }, text);
  assert.ok(at, `${text} is not in the cloud`);
  return at;
}
