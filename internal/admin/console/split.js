// The three percentages, and why they differ.
import { count, percent } from "./format.js";
import { $, hear, named, put, row, state, t } from "./page.js";
import { said } from "./texts.js";

const reach = 5 * 60000; // milliseconds that eligible and effective cover

// Reasons that stand before the draw: their mail would have gone to SES only in
// the share that is applied. The others took mail that was meant for SES.
const beforeDraw = ["null_sender", "smtputf8", "local_part", "identity", "domain", "rule"];

function show() {
  const s = state.status;
  if (!s) return;
  const sp = s.split;
  put($("requested"), percent(sp.requested));
  put($("applied"), percent(sp.applied));
  put($("eligible"), percent(sp.eligible));
  put($("effective"), percent(sp.effective));
  $("applied").className = sp.applied < sp.requested ? "warning" : "";
  width("funnel-requested", sp.requested);
  width("funnel-eligible", sp.eligible);
  width("funnel-effective", sp.effective);
  put($("changed"), t("changed")({ ...sp, reason: said(sp.reason) }));
  difference(sp, s.reasons);
}

// width sets a style through the DOM, which the content security policy permits.
function width(id, p) { $(id).style.width = Math.min(100, p || 0) + "%"; }

function difference(sp, reasons) {
  const all = reasons.reduce((sum, r) => sum + r.messages, 0);
  put($("difference"), sentence(sp, all));
  put($("settling"), all ? settling(sp, new Date(state.status.now)) : "");
  $("reasons").replaceChildren();
  for (const r of reasons) {
    row($("reasons"), [[named("reasons", r.reason), "text"], [r.upstream, r.upstream], [count(r.messages), "n"], [percent(100 * r.messages / all), "n"], [effect(r, all, sp.applied), "n"]]);
  }
}

function sentence(sp, all) {
  if (all === 0) return t("noMail");
  if (sp.effective === null) return t("noneAccepted")(all);
  const d = sp.effective - sp.requested;
  const text = Math.abs(d) < chance(sp.requested, all) ? t("noDifference")(sp.requested, sp.effective) : t("differs")(sp.requested, sp.effective, d);
  return text + (sp.applied < sp.requested ? " " + t("brakeTakes")(sp.requested, sp.applied) : "");
}

// settling says that the window reaches back before the last change: whoever has
// just pulled the brake must not read the old share as the new one.
function settling(sp, now) {
  const last = Math.max(sp.version > 0 ? new Date(sp.changed_at) : 0, sp.brake ? new Date(sp.brake.at) : 0);
  return now - last < reach ? t("settling")(last, last + reach) : "";
}

// chance is how far an even draw lies from its percentage, three deviations.
function chance(p, n) { return Math.max(0.01, 300 * Math.sqrt(p / 100 * (1 - p / 100) / n)); }

// effect is how many points of SES's share a reason takes or adds, about.
function effect(r, all, applied) {
  const share = 100 * r.messages / all;
  if (r.reason === "split") return "";
  const points = r.upstream === "ses" ? (r.reason === "rule" ? share * (1 - applied / 100) : share) : beforeDraw.includes(r.reason) ? -share * applied / 100 : -share;
  return Math.abs(points) < 0.005 ? "0" : (points > 0 ? "+" : "−") + Math.abs(points).toFixed(2);
}

export function start() {
  hear("status", show);
  hear("language", show);
}
