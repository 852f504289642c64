// Live charts, drawn with uPlot (uplot/). They keep what they have across a
// restart of the relay: a time without figures is a gap.
import { clock, minute } from "./format.js";
import { limited } from "./quota.js";
import { $, element, hear, state, t } from "./page.js";

const most = 3600; // points: an hour at one a second
const height = 170; // pixels
const least = 60; // seconds that a chart shows at least
const silent = 5; // seconds without a status before the line breaks

// Each series: where it comes from. A value of null is a gap.
const hop = (s, name) => s.upstreams.find((u) => u.name === name) || {};
const series = {
  sesRate: (s) => hop(s, "ses").rate, cueRate: (s) => hop(s, "cuenote").rate,
  sesSuccess: (s) => hop(s, "ses").success, cueSuccess: (s) => hop(s, "cuenote").success,
  ses50: (s) => hop(s, "ses").p50_ms, cue50: (s) => hop(s, "cuenote").p50_ms, ses99: (s) => hop(s, "ses").p99_ms, cue99: (s) => hop(s, "cuenote").p99_ms,
  delay: () => state.rollout?.guard.criteria.find((c) => c.name === "delay")?.value,
  used: (s) => s.quota.used, limit: (s) => limited(s.quota) ? s.quota.rate : null,
  day: (s) => s.quota.day_used, dayLimit: (s) => s.quota.day_max > 0 ? s.quota.day_max : null,
};
const line = (key, label, color, dash) => ({ key, label, color, dash });
const charts = [
  { id: "rate", title: "chartRate", box: "charts", lines: [line("sesRate", "SES", "--ses"), line("cueRate", "Cuenote", "--cuenote")] },
  { id: "success", title: "chartSuccess", box: "charts", lines: [line("sesSuccess", "SES", "--ses"), line("cueSuccess", "Cuenote", "--cuenote")], top: 100 },
  { id: "latency", title: "chartLatency", box: "charts", lines: [line("ses50", "SES p50", "--ses"), line("ses99", "SES p99", "--ses", true), line("cue50", "Cuenote p50", "--cuenote"), line("cue99", "Cuenote p99", "--cuenote", true)] },
  { id: "delay", title: "chartDelay", box: "charts", lines: [line("delay", "SES", "--ses")], optional: true },
  { id: "quota-rate", title: "chartQuotaRate", box: "quota-charts", lines: [line("used", "used", "--ses"), line("limit", "limitLine", "--limit", true)] },
  { id: "quota-day", title: "chartQuotaDay", box: "quota-charts", lines: [line("day", "used", "--ses"), line("dayLimit", "limitLine", "--limit", true)] },
];

const times = [];
const values = Object.fromEntries(Object.keys(series).map((k) => [k, []]));
const plots = {};

function add(s) {
  const now = Date.now() / 1000;
  if (times.length && now - times.at(-1) < 0.5) return; // a change told at once
  if (times.length && now - times.at(-1) > silent) point(times.at(-1) + 1, () => null);
  point(now, (key) => series[key](s));
  draw();
}

function point(time, value) {
  times.push(time);
  for (const key of Object.keys(series)) values[key].push(value(key) ?? null);
  if (times.length > most) [times, ...Object.values(values)].forEach((list) => list.shift());
}

function draw() {
  if (document.hidden || typeof uPlot === "undefined") return;
  const width = Number($("span").value), now = times.at(-1) ?? Date.now() / 1000;
  for (const c of charts) {
    const wanted = !c.optional || c.lines.some((l) => values[l.key].some((v) => v !== null));
    if (wanted && !plots[c.id]) plots[c.id] = make(c);
    if (!plots[c.id]) continue;
    plots[c.id].setData([times, ...c.lines.map((l) => values[l.key])], false);
    plots[c.id].setScale("x", { min: Math.max(now - width, Math.min(times[0] ?? now, now - least)), max: now });
    if (plots[c.id].cursor.left < 0) plots[c.id].setLegend({ idx: times.length - 1 }); // nobody points: the newest
    describe(c);
  }
}

// describe says the newest values to who cannot see the lines.
function describe(c) {
  const text = c.lines.map((l) => `${labelOf(l)} ${short(values[l.key].at(-1))}`).join(", ");
  const area = plots[c.id].root.parentElement;
  area.dataset.points = times.length;
  area.setAttribute("aria-label", `${t(c.title)}: ${text}`);
}

const labelOf = (l) => typeof t(l.label) === "string" ? t(l.label) : l.label;
const short = (v) => v === null || v === undefined ? "–" : v >= 1000 ? Math.round(v).toLocaleString(document.documentElement.lang) : String(Math.round(v * 100) / 100);
const brief = (v) => v < 10000 ? short(v) : new Intl.NumberFormat(document.documentElement.lang, { notation: "compact" }).format(v);
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function make(c) {
  const box = document.createElement("figure");
  box.append(element("figcaption", t(c.title)));
  const area = element("div", "", "plot");
  area.setAttribute("role", "img");
  box.append(area);
  $(c.box).append(box);
  const axis = { stroke: css("--text"), grid: { stroke: css("--line"), width: 1 }, ticks: { stroke: css("--line"), width: 1 } };
  return new uPlot({
    width: Math.max(160, area.clientWidth), height, cursor: { sync: { key: "relay" }, drag: { x: false, y: false } }, legend: { live: true },
    scales: { x: { time: true, auto: false }, y: { range: (u, min, max) => range(c, min, max) } },
    axes: [{ ...axis, space: 60, values: (u, list, axis, space, step) => list.map((v) => (step < 60 ? clock : minute)(new Date(v * 1000))) }, { ...axis, size: 56, values: (u, list) => list.map(brief) }],
    series: [{ label: t("atTime"), value: (u, v) => v === null ? "–" : clock(new Date(v * 1000)) },
      ...c.lines.map((l) => ({ label: labelOf(l), stroke: css(l.color), width: 2, dash: l.dash ? [6, 4] : undefined, points: { show: false }, spanGaps: false, value: (u, v) => short(v) }))],
  }, [times, ...c.lines.map((l) => values[l.key])], area);
}

// range begins at 0, or shows the top of a percentage from 5 points below its
// lowest value on.
function range(c, min, max) {
  if (min === null || max === null) return [0, c.top || 1];
  if (c.top) return [Math.max(0, Math.min(min - 1, 95)), c.top];
  return [0, Math.max(max * 1.1, 1)];
}

// again makes the charts anew: another language, other colours, another width.
function again() {
  for (const id of Object.keys(plots)) { plots[id].destroy(); delete plots[id]; }
  for (const id of ["charts", "quota-charts"]) $(id).replaceChildren();
  draw();
  resize(); // the first of a row was made while it had the row for itself
}

function resize() {
  for (const p of Object.values(plots)) p.setSize({ width: Math.max(160, p.root.parentElement.clientWidth), height });
}

export function start() {
  if (typeof uPlot === "undefined") {
    $("charts-none").hidden = false;
    return;
  }
  hear("status", add);
  hear("language", again);
  $("span").addEventListener("change", draw);
  document.addEventListener("visibilitychange", draw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
  new ResizeObserver(resize).observe($("charts"));
}
