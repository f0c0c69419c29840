// Lays words out by d3-cloud: {words: [[text, size, turned]], width, height, font} on standard
// input, {cpu, words: [[index, size, x, y, width, height]]} on standard output.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(process.argv[2]);
const { createCanvas, GlobalFonts } = require("@napi-rs/canvas");
const { default: cloud } = await import(require.resolve("d3-cloud"));

const task = JSON.parse(readFileSync(0, "utf8"));
GlobalFonts.registerFromPath(task.font, "Cloud");
let state = 1;
const random = () => (state = (state * 16807) % 2147483647) / 2147483647;
const words = task.words.map(([text, size, turned], index) => ({ text, size, turned, index }));
const start = process.cpuUsage();
cloud()
  .size([task.width, task.height])
  .canvas(() => createCanvas(1, 1))
  .words(words)
  .padding(0)
  .rotate((word) => (word.turned ? -90 : 0))
  .font("Cloud")
  .fontSize((word) => word.size)
  .random(random)
  .on("end", (placed) => {
    const { user, system } = process.cpuUsage(start);
    const pen = createCanvas(8, 8).getContext("2d");
    pen.textAlign = "center";
    const boxes = placed.map((word) => {
      pen.font = `${word.size}px Cloud`;
      const ink = pen.measureText(word.text);
      const [left, right] = [ink.actualBoundingBoxLeft, ink.actualBoundingBoxRight];
      const [above, below] = [ink.actualBoundingBoxAscent, ink.actualBoundingBoxDescent];
      const [x, y] = [word.x + task.width / 2, word.y + task.height / 2];
      const box = word.rotate
        ? [x - above, y - right, above + below, left + right]
        : [x - left, y - above, left + right, above + below];
      return [word.index, word.size, ...box];
    });
    process.stdout.write(JSON.stringify({ cpu: (user + system) / 1e6, words: boxes }));
  })
  .start();
