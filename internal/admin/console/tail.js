// The live tail, masked, and the trace of one mail.
import { call, say } from "./api.js";
import { close } from "./dialog.js";
import { clock, count, ms, when } from "./format.js";
import { $, element, hear, named, put, row, state, t } from "./page.js";

const shown = 60, kept = 300;

let records = []; // newest first
let held = false, skipped = 0;
let from = null; // what had the focus before the trace

const fine = (r) => r.result === "accepted" || r.result === "duplicate";

function add(e) {
  records = [...e.records.slice().reverse(), ...records].slice(0, kept);
  skipped += e.skipped;
  if (!held) draw();
}

function draw() {
  const focused = document.activeElement?.dataset?.trace;
  const list = records.filter((r) => !$("only-failures").checked || !fine(r)).slice(0, shown);
  $("tail").replaceChildren();
  if (!list.length) row($("tail"), [[records.length ? t("noFailures")(records.length) : t("noTail")]]).cells[0].colSpan = 8;
  for (const r of list) {
    row($("tail"), [[clock(new Date(r.ended))], [idButton(r.id)], [r.route, r.route], [named("results", r.result), fine(r) ? "good" : "critical"],
      [named("reasons", r.reason) + (r.rule ? ": " + r.rule : "")], [r.from || "<>", "address"], [r.to.slice(0, 2).join(", ") + (r.to.length > 2 ? " +" + (r.to.length - 2) : ""), "address"], [r.duration_ms.toFixed(0), "n"]]);
  }
  if (focused) $("tail").querySelector(`[data-trace="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  put($("skipped"), skipped ? t("skipped")(skipped) : "");
}

function idButton(id) {
  const b = element("button", id, "link");
  b.type = "button";
  b.dataset.trace = id;
  return b;
}

async function trace(id) {
  if (!$("trace").open) from = document.activeElement;
  const known = records.filter((r) => r.id === id);
  try {
    showTrace((await call("GET", "/v1/trace/" + encodeURIComponent(id))).records);
  } catch (p) {
    if (known.length) showTrace(known, say(p)); // the relay has forgotten it, or does not answer
    else $("found").replaceChildren(element("p", say(p), "critical"));
  }
  if (!$("trace").open) $("trace").show();
  $("found").focus();
}

function showTrace(list, trouble) {
  $("found").replaceChildren(...list.flatMap(story));
  if (trouble) $("found").prepend(element("p", trouble, "warning"));
}

// story is all that is known of one transaction.
function story(r) {
  const dl = document.createElement("dl");
  const add = (name, value, kind) => {
    if (value === "" || value === null || value === undefined) return;
    dl.append(element("dt", name), element("dd", String(value), kind));
  };
  for (const [key, name] of Object.entries(t("fields"))) add(name, field(key, r), key === "result" ? (fine(r) ? "good" : "critical") : key === "error" ? "critical" : "");
  for (const a of r.attempts) add(t("attempt")(a.upstream), `${a.outcome}${a.class ? " (" + a.class + ")" : ""}, ${ms(a.took_ms)}${a.error ? ": " + a.error : ""}`, a.outcome === "accepted" ? "good" : "warning");
  for (const f of r.refused) add(t("refusal"), `${f.to}: ${f.reply}`);
  return [dl];
}

function field(key, r) {
  switch (key) {
    case "ended": return when(r.ended);
    case "to": return r.to.join(", ");
    case "from": return r.from || "<>";
    case "size": return count(r.size) + " B";
    case "reason": return named("reasons", r.reason);
    case "result": return named("results", r.result);
    case "duration_ms": case "delay_ms": return r[key] === null ? "" : ms(r[key]);
  }
  return r[key];
}

function hold() {
  held = !held;
  $("hold-tail").setAttribute("aria-pressed", String(held));
  $("hold-tail").textContent = t(held ? "goTail" : "holdTail");
  if (!held) draw();
}

export function start() {
  hear("transactions", add);
  hear("status", () => { if (!records.length) draw(); });
  hear("language", () => { draw(); $("hold-tail").textContent = t(held ? "goTail" : "holdTail"); });
  $("tail").addEventListener("click", (e) => { if (e.target.dataset.trace) trace(e.target.dataset.trace); });
  $("only-failures").addEventListener("change", draw);
  $("hold-tail").addEventListener("click", hold);
  $("find").addEventListener("submit", (e) => { e.preventDefault(); const id = $("id").value.trim(); if (id) trace(id); });
  $("trace-close").addEventListener("click", () => { close("trace"); from?.focus?.(); });
}
