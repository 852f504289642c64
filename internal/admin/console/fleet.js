// Alarms, next hops, instances and states.
import { clock, count, ms, percent, when } from "./format.js";
import { $, element, hear, put, row, state, t } from "./page.js";
import { guardState } from "./rollout.js";
import { original, said } from "./texts.js";

function show() {
  const s = state.status;
  if (!s) return;
  put($("instance"), s.instance + " " + s.version);
  alarms(s);
  hops(s.upstreams);
  instances(s.split, s.instance);
  states(s);
}

// alarms are the relay's. Without a connection nobody knows whether there are
// more, and "no alarms" would be a lie.
function alarms(s) {
  const lost = state.link === "lost";
  const all = lost ? [{ level: "critical", text: t("lostAlarm")(clock(new Date(s.now))) }, ...s.alarms] : s.alarms.length ? s.alarms : [{ level: "quiet", text: t("calm") }];
  const text = JSON.stringify([document.documentElement.lang, all.map((a) => [a.level, a.text])]);
  if ($("alarms").dataset.text === text) return; // a screen reader says it once
  $("alarms").dataset.text = text;
  $("alarms").replaceChildren(...all.map((a) => {
    const p = element("p", "", a.level);
    p.append(element("b", t(a.level) || a.level), " ", said(a.text), " ", element("small", a.since ? when(a.since) : ""));
    return original(p, a.text);
  }));
}

function hops(list) {
  $("upstreams").replaceChildren();
  for (const u of list) {
    const bad = u.success !== null && u.success < 95, open = u.breaker !== "closed";
    row($("upstreams"), [[u.name, u.name], [u.rate.toFixed(1), "n"], [percent(u.success), "n" + (bad ? " critical" : "")], [ms(u.p50_ms), "n spare"], [ms(u.p99_ms), "n"],
      [count(u.in_flight), "n spare"], [open ? t("opened")(u.breaker_reason) : t("closed"), open ? "critical" : "good"]]);
  }
}

function instances(sp, here) {
  const late = (i) => i.version < sp.version || i.applied > sp.applied;
  put($("instances"), t("instances")(sp.instances.filter((i) => !late(i)).length, sp.instances.length, sp.version));
  $("instance-rows").replaceChildren();
  for (const i of sp.instances) {
    row($("instance-rows"), [[i.id + (i.id === here ? ` (${t("thisOne")})` : ""), "who"], [count(i.version), "n"], [percent(i.applied), "n"], [t(late(i) ? "behind" : "upToDate"), late(i) ? "critical" : "good"]]);
  }
}

// states are what is on, off or open, in one line.
function states(s) {
  const list = [
    [t("relayName"), s.draining ? t("draining") : s.ready ? t("ready") : t("notReady"), s.ready && !s.draining ? "good" : "warning"],
    [t("brakeName"), t("brakeIs")[s.split.brake ? "on" : "off"], s.split.brake ? "warning" : "good"],
    [t("savedName"), t("savedIs")[s.split.unsaved ? "no" : "yes"], s.split.unsaved ? "critical" : "good"],
    ...s.upstreams.map((u) => [`${t("breaker")} ${u.name}`, u.breaker === "closed" ? t("closed") : t("opened")(u.breaker_reason), u.breaker === "closed" ? "good" : "critical"]),
  ];
  if (s.fleet) {
    list.push([t("sharedName"), s.fleet.up ? t("sharedUp") : t("sharedDown")(s.fleet.error), s.fleet.up ? "good" : "critical"]);
    list.push([t("figuresName"), t("figures")(s.fleet.reporting, s.fleet.instances), s.fleet.reporting < s.fleet.instances ? "warning" : "good"]);
  }
  if (state.rollout) {
    const g = state.rollout.guard;
    list.push([t("guardName"), guardState(g), g.armed ? "good" : "warning"]);
  }
  $("states").replaceChildren(...list.map(([name, text, kind]) => {
    const li = element("li", name + " ");
    li.append(element("b", text, kind));
    return li;
  }));
}

export function start() {
  for (const event of ["status", "link", "language"]) hear(event, show);
}
