// The token, topics and groups, and the client that the README shows.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { Server, frame, picture, script, shows, state, still, visit, vocabulary } from "./driver.js";

const TOKEN = "a-token-for-this-test/+~&%";
const readme = readFileSync(new URL("../../README.md", import.meta.url), "utf8");

async function token(browser) {
  const server = await Server.start({ token: TOKEN });
  await server.send([frame(1, ["secret", "words"])]);
  let page = await visit(browser, server.url);
  await state(page, "locked");
  const wrong = () => page.waitForFunction(() => document.getElementById("lock-note").textContent === "That token is not the right one.");
  for (const token of ["a-wrong-one", "no token has this: Łódź"]) {
    await page.fill("#token", token);
    await page.keyboard.press("Enter");
    await wrong();
  }
  // Coming back to the page, or to the network, leaves the form as it is.
  await page.fill("#token", "half a tok");
  await page.evaluate(() => dispatchEvent(new Event("online")));
  assert.equal(await page.locator("#lock").isVisible(), true);
  assert.equal(await page.locator("#list li").count(), 0);
  await page.fill("#token", ` ${TOKEN} `);
  await page.click("#lock button");
  await shows(page, 1);
  await page.reload();
  await shows(page, 1);
  await page.leave();
  // One that is put into the address of a page that is open.
  page = await visit(browser, server.url);
  await state(page, "locked");
  await page.evaluate((token) => (location.hash = `token=${token}`), encodeURIComponent(TOKEN));
  await shows(page, 1);
  assert.equal(await page.evaluate(() => location.hash), "");
  await page.leave();
  for (const written of [encodeURIComponent(TOKEN), TOKEN]) {
    page = await visit(browser, `${server.url}/#token=${written}`);
    await shows(page, 1);
    assert.equal(await page.evaluate(() => location.hash), "", "the token does not stay in the address");
    await page.leave();
  }
  await server.close();
}

/** A server that asks for a token from now on is heard on whatever the page shows. */
async function locked(browser) {
  const phone = { width: 390, height: 844, hasTouch: true, isMobile: true };
  for (const [records, screen, ready] of [
    [[{ any: "record" }], {}, (page) => page.locator("#lines li").waitFor()],
    [[frame(1, vocabulary(200))], phone, (page) => shows(page, 1).then(() => page.tap("#view"))],
  ]) {
    let server = await Server.start();
    const { listen } = server;
    await server.send(records);
    const page = await visit(browser, server.url, screen);
    await ready(page);
    assert.equal(await page.locator("#waiting").isVisible(), false);
    await page.evaluate(() => (document.querySelector("main").scrollTop = 300));
    await server.close();
    await state(page, "offline");
    server = await Server.start({ listen, token: TOKEN });
    await server.send([frame(2, ["open"])]);
    await page.evaluate(() => document.querySelector("#retry").click());
    await state(page, "locked");
    await picture(page, `locked-${screen.width ?? "screen"}`);
    await page.fill("#token", TOKEN);
    await page.click("#lock button");
    await shows(page, 2);
    await page.leave();
    await server.close();
  }
}

async function topics(browser) {
  let server = await Server.start({ topics: "key" });
  await server.send([frame(1, ["ferris"])], "rust");
  await server.send([frame(7, ["java", "beans"])], "kafka & co");
  const page = await visit(browser, server.url);
  await shows(page, 7);
  assert.deepEqual(await page.locator("#topic option").allTextContents(), ["kafka & co", "rust"]);
  await page.locator("#list .row").first().focus();
  await page.keyboard.press("Enter");
  await page.focus("#topic");
  await page.evaluate(() => {
    window.said = [];
    new MutationObserver(() => window.said.push(document.getElementById("state-text").textContent)).observe(document.getElementById("state-text"), { childList: true });
  });
  await page.selectOption("#topic", "rust");
  await shows(page, 1);
  assert.equal(await page.evaluate(() => document.activeElement.id), "topic");
  assert.deepEqual(await page.evaluate("said"), ["connecting", "live"], "another topic is no loss");
  await picture(page, "topics");
  await server.send([frame(8, ["java"])], "kafka & co");
  await server.send([frame(2, ["crab"])], "rust");
  await shows(page, 2);
  assert.equal(await page.locator("#cloud").getAttribute("data-frames"), "3", "the other topic was not sent");
  const { listen } = server;
  await server.close();
  await state(page, "offline");
  // It stays with its topic, even while the new server has not heard of it.
  server = await Server.start({ topics: "key", listen });
  await page.evaluate(() => document.querySelector("#retry").click());
  await state(page, "live");
  await server.send([frame(1, ["bean"])], "kafka & co");
  await server.send([frame(3, ["claw"])], "rust");
  await shows(page, 3);
  await page.leave();
  await server.close();
}

/** Lines are those of their topic, each once; what comes while the page is paused is put in when it goes on. */
async function lines(browser) {
  let server = await Server.start({ topics: "key", history: 200 });
  const { listen } = server;
  const page = await visit(browser, server.url);
  await state(page, "live");
  const listed = (...wanted) =>
    page.waitForFunction((all) => [...document.querySelectorAll("#lines li")].map((line) => line.textContent).join() === all, wanted.map((n) => `{"n":${n}}`).join());
  // Before there are topics all come; then one is followed, with its past.
  for (const [n, topic] of [[1, "one"], [2, "two"]]) await server.send([{ n }], topic);
  await page.locator("#topic option").nth(1).waitFor({ state: "attached" });
  await listed(1);
  await page.selectOption("#topic", "two");
  await listed(2);
  await server.close();
  await state(page, "offline");
  server = await Server.start({ topics: "key", history: 200, listen });
  await server.send([{ n: 2 }], "two");
  await page.evaluate(() => document.querySelector("#retry").click());
  await state(page, "live");
  await server.send([{ n: 3 }], "two");
  await listed(3, 2);
  await page.click("#pause");
  await server.send([...Array.from({ length: 120 }, (_, at) => ({ n: 4 + at })), frame(1, ["a", "cloud"])], "two");
  await page.waitForFunction(() => document.getElementById("cloud").dataset.frames === "1");
  await listed(3, 2);
  await page.click("#pause");
  await listed(...Array.from({ length: 100 }, (_, at) => 123 - at));
  await page.leave();
  await server.close();
}

/** A server that has no room for the topic says no: the page says so, and not that it is away. */
async function refused(browser) {
  const server = await Server.start({ topics: "key" });
  await server.send([frame(1, ["ferris"])], "rust");
  const page = await visit(browser, server.url);
  await shows(page, 1);
  // As many as may wait for topics to come, and they stay.
  await page.evaluate(() => {
    const open = (_, number) => new WebSocket(`ws://${location.host}/feed?topic=other${number}`);
    window.others = Array.from({ length: 25 }, open);
    return Promise.all(window.others.map((other) => new Promise((done, fail) => Object.assign(other, { onopen: done, onerror: fail }))));
  });
  await page.evaluate(() => {
    const select = document.getElementById("topic");
    select.append(new Option("another", "another"));
    select.value = "another";
    select.dispatchEvent(new Event("change"));
  });
  // At once, since it tries again soon.
  await page.waitForFunction(() => {
    const said = (name, text) => document.getElementById(name).textContent.includes(text);
    return said("state-text", "refused") && said("waiting", "no room for this topic");
  });
  await page.evaluate(() => window.others.forEach((other) => other.close()));
  await page.evaluate(() => document.querySelector("#retry").click());
  await state(page, "live");
  await page.leave();
  await server.close();
}

/** Records without a key are shown, too, as long as none has one; the server is not asked at each of them. */
async function keyless(browser) {
  const server = await Server.start({ topics: "key" });
  const page = await visit(browser, server.url);
  let asked = 0;
  page.on("request", (request) => (asked += request.url().endsWith("/topics")));
  await state(page, "live");
  asked = 0;
  for (let seq = 1; seq <= 5; seq += 1) {
    await server.send([frame(seq, ["no", "key"])]);
    await shows(page, seq);
  }
  assert.equal(asked, 1);
  await server.send([frame(1, ["first"])], "topic");
  // Once there are topics, what came without is gone, also while the first of them is still asked for.
  let [questions, go_on] = [0, null];
  await page.route("**/topics", async (route) => {
    questions += 1;
    if (questions > 1) await new Promise((then) => (go_on = then));
    await route.continue();
  });
  await page.evaluate(() => document.dispatchEvent(new Event("visibilitychange")));
  await page.waitForFunction(() => document.getElementById("cloud").dataset.words === "0");
  while (!go_on) await page.evaluate(() => new Promise(requestAnimationFrame));
  go_on();
  await page.waitForFunction(() => document.querySelector("#list .name")?.textContent === "first");
  await page.leave();
  await server.close();
}

/** A topic that nothing came for is empty, not the one before under another name. */
async function silent(browser) {
  const server = await Server.start();
  await server.send([frame(1, ["uno"], { group: "es" }), frame(2, ["one"], { group: "en" })]);
  const page = await visit(browser, server.url);
  await page.waitForFunction(() => Number(document.getElementById("cloud").dataset.words) > 0);
  await page.evaluate(() => {
    const select = document.getElementById("topic");
    select.append(new Option("silent", "silent"));
    select.value = "silent";
    select.dispatchEvent(new Event("change"));
  });
  await page.waitForFunction(() => document.getElementById("cloud").dataset.words === "0");
  assert.equal(await page.locator("#list li").count(), 0);
  await still(page);
  await page.locator("#waiting").waitFor({ state: "visible" });
  const inked = await page.evaluate(() => {
    const canvas = document.getElementById("canvas");
    return canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.some((part) => part > 0);
  });
  assert.equal(inked, false);
  await page.click("#canvas");
  await page.leave();
  await server.close();
}

async function groups(browser) {
  const server = await Server.start();
  await server.send([frame(1, ["uno"], { group: "es" }), frame(1, ["one"], { group: "en" }), frame(2, ["dos"], { group: "es" })]);
  const page = await visit(browser, server.url);
  await shows(page, 2);
  await page.selectOption("#topic", "en");
  await shows(page, 1);
  assert.deepEqual(await page.locator("#list .name").allTextContents(), ["one"]);
  await page.leave();
  await server.close();
}

/** Everything that a cloud may say besides what it must. */
async function details(browser) {
  const server = await Server.start();
  const more = { colors: ["#0072b2", "#ffffff"], colors_dark: ["#56b4e9", "#000000"], samples: ["first tweet", "second tweet"] };
  const cloud = (seq, text, count) =>
    frame(seq, [{ text, key: "#rust", count, change: 7, samples: [1, 9, 0], box: [100, 100, 300, 200] }, "plain"], more);
  await server.send([cloud(1, "#Rust", 20), cloud(2, "#RUST", 30)]);
  const page = await visit(browser, server.url);
  await shows(page, 2);
  await page.locator("#list .row").first().focus();
  await page.keyboard.press("Enter");
  assert.equal(await page.locator("#panel-word").textContent(), "#RUST");
  assert.match(await page.locator("#panel-facts").textContent(), /^30 times, place 1 of 2, \+7 since/);
  assert.match(await page.locator("#chart").getAttribute("aria-label"), /first 20, least 20, most 30, last 30$/);
  assert.deepEqual(await page.locator("#samples li").allTextContents(), ["second tweet", "first tweet"]);
  await picture(page, "details");
  await page.leave();
  await server.close();
}

/** Who comes later has as much to look back on as the server keeps. */
async function past(browser) {
  const server = await Server.start({ history: 300 });
  await server.send(Array.from({ length: 320 }, (_, at) => frame(at + 1, ["word"])));
  const page = await visit(browser, server.url);
  await page.waitForFunction(() => document.getElementById("slider").max === "299");
  await shows(page, 320);
  await page.locator("#slider").focus();
  await page.keyboard.press("Home");
  await shows(page, 21);
  await page.locator("#list .row").first().focus();
  await page.keyboard.press("Enter");
  assert.equal(await page.locator("#no-samples").textContent(), "None came along with the clouds.");
  await page.leave();
  await server.close();
}

/** Of a word that was rare for a while the count of that while is not known, which is not none. */
async function gap(browser) {
  const server = await Server.start();
  const words = [["rare", "other"], ["rare", "other"], ["other"], ["other", "rare"]];
  await server.send(words.map((all, at) => frame(at + 1, all)));
  const page = await visit(browser, server.url);
  await shows(page, 4);
  await page.locator("#list .row >> nth=1").focus();
  await page.keyboard.press("Enter");
  assert.equal(await page.locator("#panel-facts").textContent(), "100 times, place 2 of 2");
  assert.match(await page.locator("#chart").getAttribute("aria-label"), /first 133, least 100, most 133, last 100; 1 of 4 clouds without it$/);
  const line = await page.locator("#chart .line").getAttribute("d");
  assert.equal(line.split("M").length - 1, 2, "two parts");
  await picture(page, "gap");
  await page.leave();
  await server.close();
}

async function client(browser) {
  const [, code] = readme.match(/```js\n([^]*?)```/);
  assert.ok(code.trim().split("\n").length <= 10, "ten lines");
  const server = await Server.start();
  const page = await visit(browser, server.url);
  await state(page, "live");
  await page.evaluate(() => {
    window.drawn = [];
    window.draw = (cloud) => window.drawn.push(cloud.seq);
  });
  // In front of it a semicolon, so that it is not taken for one function.
  await page.evaluate(`;${code.replaceAll("127.0.0.1:3000", server.listen)}`);
  await server.send([frame(1, ["hello"])]);
  await page.waitForFunction(() => window.drawn.includes(1));
  const { listen } = server;
  await server.close();
  const again = await Server.start({ listen });
  await again.send([frame(2, ["back"])]);
  await page.waitForFunction(() => window.drawn.includes(2));
  await page.leave();
}

await script(async (browser) => {
  await token(browser);
  await locked(browser);
  await topics(browser);
  await lines(browser);
  await refused(browser);
  await keyless(browser);
  await silent(browser);
  await groups(browser);
  await details(browser);
  await past(browser);
  await gap(browser);
  await client(browser);
});
