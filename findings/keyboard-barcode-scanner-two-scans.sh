#!/usr/bin/env bash
# @point-of-sale/keyboard-barcode-scanner 1.1.4, jsdom 29.1.1 (Node.js 20): two tickets scanned one after the other.
#
# A scanner that plays a keyboard ends each scan with Enter. At a busy gate, or with a scanner that
# keeps scans and sends them together, the second begins within milliseconds of the first one's Enter.
#
# Guess: an event for each Enter.
# Seen:  one event for both, with a carriage return within: "AAA-111\rBBB-222". Enter ends nothing,
#        only half a second without a key does; then a single Enter at the end is cut off, others not.
#        That half second also passes before a single scan is reported.
#
# What to do: split a value at CR, LF and TAB, and take each part as a scan.
set -euo pipefail
command -v npm >/dev/null || { echo "needs npm"; exit 3; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --silent --no-fund --no-audit --ignore-scripts \
  @point-of-sale/keyboard-barcode-scanner@1.1.4 jsdom@29.1.1
cat > look.mjs <<'JS'
import assert from "node:assert";
import { JSDOM } from "jsdom";

const { window } = new JSDOM("");
globalThis.window = window;
globalThis.document = window.document;
const file = "node_modules/@point-of-sale/keyboard-barcode-scanner/dist/keyboard-barcode-scanner.esm.js";
const { default: Scanner } = await import(`./${file}`);

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
let values = [];
const scanner = new Scanner();
scanner.addEventListener("barcode", ({ value }) => values.push(value));
scanner.connect();

async function scanned(...codes) {
  values = [];
  for (const key of codes.flatMap((code) => [...code, "Enter"])) {
    const keyCode = key === "Enter" ? 13 : key.charCodeAt(0);
    document.dispatchEvent(new window.KeyboardEvent("keydown", { key, keyCode, bubbles: true }));
    await sleep(5);
  }
  await sleep(1500);
  console.log(codes, JSON.stringify(values));
  return values;
}
assert.deepEqual(await scanned("AAA-111"), ["AAA-111"]);
assert.deepEqual(await scanned("AAA-111", "BBB-222"), ["AAA-111\rBBB-222"]);
process.exit();
JS
node look.mjs
