// Runs the documentation's script on a page that has nothing but a key's field, and says what the
// questions on standard input give: [key, offered, hostname, command, what examples show, answer, further
// commands with their answers] -> [why it is not sent, what is, the command afterwards].
"use strict";

const fs = require("node:fs");
const vm = require("node:vm");

const source = fs.readFileSync(process.argv[2], "utf8");

async function tried([key, offered, hostname, command, examples = {}, answer = "{}", more = []]) {
  const sent = [];
  let said = answer;
  const code = { textContent: command };
  const classes = { toggle() {}, add() {} };
  const output = { textContent: "", classList: classes };
  const field = {
    value: key,
    dataset: { prefix: "dtk_test_", offered, examples: JSON.stringify(examples) },
  };
  const page = {
    document: {
      getElementById: (id) => (id === "secret" ? field : null),
      querySelectorAll: (what) => (what.includes("curl") ? [code] : []),
    },
    location: { hostname, hash: "", origin: "http://here" },
    localStorage: { getItem: () => null },
    addEventListener: () => {},
    HTMLDetailsElement: class {},
    fetch: async (path, options) => {
      sent.push([path, options]);
      const headers = { get: () => "application/json" };
      return { ok: true, status: 200, headers, text: async () => said };
    },
  };
  vm.runInNewContext(`${source}\nglobalThis.tryIt = tryIt; globalThis.learnt = learnt;`, page);
  await page.tryIt(code, output, page.learnt);
  for (const [next, itsAnswer] of more) {
    said = itsAnswer;
    code.textContent = next;
    await page.tryIt(code, output, page.learnt);
  }
  return [sent.length ? "" : output.textContent, sent[0] ?? null, code.textContent];
}

const questions = JSON.parse(fs.readFileSync(0, "utf8"));
Promise.all(questions.map(tried)).then((answers) => console.log(JSON.stringify(answers)));
