// SES's sending quota, and when it will be used up.
import { count, span, when } from "./format.js";
import { $, hear, put, state, t } from "./page.js";

const unlimitedRate = 800000; // what the relay writes for "no limit"
const smooth = 10 * 60; // statuses that the forecast goes by

const rates = []; // recipients a second, newest last

export function limited(q) { return q.rate > 0 && q.rate < unlimitedRate; }

// forecast says in how many seconds the day is used up at a rate, when nothing
// leaves the window meanwhile: the earliest moment, not the likeliest. null: it
// is not, because a whole day at this rate fits.
export function forecast(max, used, rate) {
  if (rate * 86400 <= max) return null;
  return Math.max(0, (max - used) / rate);
}

function show() {
  const s = state.status;
  if (!s) return;
  const q = s.quota;
  put($("quota-rate"), `${q.used.toFixed(1)} ${t("of")} ${limited(q) ? q.rate.toFixed(1) : q.known || q.full > 0 ? t("unlimited") : t("unknown")}`);
  $("rate-bar").value = limited(q) ? q.used / q.rate : 0;
  put($("quota-day"), `${count(q.day_used)} ${t("of")} ${q.day_max < 0 ? t("unlimited") : q.day_max === 0 ? t("unknown") : count(q.day_max)}`);
  $("day-bar").value = q.day_max > 0 ? q.day_used / q.day_max : 0;
  put($("rate-forecast"), rateText(q));
  put($("day-forecast"), dayText(q));
  $("day-forecast").className = dayKind(q);
}

function rateText(q) {
  const lines = [];
  if (q.spent) lines.push(t("spent"));
  if (q.full > 0 && q.rate < 0.99 * q.full) lines.push(t("throttled"));
  if (q.waiting > 0) lines.push(t("waiting")(q.waiting));
  if (limited(q) && !lines.length) lines.push(t("rateRoom")(Math.max(0, q.rate - q.used)));
  return lines.join(" ");
}

const mean = () => rates.reduce((sum, r) => sum + r, 0) / rates.length;

function dayText(q) {
  if (q.day_max < 0) return t("dayUnlimited");
  if (q.day_max === 0) return t("dayUnknown");
  const rate = mean();
  if (rate < 0.05) return t("dayIdle");
  const left = forecast(q.day_max, q.day_used, rate);
  return left === null ? t("dayNever")(rate) : t("dayOut")(left, when(Date.now() + left * 1000), rate);
}

function dayKind(q) {
  const left = q.day_max > 0 ? forecast(q.day_max, q.day_used, mean()) : null;
  return left === null ? "note" : left < 3600 ? "critical" : left < 6 * 3600 ? "warning" : "note";
}

export function start() {
  hear("status", (s) => {
    rates.push(s.quota.used);
    if (rates.length > smooth) rates.shift();
    show();
  });
  hear("language", show);
}
