// Watches the page as a reader does, in Debian's Chromium, and prints a line of JSON for each cloud it shows and
// each change of its state:  node watch.js PLAYWRIGHT_FOLDER URL [PICTURE]
import { createRequire } from "node:module";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const [folder, url, picture] = process.argv.slice(2);
const { chromium } = createRequire(join(folder, "package.json"))("playwright-core");
const say = (what) => console.log(JSON.stringify(what));

const context = await chromium.launchPersistentContext(mkdtempSync(join(tmpdir(), "e2e-browser-")), {
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  viewport: { width: 1280, height: 800 },
  args: [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
  ],
});
const page = context.pages()[0] ?? (await context.newPage());
let loads = 0;
let clouds = 0;
page.on("load", () => { loads += 1; });
page.on("pageerror", (error) => say({ error: String(error) }));
await page.exposeFunction("told", async (what) => {
  if (what.seq !== undefined && ++clouds === 3 && picture) await page.screenshot({ path: picture });
  say({ ...what, loads });
});
await page.addInitScript(() => {
  addEventListener("DOMContentLoaded", () => {
    const main = document.getElementById("cloud");
    main.addEventListener("cloud", (event) => {
      const words = [...document.querySelectorAll("#list li")].map((row) => row.textContent);
      window.told({ seq: event.detail, frames: Number(main.dataset.frames), words });
    });
    const state = document.getElementById("state");
    new MutationObserver(() => window.told({ state: state.dataset.state }))
      .observe(state, { attributeFilter: ["data-state"] });
  });
});
await page.goto(url);
