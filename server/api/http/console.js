// The shift leader's page: looks every few seconds how things stand, and shows it. It changes nothing.
import { chart, element, table } from "./console_charts.js";
import { TEXTS } from "./console_texts.js";

const REFRESH_MS = 5000;
const SHOWN = 20;
const MOST_MERCHANTS = 5;
const $ = (id) => document.getElementById(id);

let language = kept("language") ?? (navigator.language.startsWith("zh") ? "zh" : "en");
let texts = TEXTS[language];
let shown = null;  // the last figures, to be drawn again in the other language
let timer = 0;
let turn = 0;  // what was asked for before the last change of day or log-in is not shown any more

function kept(name) {
  try { return localStorage.getItem(`console.${name}`); } catch { return null; }
}

function keep(name, value) {
  try { localStorage.setItem(`console.${name}`, value); } catch { /* it is asked again next time */ }
}

const locale = () => (language === "zh" ? "zh-Hans" : "en-GB");
const number = (value) => new Intl.NumberFormat(locale(), { maximumFractionDigits: 1 }).format(value);

function money(minor, currency) {
  const format = new Intl.NumberFormat(locale(), { style: "currency", currency });
  return format.format(Number(minor) / 10 ** format.resolvedOptions().maximumFractionDigits);
}

function clock(moment, zone, parts = { hour: "2-digit", minute: "2-digit", second: "2-digit" }) {
  return new Intl.DateTimeFormat(locale(), { timeZone: zone, hourCycle: "h23", ...parts })
    .format(new Date(moment));
}

function translate() {
  document.documentElement.lang = language === "zh" ? "zh-Hans" : "en";
  document.title = `${texts.title} · DeepTravel Ticketing`;
  for (const each of document.querySelectorAll("[data-text]")) {
    each.textContent = texts[each.dataset.text];
  }
  $("language").textContent = language === "zh" ? "English" : "中文";
  $("language").lang = language === "zh" ? "en" : "zh-Hans";
  if (shown) draw(shown);
}

function notice(words) {
  $("notice").hidden = !words;
  if ($("notice").textContent !== words) $("notice").textContent = words;
}

class Refused extends Error {
  constructor(status, reason) {
    super(reason);
    this.status = status;
    this.reason = reason;
  }
}

async function ask(path, options = {}) {
  const answer = await fetch(`/console/${path}`, { cache: "no-store", ...options });
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Refused(answer.status, body.details?.find((each) => each.reason)?.reason);
  return body;
}

async function look() {
  clearTimeout(timer);
  const mine = ++turn;
  const day = $("day").value;
  const days = day ? `?from_day=${day}` : "";
  try {
    const dashboard = await ask(`read/dashboard${days}`);
    const refused = await refusals(dashboard);
    const dead = dashboard.orders &&
      await ask(`read/dead-tasks?page_size=${SHOWN}`).catch(unlessLoggedOut);
    if (mine !== turn) return;
    shown = { dashboard, refused, dead: dead?.dead_tasks ?? [] };
    show(true);
    notice("");
    draw(shown);
  } catch (error) {
    if (mine !== turn) return;
    if (error instanceof Refused && [401, 403].includes(error.status)) return refuse(error);
    if (error.status === 400) $("day").value = "";  // no day of ours
    notice(away(error));
  }
  timer = setTimeout(() => document.hidden || look(), REFRESH_MS);
}

/** The scans refused last, of the merchants that refused most; one after the other, as few lists of a caller are read at once. */
async function refusals(dashboard) {
  const found = [];
  const refusing = dashboard.merchants.filter((each) => Number(each.redemptions.refused_count))
    .sort((a, b) => b.redemptions.refused_count - a.redemptions.refused_count);
  for (const { merchant_code } of refusing.slice(0, MOST_MERCHANTS)) {
    const page = await ask("read/redemptions?result=REDEMPTION_RESULT_REJECT" +
      `&page_size=${SHOWN}&merchant_code=${encodeURIComponent(merchant_code)}`).catch(unlessLoggedOut);
    found.push(...(page?.redemptions ?? []));
  }
  return found.sort((a, b) => (a.redeemed_at < b.redeemed_at ? 1 : -1)).slice(0, SHOWN);
}

/** An account may see the figures and not the lists: then these are empty. */
function unlessLoggedOut(error) {
  if (error instanceof Refused && error.status === 403) return null;
  throw error;
}

function away(error) {
  if (error.reason === "SERVER_BUSY") return texts.errors.SERVER_BUSY;
  if (error.reason && error.status < 500) return texts.errors.other(error.reason);
  if (!shown) return texts.errors.awayAtOnce;
  return texts.errors.away(clock(shown.dashboard.figures_time, shown.dashboard.time_zone));
}

function refuse(error) {
  const was = shown !== null;
  show(false);
  const words = texts.errors[error.reason];
  if (error.status === 401) notice(was ? texts.errors.loggedOut : "");
  else notice(typeof words === "string" ? words : texts.errors.other(error.reason));
}

function show(isIn) {
  if (!isIn) shown = null;
  const hadFocus = $("log-in").contains(document.activeElement);
  $("log-in").hidden = isIn;
  for (const id of ["figures", "leave", "day"]) $(id).hidden = !isIn;
  if (!isIn) $("when").textContent = "";
  if (isIn && hadFocus) $("content").focus();
}

function put(id, ...content) {
  // what is open or in focus stays so
  const open = $(id).querySelector("details")?.open ?? false;
  $(id).replaceChildren(...content);
  const details = $(id).querySelector("details");
  if (details) details.open = open;
}

const nothing = () => element("p", { class: "none" }, texts.none);
const listed = (columns, rows) => (rows.length ? table(columns, rows) : nothing());

function draw({ dashboard, refused, dead }) {
  const zone = dashboard.time_zone, of = dashboard.redemptions;
  const isHouse = Boolean(dashboard.orders);
  for (const each of document.querySelectorAll("[data-house]")) each.hidden = !isHouse;
  $("when").textContent = `${clock(dashboard.begin_time, zone, { dateStyle: "full" })} · ` +
    texts.updated(clock(dashboard.figures_time, zone));
  const cards = [[texts.admitted, number(of.admitted_count)], [texts.uses, number(of.admitted_uses)],
    [texts.refused, number(of.refused_count), "bad"], [texts.reversed, number(of.reversed_count)]];
  if (isHouse) {
    const orders = dashboard.orders;
    cards.unshift([texts.paid, number(orders.paid_count)], [texts.tickets, number(orders.ticket_count)]);
    cards.push([texts.made, number(orders.made_count)], [texts.cancelled, number(orders.cancelled_count)]);
    for (const each of dashboard.revenue) {
      cards.unshift([texts.revenue, money(each.net_minor, each.currency_code)]);
      cards.push([texts.refunds, money(each.refunded_minor, each.currency_code)]);
    }
  }
  put("cards", ...cards.map(([title, value, kind = ""]) =>
    element("div", {}, element("dt", {}, title), element("dd", { class: kind }, value))));
  drawCharts(dashboard, zone, isHouse);
  put("reasons", listed([[texts.reason], [texts.count, true]],
    dashboard.refusals.map((each) => [each.reason, number(each.count)])));
  put("merchants", listed(
    [[texts.merchant], [texts.admitted, true], [texts.refused, true], [texts.reversed, true]],
    dashboard.merchants.map(({ merchant_code, redemptions: each }) => [merchant_code,
      number(each.admitted_count), number(each.refused_count), number(each.reversed_count)])));
  put("refusals", listed([[texts.time], [texts.reason], [texts.ticket], [texts.venue]],
    refused.map((each) => [clock(each.redeemed_at, zone), each.reason,
      each.ticket_code || texts.unknownTicket, `${each.venue_code} ${each.terminal_device_id}`])));
  if (isHouse) drawHouse(dashboard, dead, zone);
}

function drawCharts(dashboard, zone, isHouse) {
  const isDaily = dashboard.periods.length > 1 && new Date(dashboard.periods[0].end_time) -
    new Date(dashboard.periods[0].begin_time) > 2 * 3600e3;
  const parts = isDaily ? { month: "numeric", day: "numeric" } : { hour: "2-digit", minute: "2-digit" };
  const labels = dashboard.periods.map((each) => clock(each.begin_time, zone, parts));
  const values = (pick) => dashboard.periods.map((each) => Number(pick(each)));
  put("redemption-chart", ...chart(texts.redemptions, labels, [
    [texts.admitted, "good", "key-good", values((each) => each.redemptions.admitted_count)],
    [texts.refused, "bad-bar", "key-bad", values((each) => each.redemptions.refused_count)],
  ], texts, number));
  if (!isHouse) return;
  put("order-chart", ...chart(texts.orders, labels, [
    [texts.paid, "plain", "key-plain", values((each) => each.orders.paid_count)],
  ], texts, number));
}

function drawHouse(dashboard, dead, zone) {
  const day = { month: "numeric", day: "numeric", hour: "2-digit", minute: "2-digit" };
  put("dead", listed([[texts.time], [texts.kind], [texts.key], [texts.tried, true], [texts.error]],
    dead.map((each) => [clock(each.give_up_time, zone, day), each.kind, each.key,
      number(each.attempts), each.last_error])));
  put("queues", listed([[texts.kind], [texts.waits, true], [texts.oldest, true], [texts.dead, true]],
    dashboard.queues.map((each) => [each.kind, number(each.open_count),
      texts.seconds(number(each.oldest_wait_seconds)), number(each.dead_count)])));
  const states = [["ticketsIn", dashboard.ticket_states], ["ordersIn", dashboard.order_states]];
  const rows = states.flatMap(([noun, found]) => found.filter((each) => Number(each.count))
    .map((each) => [texts[noun], each.state, number(each.count)]));
  put("states", listed([[""], [texts.state], [texts.count, true]], rows),
    ...(dashboard.states_time
      ? [element("p", { class: "note" }, texts.countedAt(clock(dashboard.states_time, zone)))] : []));
  put("jobs", listed([[texts.job], [texts.lastRun]],
    dashboard.jobs.map((each) => [each.job_name, clock(each.run_time, zone, day)])));
}

$("log-in").addEventListener("submit", async (event) => {
  event.preventDefault();
  const given = Object.fromEntries(new FormData($("log-in")));
  try {
    await ask("session", { method: "POST", body: JSON.stringify(given),
      headers: { "content-type": "application/json" } });
    $("password").value = $("code").value = "";
    await look();
  } catch (error) {
    const words = error instanceof Refused ? texts.errors[error.reason] : texts.errors.awayAtOnce;
    notice(typeof words === "string" ? words : texts.errors.other(error.reason ?? error.status));
    $("password").focus();
  }
});

$("leave").addEventListener("click", async () => {
  clearTimeout(timer);
  turn++;
  await ask("session", { method: "DELETE" }).catch(() => {});
  show(false);
  notice("");
});

$("language").addEventListener("click", () => {
  language = language === "zh" ? "en" : "zh";
  texts = TEXTS[language];
  keep("language", language);
  translate();
});

$("day").addEventListener("change", look);
document.addEventListener("visibilitychange", () => { if (!document.hidden && shown) look(); });

translate();
show(false);
$("log-in").hidden = true;  // until it is known whether somebody is logged in
look();
