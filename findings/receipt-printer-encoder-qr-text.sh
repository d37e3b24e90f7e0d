#!/usr/bin/env bash
# @point-of-sale/receipt-printer-encoder 4.0.1 (Node.js 20): a QR code on a receipt that says a name.
#
# ESC/POS printers draw QR codes themselves, from bytes (GS ( k, function 180); readers take bytes as
# UTF-8 where they are. `qrcode(text)` has no argument for an encoding.
#
# Guess: "香港 1" is sent as the eight bytes of UTF-8, or refused.
# Seen:  "?? 1" is sent, without a word: the code is drawn and reads well, and says something else.
#        "Café" is sent as Latin 1, one byte for é. `codepage("auto")` changes nothing.
#
# What to do: give it ASCII only (a token, a percent-encoded address), or draw the code as a picture.
set -euo pipefail
command -v npm >/dev/null || { echo "needs npm"; exit 3; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --silent --no-fund --no-audit --ignore-scripts \
  @point-of-sale/receipt-printer-encoder@4.0.1
cat > look.mjs <<'JS'
import assert from "node:assert";
import Encoder from "@point-of-sale/receipt-printer-encoder";

const stored = Buffer.from([0x31, 0x50, 0x30]); // what follows is what the code is to say
function said(text, prepare = (encoder) => encoder) {
  const bytes = Buffer.from(prepare(new Encoder({ language: "esc-pos" })).qrcode(text).encode());
  const at = bytes.indexOf(stored);
  const length = bytes.readUInt16LE(at - 2) - stored.length;
  const found = bytes.subarray(at + stored.length, at + stored.length + length);
  console.log(text, found.toString("hex"));
  return found;
}
assert.deepEqual(said("Pier 3"), Buffer.from("Pier 3"));
assert.deepEqual(said("香港 1"), Buffer.from("?? 1"));
assert.deepEqual(said("香港 1", (encoder) => encoder.codepage("auto")), Buffer.from("?? 1"));
assert.deepEqual(said("Café"), Buffer.from("Café", "latin1"));
JS
node look.mjs
