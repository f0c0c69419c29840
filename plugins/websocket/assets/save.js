// The cloud shown, as a file: PNG as it looks here, SVG to edit, CSV to count with.

import { drawFrame } from "/cloud.js";
import { FAMILY, direction } from "/sprites.js";
import { colour, ground } from "/theme.js";

/** Pixels of a picture for each of the frame's. */
const SHARP = 2;

export async function save(kind, frame, dark) {
  const name = `cloud-${frame.seq}`;
  if (kind === "png") offer(`${name}.png`, await png(frame, dark));
  else if (kind === "svg") offer(`${name}.svg`, new Blob([svg(frame, dark)], { type: "image/svg+xml" }));
  else offer(`${name}.csv`, new Blob([csv(frame)], { type: "text/csv;charset=utf-8" }));
}

function offer(name, blob) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  // The browser has taken the bytes by the time that the next minute begins.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

function png(frame, dark) {
  const canvas = document.createElement("canvas");
  canvas.width = frame.width * SHARP;
  canvas.height = frame.height * SHARP;
  const pen = canvas.getContext("2d");
  pen.fillStyle = ground(dark);
  pen.fillRect(0, 0, canvas.width, canvas.height);
  drawFrame(pen, frame, { scale: SHARP, left: 0, top: 0 }, dark);
  return new Promise((kept, broken) => {
    canvas.toBlob((blob) => (blob ? kept(blob) : broken(new Error("no picture was made"))), "image/png");
  });
}

export function svg(frame, dark) {
  const { width, height } = frame;
  const words = frame.words.map((word) => {
    const turn = word.rotate ? ` rotate(${word.rotate})` : "";
    const way = direction(word.text) === "rtl" ? ' direction="rtl"' : "";
    return (
      `<text transform="translate(${word.x} ${word.y})${turn}" font-size="${word.size}" textLength="${word.width}" ` +
      `lengthAdjust="spacingAndGlyphs"${way} fill="${colour(word, frame, dark)}">${escaped(word.text)}</text>`
    );
  });
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" ` +
    `font-family="${escaped(FAMILY.replaceAll('"', "'"))}" font-weight="700" text-anchor="middle">` +
    `<rect width="100%" height="100%" fill="${ground(dark)}"/>${words.join("\n")}</svg>\n`
  );
}

export function csv(frame) {
  // Spreadsheets take what begins like this for a formula, but not behind an apostrophe. Mentions
  // stay what they are: whoever joins by the word must find it.
  const plain = (text) => /^@[\p{L}\p{M}\p{N}_]+$/u.test(text);
  const inert = (text) => (plain(text) ? text : text.replace(/^[=+@\-\t\r\n＝＋＠－]/, "'$&"));
  const quoted = (text) => `"${inert(text).replaceAll('"', '""')}"`;
  const rows = frame.words.map((word, place) => [place + 1, quoted(word.text), word.count].join(","));
  // The mark in front tells spreadsheets that this is UTF-8.
  return `\ufeff${["rank,word,count", ...rows].join("\r\n")}\r\n`;
}

function escaped(text) {
  const marks = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };
  // Control characters are not allowed in XML.
  return text.replace(/[\u0000-\u001f\ufffe\uffff]/g, "").replace(/[&<>"]/g, (mark) => marks[mark]);
}
