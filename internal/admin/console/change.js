// Changing the split: slider and number, the plan before, the confirmation, and
// the release of the brake.
import { call, say } from "./api.js";
import { confirm } from "./dialog.js";
import { count, percent } from "./format.js";
import { $, element, hear, mayChange, put, state, t, tell } from "./page.js";
import { said } from "./texts.js";

const pause = 250; // milliseconds after the last key before a plan is asked for
const again = 10000; // and then again, for the traffic is measured

let touched = false; // the operator has chosen a percentage
let plan = null; // of the percentage that stands in the field
let timer;

// perDay is the volume of a day: of the plan, else reckoned from the last minute.
export function perDay(traffic) {
  if (traffic && traffic.per_day > 0) return { messages: traffic.per_day, basis: "configured" };
  const rate = state.status ? state.status.upstreams.reduce((sum, u) => sum + u.rate, 0) : 0;
  return rate > 0 ? { messages: rate * 86400, basis: "rate" } : { messages: null, basis: "none" };
}

// dayNow is the volume by the newest plan, of whatever share it is.
export const dayNow = () => perDay(plan && plan.traffic);

const askPlan = (p) => call("GET", "/v1/split/plan?percent=" + encodeURIComponent(p));

function chosen(from, to) {
  touched = true;
  $(to).value = $(from).value;
  clearTimeout(timer);
  timer = setTimeout(() => look("polite"), pause);
}

// look shows the plan of what stands in the field. It is read aloud only when
// the operator has just chosen.
async function look(aloud = "off") {
  clearTimeout(timer);
  timer = setTimeout(look, again);
  $("outlook").setAttribute("aria-live", aloud);
  const wanted = $("percent").value.trim();
  if (wanted === "" || !$("percent").checkValidity()) {
    plan = null;
    return $("outlook").replaceChildren();
  }
  let answer;
  try { answer = await askPlan(wanted); } catch (p) {
    plan = null;
    return $("outlook").replaceChildren(element("p", t("noPlan")(say(p)), "warning"));
  }
  if ($("percent").value.trim() !== wanted) return; // an answer that came late
  plan = answer;
  draw();
}

function draw() {
  if (!plan) return;
  const day = perDay(plan.traffic), list = document.createElement("ul");
  list.append(...needs(plan, day).map((n) => element("li", t("needs")(t(n.what), neededText(n), allowedText(n)), n.short ? "critical" : "")));
  $("outlook").replaceChildren(element("p", t("outlook")(plan.percent, day.messages === null ? null : day.messages * plan.percent / 100, day.basis)), list, verdict(plan));
}

// needs is what each limit has to carry. What nobody has measured is not 0:
// needed and allowed are null then. A day that is only reckoned from the last
// minute is said to be so. short is what the relay, or that reckoning, finds
// too little.
export function needs(p, day) {
  const share = p.percent / 100, c = p.capacity;
  const row = (what, of, known, needed, allowed) => ({ what, needed: known ? needed : null, allowed, reckoned: false, short: p.missing.some((m) => m.of === of) });
  const peak = p.traffic.peak_per_minute > 0, whole = p.traffic.per_day > 0;
  const rows = [row("sesRate", "ses_rate", share === 0 || peak, p.ses_rate_needed, c.ses_rate || null),
    row("sesDay", "ses_day", share === 0 || whole, p.ses_day_needed, c.ses_day < 0 ? Infinity : c.ses_day || null),
    row("cuenoteRate", "cuenote_rate", share === 1 || peak, p.cuenote_rate_needed, c.cuenote_rate || Infinity)];
  if (rows[1].needed === null && day.basis === "rate") {
    const needed = day.messages * share * Math.max(1, p.traffic.recipients_per_message);
    Object.assign(rows[1], { needed, reckoned: true, short: rows[1].short || c.ses_day > 0 && needed > c.ses_day });
  }
  return rows;
}

const neededText = (n) => n.needed === null ? t("needUnknown") : n.reckoned ? t("reckoned")(count(n.needed)) : t("needed")(count(n.needed));
const allowedText = (n) => n.allowed === null ? t("allowedUnknown") : n.allowed === Infinity ? t(n.what === "cuenoteRate" ? "noLimitSet" : "unlimited") : t("available")(count(n.allowed));

// verdict says what the plan comes to. Nothing is promised that nobody knows.
function verdict(p) {
  if (p.missing.length) return element("p", t("lacks") + " " + p.missing.map((m) => said(m.text)).join("; "), "critical");
  const open = unknowns(p);
  return open.length ? element("p", t("notKnown") + " " + open.join("; "), "warning") : element("p", fits(p), "good");
}

// unknowns are those of the API. It has none for 0 %, where SES needs
// nothing and nobody knows of Cuenote.
function unknowns(p) {
  const unknown = p.unknown.map(said);
  return p.percent === 0 && !(p.traffic.peak_per_minute > 0) ? [...unknown, t("cuenoteUnknown")] : unknown;
}

const fits = (p) => p.capacity.cuenote_rate > 0 ? t("fits") : t("fitsSES");

async function ask(e) {
  e.preventDefault();
  const wanted = Number($("percent").value), now = state.status.split, reason = $("why").value.trim();
  if (!reason) return result("critical", t("reasonNeeded"));
  let p = null, bad = [];
  try {
    p = await askPlan(wanted);
    const sesDay = needs(p, perDay(p.traffic))[1];
    bad = [...sesDay.reckoned && sesDay.short ? [t("dayShort")(sesDay.needed, sesDay.allowed)] : [], ...p.missing.map((m) => said(m.text)), ...unknowns(p)];
    if (!bad.length) bad = [fits(p)];
  } catch (problem) {
    if (wanted > now.requested) return result("critical", t("noPlan")(say(problem)) + " " + t("planFirst"));
    bad = [t("noPlan")(say(problem)) + " " + t("lowering")];
  }
  result("", "");
  const day = perDay(p && p.traffic);
  confirm({
    title: t("changeTitle")(wanted), lines: [...effectLines(now.requested, wanted, day, now.brake), `${t("why")}: ${reason}`], bad,
    ok: t("applyDo")(wanted, day.messages === null ? null : day.messages * wanted / 100),
    force: p && !p.ses_fits && wanted > now.requested ? t("force") : "",
    run: async ({ force }) => {
      inForce(await call("PUT", "/v1/split", { ses_percent: wanted, reason, force }, { "If-Match": `"${now.version}"` }));
      touched = false;
      $("why").value = "";
    },
  });
}

// effectLines names the effect in messages a day.
export function effectLines(from, to, day, brake) {
  const lines = [t("effect")(from, to)];
  if (day.messages !== null) lines.push(t("effectDay")(day.messages * from / 100, day.messages * to / 100, day.messages));
  lines.push(t("basis")[day.basis]);
  if (brake) lines.push(t("underBrake"));
  return lines;
}

function askRelease() {
  const now = state.status.split;
  const day = dayNow();
  confirm({
    title: t("releaseTitle"), lines: effectLines(now.applied, now.requested, day, null), ok: t("releaseDo"), reason: true,
    run: async ({ reason }) => inForce(await call("DELETE", "/v1/brake", { reason, brakes: now.brakes }, { "If-Match": `"${now.version}"` })),
  });
}

// inForce says what a change has done, and tells the others.
function inForce(s) {
  result(s.unsaved || s.warning ? "critical" : "good", t("done")(s) + (s.unsaved ? " " + t("unsaved") : "") + (s.warning ? " " + s.warning : ""));
  tell("split", s);
}

function result(kind, text) {
  $("result").className = kind;
  put($("result"), text);
}

function show() {
  const s = state.status;
  $("may-look").hidden = mayChange();
  for (const id of ["slider", "percent", "why", "plan", "release"]) $(id).disabled = !mayChange() || !s;
  if (!s) return;
  $("braked").hidden = !s.split.brake;
  put($("brake-state"), s.split.brake ? t("brakeOn")({ ...s.split.brake, reason: said(s.split.brake.reason) }) : "");
  if (!touched && document.activeElement !== $("percent") && document.activeElement !== $("slider")) {
    const before = $("percent").value;
    $("percent").value = $("slider").value = s.split.requested;
    if (before !== $("percent").value) look(); // the plan of what is in force, too
  }
}

export function start() {
  $("slider").addEventListener("input", () => chosen("slider", "percent"));
  $("percent").addEventListener("input", () => chosen("percent", "slider"));
  $("change").addEventListener("submit", ask);
  $("release").addEventListener("click", askRelease);
  for (const event of ["status", "caller", "language"]) hear(event, show);
  hear("language", draw);
}
