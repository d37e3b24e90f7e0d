// Copies examples, and tries those of curl against the server that shows the page. A key is kept in
// the page's own field and goes nowhere but with a try.
"use strict";

function button(text, place, act) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = text;
  made.addEventListener("click", act);
  place.append(made);
}

function parsed(command) {
  const url = /https?:\/\/[^\s']+/.exec(command)[0];
  const verb = /-X ([A-Z]+)/.exec(command);
  const body = /-d '([^]*)'$/.exec(command.trim());
  const headers = {};
  const secret = document.getElementById("secret").value;
  for (const [, name, value] of command.matchAll(/-H ["']([\w-]+): ([^"']*)["']/g)) {
    headers[name] = value.replace(/\$[A-Z_]+/, () => secret);
  }
  const path = url.replace(/^https?:\/\/[^/]+/, "");
  return [path, { method: verb ? verb[1] : body ? "POST" : "GET", headers, body: body?.[1] }];
}

async function tryIt(example, output) {
  const [path, options] = parsed(example.querySelector("code").textContent);
  output.textContent = "…";
  try {
    const answer = await fetch(path, options);
    const text = await answer.text();
    let shown = text;
    try {
      shown = JSON.stringify(JSON.parse(text), null, 2);
    } catch {
      // lines of a stream, or no JSON: as it came
    }
    output.textContent = `HTTP ${answer.status}\n${shown}`;
  } catch (error) {
    output.textContent = String(error);
  }
}

for (const example of document.querySelectorAll(".example")) {
  const code = example.querySelector("code");
  button("Copy", example, () => navigator.clipboard.writeText(code.textContent));
  if (example.dataset.kind === "curl") {
    const output = document.createElement("output");
    code.contentEditable = "plaintext-only";
    code.spellcheck = false;
    button("Try it", example, () => tryIt(example, output));
    example.append(output);
  }
}
