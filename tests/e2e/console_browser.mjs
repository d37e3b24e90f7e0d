// Looks at the shift leader's page in a headless Chromium, as somebody would who logs in, and says
// what there is. Standard input: {url, folder, administrator, supervisor, refused}.
import fs from "node:fs";
import path from "node:path";
import chromium from "@sparticuz/chromium";
import puppeteer from "puppeteer-core";

const given = JSON.parse(fs.readFileSync(0, "utf8"));
const browser = await puppeteer.launch({
  executablePath: await chromium.executablePath(),
  args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--lang=en-GB"],
  headless: "shell",
});
const found = { errors: [], requests: [], overflows: [], sideways: [] };

async function opened(options = {}) {
  const context = await browser.createBrowserContext();
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  page.on("pageerror", (error) => found.errors.push(String(error)));
  page.on("console", (line) => {
    if (line.type() === "error" && !line.text().includes("Failed to load resource")) {
      found.errors.push(line.text());
    }
  });
  page.on("request", (request) => found.requests.push(request.url()));
  await page.setViewport(options.viewport ?? { width: 1280, height: 900 });
  await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: options.scheme ?? "light" }]);
  await page.emulateTimezone("America/New_York");  // times are those of the server's zone
  await page.goto(`${given.url}/console/`);
  return page;
}

async function logIn(page, { username, password, terminal = "" }) {
  await page.waitForSelector("#log-in:not([hidden])");
  for (const [id, text] of Object.entries({ username, password, terminal })) {
    await page.$eval(`#${id}`, (field) => { field.value = ""; });
    if (text) await page.type(`#${id}`, text);
  }
  await page.click("#log-in button");
}

async function picture(page, name) {
  await page.screenshot({ path: path.join(given.folder, `${name}.png`), fullPage: true });
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  if (wide > 0) found.overflows.push([name, wide]);
}

/** What does not fit on a telephone, with the longest there is of each text, in both languages, light and dark. */
async function telephone(page, name) {
  for (const scheme of ["light", "dark"]) {
    await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
    for (let turn = 0; turn < 2; turn++) {
      await page.click("#language");
      const language = await page.$eval("html", (each) => each.lang);
      await page.$$eval("details", (all) => all.forEach((each) => { each.open = true; }));
      found.faint.push(...await page.evaluate(contrasts));
      found.sideways.push(...(await page.evaluate(sideways)).map((each) => [name, scheme, language, ...each]));
      await picture(page, `${name}-${scheme}-${language}`);
    }
  }
}

const texts = (page, selector) =>
  page.$$eval(selector, (all) => all.map((each) => each.textContent.trim()));
const said = (page) => page.waitForSelector("#notice:not([hidden])")
  .then((each) => each.evaluate((it) => it.textContent));
const figures = (page) => page.waitForSelector("#figures:not([hidden]) dd");

const page = await opened();
process.on("uncaughtException", async (error) => {  // what it looked like then
  console.error(error, found);
  await page.screenshot({ path: path.join(given.folder, "failed.png") }).catch(() => {});
  await browser.close();
  process.exit(1);
});
await page.waitForSelector("#log-in:not([hidden])");
await picture(page, "log-in");
await logIn(page, { ...given.administrator, password: "wrong" });
found.refused = await said(page);
await logIn(page, given.administrator);
await figures(page);
found.cards = Object.fromEntries((await texts(page, "#cards div")).map((each, at) => [at, each]));
found.cards = await page.$$eval("#cards div", (all) => Object.fromEntries(all.map((each) =>
  [each.querySelector("dt").textContent, each.querySelector("dd").textContent])));
found.sections = await texts(page, "section:not([hidden]) h2");
found.reasons = await texts(page, "#refusals td:nth-child(2)");
found.dead = await texts(page, "#dead td:nth-child(2)");
found.why = await texts(page, "#dead td:nth-child(5)");
found.times = await texts(page, "#refusals td:nth-child(1)");
found.revenue = await page.$$eval("#cards div", (all) => all.filter((each) =>
  each.querySelector("dt").textContent === "Revenue").map((each) => each.querySelector("dd").textContent));
found.broken = await page.$$eval("#cards dd", (all) => all.filter((each) =>
  each.getClientRects().length && each.clientHeight > 2 * parseFloat(getComputedStyle(each).fontSize))
  .map((each) => each.textContent));
found.cookies = await page.evaluate(() => document.cookie);
found.bars = await page.$$eval("#redemption-chart rect", (all) => all.length);
found.unlabelled = await page.$$eval("input, button, svg", (all) => all
  .filter((each) => !each.labels?.length && !each.textContent.trim() && !each.ariaLabel
    && !each.getAttribute("aria-label")).map((each) => each.outerHTML.slice(0, 80)));
await picture(page, "administrator");

// what is behind: the contrast of each text with what it stands on
found.faint = await page.evaluate(contrasts);
await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: "dark" }]);
found.faint.push(...await page.evaluate(contrasts));
await picture(page, "administrator-dark");
await page.click("#language");
found.chinese = await texts(page, "section:not([hidden]) h2");
found.language = await page.$eval("html", (each) => each.lang);
await picture(page, "administrator-dark-chinese");

// it renews itself; and says so when the server does not answer, and when it does again
const before = await page.$eval("#when", (each) => each.textContent);
await page.waitForFunction((was) => document.getElementById("when").textContent !== was, {}, before);
await page.setOfflineMode(true);
found.away = await said(page);
await picture(page, "away");
await page.setOfflineMode(false);
await page.waitForSelector("#notice[hidden]", { timeout: 20_000 });
// the log-in ends elsewhere
await page.deleteCookie(...await page.cookies(`${given.url}/console/`));
found.ended = await said(page);

const phone = await opened({ viewport: { width: 360, height: 740, isMobile: true, hasTouch: true } });
await logIn(phone, given.supervisor);
await figures(phone);
found.supervisor = await texts(phone, "section:not([hidden]) h2");
found.merchants = await texts(phone, "#merchants td:first-child");
await telephone(phone, "supervisor-phone");
await phone.click("#leave");
await phone.waitForSelector("#log-in:not([hidden])");
found.left = (await phone.cookies(`${given.url}/console/`)).length;
await logIn(phone, given.operator);
found.operator = await said(phone);
await logIn(phone, given.administrator);
await figures(phone);
await telephone(phone, "administrator-phone");

await browser.close();
console.log(JSON.stringify(found));

function sideways() {
  const longest = { "#refusals td:nth-child(2)": "FUNCTION_NOT_ALLOWED_HERE", "#refusals td:nth-child(3)":
    "OTA-PARTNERSCODE-20261231-999999", "#refusals td:nth-child(4)": "A-VENUE-OF-THIRTY-TWO-CHARACTERS terminal-0001",
    "#reasons td:first-child": "FUNCTION_NOT_ALLOWED_HERE", ".number": "1,234,567" };
  for (const [selector, text] of Object.entries(longest)) {
    for (const each of document.querySelectorAll(selector)) if (each.tagName === "TD") each.textContent = text;
  }
  const wrong = [];
  for (const each of document.querySelectorAll("body, body *")) {
    const box = each.getBoundingClientRect();
    if (!box.width || each.closest(".skip, .hidden, thead")) continue;
    const over = Math.max(box.right - innerWidth, each.scrollWidth - each.clientWidth);
    const isBox = each.clientWidth > 0 && getComputedStyle(each).overflowX !== "visible";
    if (box.right > innerWidth + 1 || (isBox && each.scrollWidth > each.clientWidth)) {
      wrong.push([each.tagName, each.id || each.className, Math.round(over)]);
    }
  }
  return wrong;
}

function contrasts() {
  const light = (colour) => {
    const [r, g, b] = colour.match(/[\d.]+/g).slice(0, 3).map((each) => each / 255)
      .map((each) => (each <= .04045 ? each / 12.92 : ((each + .055) / 1.055) ** 2.4));
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const ground = (each) => {
    for (let at = each; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if (!/, 0\)$/.test(colour)) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const faint = [];
  for (const each of document.querySelectorAll("h1, h2, p, dt, dd, td, th, button, summary, svg text")) {
    if (!each.textContent.trim() || !each.getClientRects().length) continue;
    const style = getComputedStyle(each);
    const [a, b] = [light(each instanceof SVGElement ? style.fill : style.color), light(ground(each))];
    const contrast = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (contrast < 4.5) faint.push([each.tagName, each.textContent.slice(0, 30), contrast]);
  }
  return faint;
}
