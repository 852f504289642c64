// Changing the split: slider and number, the plan before, the confirmation, and
// the release of the brake.
import { call, say } from "./api.js";
import { confirm } from "./dialog.js";
import { count, percent } from "./format.js";
import { $, element, hear, mayChange, put, state, t, tell } from "./page.js";

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
  const { messages } = perDay(plan.traffic);
  const c = plan.capacity;
  const needs = (what, needed, allowed, unlimited) => element("li", t("needs")(t(what), count(needed), unlimited ? t("unlimited") : allowed ? count(allowed) : t("unknown")), plan.missing.some((m) => m.of === what.replace(/[A-Z]/, (x) => "_" + x.toLowerCase())) ? "critical" : "");
  const list = document.createElement("ul");
  list.append(needs("sesRate", plan.ses_rate_needed, c.ses_rate, false), needs("sesDay", plan.ses_day_needed, c.ses_day, c.ses_day < 0), needs("cuenoteRate", plan.cuenote_rate_needed, c.cuenote_rate, c.cuenote_rate === 0));
  $("outlook").replaceChildren(element("p", t("outlook")(plan.percent, messages === null ? null : messages * plan.percent / 100)), list,
    plan.missing.length ? element("p", t("lacks") + " " + plan.missing.map((m) => m.text).join("; "), "warning") : element("p", plan.unknown.length ? plan.unknown.join("; ") : t("fits"), plan.unknown.length ? "note" : "good"));
}

async function ask(e) {
  e.preventDefault();
  const wanted = Number($("percent").value), now = state.status.split, reason = $("why").value.trim();
  if (!reason) return result("critical", t("reasonNeeded"));
  let p = null, bad = [];
  try {
    p = await askPlan(wanted);
    bad = [...p.missing.map((m) => m.text), ...p.unknown];
    if (!bad.length) bad = [t("fits")];
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
  const day = perDay(plan && plan.traffic);
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
  $("release").hidden = !s.split.brake;
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
