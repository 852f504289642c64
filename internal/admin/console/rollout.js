// The rollout: its steps, what gate and guard see against their limits, and the
// orders. It is asked for every few seconds; it is not in the event stream.
import { call, say } from "./api.js";
import { dayNow, effectLines } from "./change.js";
import { confirm } from "./dialog.js";
import { count, goSpan, percent, span, when } from "./format.js";
import { $, element, hear, mayChange, named, put, row, state, t, tell } from "./page.js";
import { original, said } from "./texts.js";

const every = 2000, seldom = 30000; // milliseconds; seldom: there is none

// orders says in which phases an order makes sense. Abort always does.
const orders = {
  start: ["idle", "aborted", "completed", "rolled_back"], pause: ["running", "gating"],
  resume: ["paused", "held", "rolled_back"], promote: ["running", "gating", "paused"], abort: null,
};

let trouble = null; // the problem of the last question; null: it was answered
let timer;

async function look() {
  clearTimeout(timer);
  let next = every;
  try {
    state.rollout = await call("GET", "/v1/rollout");
    trouble = null;
    tell("rollout", state.rollout);
  } catch (p) {
    trouble = p;
    if (none()) { state.rollout = null; next = seldom; }
  }
  show();
  timer = setTimeout(look, next);
}

// none: this relay was built or configured without one.
const none = () => trouble && (trouble.status === 404 || trouble.status === 501);

function show() {
  const v = state.rollout;
  $("rollout-none").hidden = !trouble;
  put($("rollout-none"), none() ? t("noRollout") : trouble ? t("rolloutLost")(say(trouble)) : "");
  $("rollout-none").className = none() ? "note" : "warning";
  $("rollout-body").hidden = !v;
  $("phase").hidden = !v;
  if (!v) return;
  badge("phase", named("phases", v.phase), { rolled_back: "critical", held: "warning", aborted: "warning", running: "good", completed: "good", gating: "warning", paused: "warning" }[v.phase] || "");
  put($("rollout-text"), t("phaseText")[v.phase] ? t("phaseText")[v.phase](v) : v.phase);
  $("hold").hidden = !v.hold;
  put($("hold"), v.hold ? `${when(v.hold.at)} ${v.hold.by}: ${said(v.hold.reason)}` : "");
  $("steps").replaceChildren(...v.steps.map(step));
  showOrders(v);
  judged("gate", v.gate, "verdicts");
  $("gate-reasons").replaceChildren(...(v.step < 0 ? [t("noStep")] : v.gate.reasons).map((r) => original(element("li", said(r)), r)));
  $("gate-verdict").hidden = v.step < 0;
  judged("guard", v.guard, "guardVerdicts");
  badge("guard-verdict", guardState(v.guard), !v.guard.armed ? "warning" : v.guard.verdict === "rollback" ? "critical" : "good");
  put($("trips"), t("trips")(v.guard.trips, v.guard.last_trip && { ...v.guard.last_trip, text: said(v.guard.last_trip.text) }));
  $("decisions").replaceChildren();
  for (const d of v.decisions.slice(0, 20)) {
    row($("decisions"), [[when(d.at)], [named("actions", d.action)], [`${percent(d.from)} → ${percent(d.to)}`, "n"], [d.who, "who"], [original(element("span", said(d.reason)), d.reason), "text"]]);
  }
}

export function guardState(g) { return t("guardStates")[!g.armed ? "off" : g.blind_to_delivery ? "blind" : "armed"]; }

function badge(id, text, kind) {
  put($(id), text);
  $(id).className = "badge " + kind;
}

function step(s) {
  const li = element("li", s.set_percent !== null ? percent(s.set_percent) : t("pauseOf")(goSpan(s.pause)), s.state + (s.set_percent === null ? " wait" : ""));
  li.append(element("small", t("stepStates")[s.state] || s.state));
  if (s.state === "current") li.setAttribute("aria-current", "step");
  return li;
}

function showOrders(v) {
  document.querySelectorAll("[data-order]").forEach((b) => {
    const phases = orders[b.dataset.order];
    b.disabled = !mayChange() || phases !== null && !phases.includes(v.phase);
  });
}

// judged shows one judge's table. What holds a gate is no more than a guard that
// has too few messages for a verdict: each has words of its own.
function judged(id, j, verdicts) {
  badge(id + "-verdict", named(verdicts, j.verdict), kind(j.verdict));
  $(id).replaceChildren();
  for (const c of j.criteria) {
    row($(id), [[named("criteria", c.name)], [figure(c.value, c.unit), "n " + kind(c.verdict)], [`${t(rises(c.name) ? "rising" : "falling")} ${figure(c.limit, c.unit)}`, "n"],
      [count(c.sample), "n spare"], [named(verdicts, c.verdict), kind(c.verdict)]]).title = said(c.text);
  }
}

const kind = (verdict) => ({ pass: "good", hold: "warning", rollback: "critical" })[verdict] || "";
const rises = (name) => name === "acceptance" || name === "success"; // the limit is the least
const figure = (v, unit) => v === null ? "–" : unit === "seconds" ? (v < 10 ? v.toFixed(1) + " s" : span(v)) : percent(v);

// ask confirms an order, with what it does to the share.
function ask(action) {
  const v = state.rollout, now = state.status.split;
  const to = { start: share(v, -1), promote: share(v, v.step), abort: 0 }[action];
  const lines = [t("orderEffect")[action]];
  if (action === "promote" && to === undefined) lines.push(t("completes"));
  else if (to !== undefined) lines.push(...effectLines(now.applied, to, dayNow(), null));
  const waits = action === "promote" && v.gate.verdict !== "pass";
  confirm({
    title: t("orderTitle")[action], lines, bad: waits ? [t("gateNow")(v.gate.reasons.map(said).join("; "))] : [], ok: t("orderDo")[action],
    reason: action === "abort" || action === "pause" ? "optional" : true, force: ["start", "resume", "promote"].includes(action) ? t("forceOrder") : "", stop: action === "abort",
    run: async ({ reason, force }) => {
      state.rollout = await call("POST", "/v1/rollout/" + action, { reason: reason || "console", force });
      trouble = null;
      $("rollout-result").className = "good";
      put($("rollout-result"), t("ordered")(state.rollout));
      show();
    },
  });
}

// share is the first one after a step; undefined when there is none.
function share(v, after) {
  const s = v.steps.slice(after + 1).find((x) => x.set_percent !== null);
  return s && s.set_percent;
}

export function start() {
  document.querySelectorAll("[data-order]").forEach((b) => b.addEventListener("click", () => ask(b.dataset.order)));
  for (const event of ["caller", "language"]) hear(event, show);
  hear("link", (to) => { if (to === "live" || to === "polling") look(); });
  hear("split", look);
}
