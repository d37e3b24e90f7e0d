// Shows one language at a time, copies examples, and tries those of curl against the server that
// shows the page. A key is kept in the page's own field and goes nowhere but with a try, and only a
// sandbox key does: what it calls has test stock and test tickets alone.
"use strict";

const LANGUAGE = "deeptravel-language";
const given = new Set(); // names of what answers gave
const MOST_SHOWN = 20000; // characters of an answer
const KEY = document.getElementById("secret");
const ON_THIS_MACHINE = ["127.0.0.1", "localhost", "[::1]"].includes(location.hostname);

function button(text, place, act) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = text;
  made.addEventListener("click", () => act(made));
  place.append(made);
  return made;
}

// --------------------------------------------------------------------------------------- copying

function select(element) {
  const range = document.createRange();
  range.selectNodeContents(element);
  getSelection().removeAllRanges();
  getSelection().addRange(range);
}

async function copy(code, pressed) {
  let copied = true;
  try {
    await navigator.clipboard.writeText(code.textContent);
  } catch {
    // not over plain HTTP from another machine, or not allowed
    select(code);
    copied = document.execCommand("copy");
  }
  pressed.textContent = copied ? "Copied" : "Selected: copy it";
  setTimeout(() => (pressed.textContent = "Copy"), 1500);
}

// ------------------------------------------------------------------------------------- languages

function kept() {
  try {
    return localStorage.getItem(LANGUAGE);
  } catch {
    return null; // the reader's browser keeps nothing
  }
}

function show(language) {
  for (const group of document.querySelectorAll(".tabbed")) {
    const examples = [...group.querySelectorAll(".example")];
    const chosen = examples.find((each) => each.dataset.kind === language) ?? examples[0];
    for (const each of examples) {
      each.hidden = each !== chosen;
      const tab = document.getElementById(each.getAttribute("aria-labelledby"));
      tab.setAttribute("aria-selected", String(each === chosen));
      tab.tabIndex = each === chosen ? 0 : -1;
    }
  }
}

function choose(tab) {
  const before = tab.getBoundingClientRect().top;
  show(tab.textContent);
  scrollBy(0, tab.getBoundingClientRect().top - before); // groups above it are longer or shorter
  try {
    localStorage.setItem(LANGUAGE, tab.textContent);
  } catch {
    // then until the page is left
  }
}

function move(event) {
  const tabs = [...event.currentTarget.children];
  const steps = { ArrowRight: 1, ArrowLeft: -1 };
  const here = tabs.indexOf(event.target);
  let next = null;
  if (event.key in steps) {
    next = tabs[(here + steps[event.key] + tabs.length) % tabs.length];
  } else if (event.key === "Home" || event.key === "End") {
    next = event.key === "Home" ? tabs[0] : tabs[tabs.length - 1];
  }
  if (next !== null) {
    event.preventDefault();
    choose(next);
    next.focus();
  }
}

function tabbed(group, number) {
  const list = document.createElement("div");
  list.className = "tabs";
  list.setAttribute("role", "tablist");
  list.setAttribute("aria-label", "Language of the example");
  list.addEventListener("keydown", move);
  for (const example of group.querySelectorAll(".example")) {
    const tab = button(example.dataset.kind, list, choose);
    tab.id = `tab-${number}-${list.children.length}`;
    tab.setAttribute("role", "tab");
    example.id = `${tab.id}-example`;
    tab.setAttribute("aria-controls", example.id);
    example.setAttribute("role", "tabpanel");
    example.setAttribute("aria-labelledby", tab.id);
  }
  group.prepend(list);
  group.classList.add("tabbed");
}

// ----------------------------------------------------------------------------------------- trying

function parsed(command) {
  const url = /https?:\/\/[^\s']+/.exec(command)[0];
  const verb = /-X ([A-Z]+)/.exec(command);
  const body = /-d '([^]*)'$/.exec(command.trim());
  const headers = {};
  for (const [, name, value] of command.matchAll(/-H ["']([\w-]+): ([^"']*)["']/g)) {
    headers[name] = value.replace(/\$[A-Z_]+/, () => KEY.value.trim());
  }
  const path = url.replace(/^https?:\/\/[^/]+/, "");
  return [path, { method: verb ? verb[1] : body ? "POST" : "GET", headers, body: body?.[1] }];
}

// Why a command is not sent; empty if it is.
function refusal(command) {
  const given = KEY.value.trim();
  const prefix = KEY.dataset.prefix;
  if (/-H "X-Api-Key: /i.test(command)) {
    if (given === "") {
      return `Put a sandbox key (${prefix}…) into the field above.`;
    }
    if (!given.startsWith(prefix) || /X-Api-Key: (?!\$)/i.test(command)) {
      return (
        `Not sent: this page sends sandbox keys (${prefix}…) alone. What a live key does is real:` +
        " it takes stock and sells tickets. Copy the command and run it yourself if you mean it."
      );
    }
  } else if (/-H "Authorization: /i.test(command)) {
    if (!(KEY.dataset.offered && ON_THIS_MACHINE)) {
      return (
        "Not sent: whoever has logged in acts on what is real, so this page sends tokens only on a" +
        " demo server of your own machine (make run). Copy the command and run it yourself."
      );
    }
    if (given === "") {
      return "Put an access token into the field above: try the log-in on this page first.";
    }
  }
  return "";
}

function shown(text) {
  let found = text;
  try {
    found = JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    // lines of a stream, or no JSON: as it came
  }
  const left = found.length - MOST_SHOWN;
  return left > 0 ? `${found.slice(0, MOST_SHOWN)}\n… ${left} characters more` : found;
}

// Puts what an answer gives, such as batch_id, into the examples that need it: the first of each. What
// `isAboutOthers` too, as a list is, changes nothing that an earlier answer gave.
function learn(value, examples, isAboutOthers, seen = new Set()) {
  if (value === null || typeof value !== "object") {
    return;
  }
  for (const [name, inner] of Object.entries(value)) {
    if (name === "access_token" && typeof inner === "string" && inner !== "") {
      KEY.value = inner;
    }
    const isWanted = name in examples && !seen.has(name) && !(isAboutOthers && given.has(name));
    if (isWanted && typeof inner === "string" && inner !== "") {
      given.add(name);
      seen.add(name);
      for (const code of document.querySelectorAll('[data-kind="curl"] code')) {
        code.textContent = code.textContent.replaceAll(examples[name], inner);
      }
      examples[name] = inner;
    }
    learn(inner, examples, isAboutOthers, seen);
  }
}

async function tryIt(code, output, examples) {
  const command = code.textContent;
  const why = refusal(command);
  output.classList.toggle("refused", why !== "");
  output.textContent = why || "…";
  if (why !== "") {
    return;
  }
  try {
    const [path, options] = parsed(command);
    const answer = await fetch(path, options);
    const type = answer.headers.get("content-type") ?? "";
    const isText = /json|text|csv|xml/.test(type);
    const text = isText ? await answer.text() : `${(await answer.blob()).size} bytes of ${type}`;
    output.classList.toggle("refused", !answer.ok);
    output.textContent = `HTTP ${answer.status}\n${shown(text)}`;
    if (answer.ok && /^application\/json/.test(type)) {
      const isAboutOthers = options.method === "GET" || /\/orders\/[^/]+\/qr$/.test(path);
      learn(JSON.parse(text), examples, isAboutOthers);
    }
  } catch (error) {
    output.classList.add("refused");
    output.textContent = String(error);
  }
}

function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((each) => each.toString(16).padStart(2, "0")).join("");
}

function canTry(example, code, examples) {
  // of this server, and a request id that nobody has used
  code.textContent = code.textContent
    .replace(/http:\/\/127\.0\.0\.1:8080/, location.origin)
    .replace(/("request_id": ")[^"]*"/, (_, name) => `${name}${newId()}"`);
  const output = document.createElement("output");
  try {
    code.contentEditable = "plaintext-only";
  } catch {
    code.contentEditable = "true"; // browsers that do not know it
  }
  code.spellcheck = false;
  code.setAttribute("role", "textbox");
  code.setAttribute("aria-multiline", "true");
  code.setAttribute("aria-label", "The command, which can be changed before it is tried");
  button("Try it", example, () => tryIt(code, output, examples));
  example.append(output);
}

// -------------------------------------------------------------------------------------------------

const learnt = KEY === null ? {} : JSON.parse(KEY.dataset.examples);
document.querySelectorAll(".examples").forEach(tabbed);
for (const example of document.querySelectorAll(".example")) {
  const code = example.querySelector("code");
  button("Copy", example, (pressed) => copy(code, pressed));
  if (KEY !== null && example.dataset.kind === "curl" && !code.textContent.includes("$SIGNATURE")) {
    canTry(example, code, learnt);
  }
}
show(kept());

// A link into the reference opens what it leads to.
function open() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target instanceof HTMLDetailsElement) {
    target.open = true;
    target.scrollIntoView();
  }
}
addEventListener("hashchange", open);
open();
