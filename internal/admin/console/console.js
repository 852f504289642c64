"use strict";
// The console: it uses the public API and nothing else. Text from the API goes
// into the page as text, never as markup.

const words = {
  en: {
    token: "API token", open: "Open", split: "Split", requested: "Requested", applied: "Applied", eligible: "Eligible", effective: "Effective",
    window: "Share of the mail for SES. Eligible: what the split and the rules left to SES. Effective: what SES accepted. Both over the last five minutes.",
    reasons: "Why mail took its route (five minutes)", upstream: "Upstream", reason: "Reason", messages: "Messages", act: "Change",
    brake: "Back to Cuenote", brakeSure: "Yes: everything to Cuenote now", brakeNote: "SES share to 0 at once. Mail under way is finished.",
    newPercent: "SES percent", why: "Reason", check: "Check", apply: "Apply", cancel: "Cancel", force: "Apply although SES cannot carry it",
    release: "Release the brake", upstreams: "Upstreams", rate: "Mail/s", success: "Success", inFlight: "In flight", breaker: "Breaker",
    quota: "SES sending quota (recipients)", quotaRate: "Rate", quotaDay: "24 hours", tail: "Last transactions", find: "Relay id, SES id or fingerprint", search: "Find",
    time: "Time", route: "Route", result: "Result", from: "From", to: "To",
    live: "live", lost: "no connection, trying again", wait: "connecting", calm: "No alarms.", readonly: "This token may look, not change.",
    changed: (s) => `Version ${s.version}, ${s.by}: “${s.reason}” (${s.changed_by}, ${when(s.changed_at)})`,
    instances: (n, m, v) => `${n} of ${m} instances apply version ${v}.`,
    effect: (a, b, day) => `From ${a} % to ${b} %.` + (day === null ? "" : ` About ${day} messages a day go to SES.`),
    fits: "Both next hops can carry their share.", done: (s) => `In force: version ${s.version}, ${s.applied} %.` + (s.unsaved ? " NOT SAVED: a restart would forget it." : ""),
    stale: "Somebody else has changed the split meanwhile. Look at the new value and try again.", unlimited: "unlimited", unknown: "not known", of: "of",
  },
  ja: {
    token: "APIトークン", open: "開く", split: "振り分け", requested: "設定値", applied: "適用値", eligible: "対象", effective: "実績",
    window: "SESへ送るメールの割合。対象:振り分けとルールがSESに残した割合。実績:SESが受け付けた割合。どちらも直近5分間。",
    reasons: "経路の理由(5分間)", upstream: "送信先", reason: "理由", messages: "通数", act: "変更",
    brake: "Cuenoteへ戻す", brakeSure: "はい、今すぐ全てCuenoteへ", brakeNote: "SESの割合を直ちに0にします。送信中のメールは完了させます。",
    newPercent: "SESの割合(%)", why: "理由", check: "確認", apply: "適用", cancel: "取消", force: "SESの容量が足りなくても適用する",
    release: "ブレーキを解除", upstreams: "送信先", rate: "通/秒", success: "成功率", inFlight: "処理中", breaker: "ブレーカー",
    quota: "SES送信クォータ(宛先数)", quotaRate: "毎秒", quotaDay: "24時間", tail: "最近のトランザクション", find: "リレーID、SES ID、フィンガープリント", search: "検索",
    time: "時刻", route: "経路", result: "結果", from: "差出人", to: "宛先",
    live: "接続中", lost: "接続が切れました。再接続しています", wait: "接続しています", calm: "警報はありません。", readonly: "このトークンは閲覧専用です。",
    changed: (s) => `バージョン ${s.version}、${s.by}:「${s.reason}」(${s.changed_by}、${when(s.changed_at)})`,
    instances: (n, m, v) => `${m}台中${n}台がバージョン ${v} を適用しています。`,
    effect: (a, b, day) => `${a} % から ${b} % へ。` + (day === null ? "" : `1日約 ${day} 通がSESへ送られます。`),
    fits: "どちらの送信先も容量は足りています。", done: (s) => `適用しました:バージョン ${s.version}、${s.applied} %。` + (s.unsaved ? "保存できていません。再起動すると失われます。" : ""),
    stale: "その間に他の人が変更しました。新しい値を確認してやり直してください。", unlimited: "無制限", unknown: "不明", of: "/",
  },
};

const $ = (id) => document.getElementById(id);
let lang = localStorage.getItem("lang") || (navigator.language.startsWith("ja") ? "ja" : "en");
let token = sessionStorage.getItem("token") || "";
let split = null; // the last one seen
let status = null;
let link = "wait";
const t = (key) => words[lang][key];

function when(s) { return new Date(s).toLocaleString(lang); }
function percent(v) { return v === null || v === undefined ? "–" : (Math.round(v * 100) / 100) + " %"; }
function count(v) { return Math.round(v).toLocaleString(lang); }

function translate() {
  document.documentElement.lang = lang;
  document.querySelectorAll("[data-t]").forEach((e) => { e.textContent = t(e.dataset.t); });
  $("language").textContent = lang === "ja" ? "English" : "日本語";
  $("language").lang = lang === "ja" ? "en" : "ja";
  $("brake-sure").textContent = t("brakeSure");
  setLink(link);
  delete $("alarms").dataset.text; // its dates are written anew
  if (status) show(status);
}

function setLink(state) {
  link = state;
  $("link").dataset.state = state;
  $("link").textContent = t(state);
}

function headers(extra) {
  const h = { ...extra };
  if (token) h.Authorization = "Bearer " + token;
  return h;
}

// call asks the API; a refusal is thrown as its problem.
async function call(method, path, body, extra) {
  const h = headers(extra);
  if (body) h["Content-Type"] = "application/json";
  const res = await fetch(path, { method, headers: h, body: body ? JSON.stringify(body) : undefined, cache: "no-store" });
  const answer = await res.json().catch(() => ({ detail: res.statusText, status: res.status }));
  if (!res.ok) throw answer;
  return answer;
}

function row(body, cells) {
  const tr = body.insertRow();
  cells.forEach(([text, name]) => {
    const td = tr.insertCell();
    td.textContent = text;
    if (name) td.className = name;
  });
  return tr;
}

function show(s) {
  status = s;
  split = s.split;
  $("instance").textContent = s.instance + " " + s.version;
  $("requested").textContent = percent(split.requested);
  $("applied").textContent = percent(split.applied);
  $("eligible").textContent = percent(split.eligible);
  $("effective").textContent = percent(split.effective);
  $("changed").textContent = t("changed")(split);
  $("instances").textContent = t("instances")(split.instances.filter((i) => i.version >= split.version).length, split.instances.length, split.version);
  $("release").hidden = !split.brake;
  showAlarms(s.alarms);
  $("reasons").replaceChildren();
  s.reasons.forEach((r) => row($("reasons"), [[r.upstream], [r.reason], [count(r.messages), "n"]]));
  $("upstreams").replaceChildren();
  s.upstreams.forEach((u) => {
    const ms = (v) => (v === null ? "–" : v.toFixed(1) + " ms");
    const open = u.breaker !== "closed";
    row($("upstreams"), [[u.name], [u.rate.toFixed(1), "n"], [percent(u.success), "n" + (u.success !== null && u.success < 95 ? " critical" : "")],
      [ms(u.p50_ms), "n"], [ms(u.p99_ms), "n"], [count(u.in_flight), "n"], [u.breaker + (open ? ": " + u.breaker_reason : ""), open ? "critical" : ""]]);
  });
  showQuota(s.quota);
}

function showAlarms(alarms) {
  const list = alarms.length ? alarms : [{ level: "quiet", text: t("calm") }];
  const text = JSON.stringify(list.map((a) => [a.level, a.text]));
  if ($("alarms").dataset.text === text) return; // a screen reader says it once
  $("alarms").dataset.text = text;
  $("alarms").replaceChildren(...list.map((a) => {
    const p = document.createElement("p");
    p.className = a.level;
    p.textContent = (a.since ? when(a.since) + "  " : "") + a.text;
    return p;
  }));
}

function showQuota(q) {
  $("quota-rate").textContent = `${q.used.toFixed(1)} ${t("of")} ${q.rate >= 800000 ? t("unlimited") : q.rate.toFixed(1)}`;
  $("rate-bar").value = q.rate > 0 ? q.used / q.rate : 0;
  const max = q.day_max < 0 ? t("unlimited") : q.day_max === 0 ? t("unknown") : count(q.day_max);
  $("quota-day").textContent = `${count(q.day_used)} ${t("of")} ${max}`;
  $("day-bar").value = q.day_max > 0 ? q.day_used / q.day_max : 0;
}

function showTail(e) {
  e.records.forEach((r) => {
    const tr = row($("tail"), [[new Date(r.ended).toLocaleTimeString(lang)], [r.route], [r.result, r.result === "accepted" || r.result === "duplicate" ? "" : "critical"],
      [r.rule ? r.reason + ": " + r.rule : r.reason], [r.from || "<>"], [r.to.slice(0, 2).join(", ") + (r.to.length > 2 ? " +" + (r.to.length - 2) : "")], [r.duration_ms.toFixed(0), "n"], [r.id]]);
    $("tail").prepend(tr);
  });
  while ($("tail").rows.length > 50) $("tail").deleteRow(-1);
}

// follow reads the events as a fetch, which can carry the token; it begins
// again for ever, also across a restart of the relay.
async function follow() {
  for (;;) {
    try {
      const res = await fetch("/v1/events", { headers: headers(), cache: "no-store" });
      if (res.status === 401 || res.status === 403) return login((await res.json()).detail);
      if (!res.ok) throw new Error(res.status);
      $("login").hidden = true;
      $("main").hidden = false;
      await read(res.body.getReader());
    } catch (e) { /* the state below says it */ }
    setLink("lost");
    await new Promise((done) => setTimeout(done, 2000));
  }
}

async function read(reader) {
  const text = new TextDecoder();
  let buffer = "";
  for (;;) {
    // A connection that died without a word ends here too: events come every second.
    let timer;
    const late = new Promise((_, no) => { timer = setTimeout(() => no(new Error("late")), 10000); });
    const { done, value } = await Promise.race([reader.read(), late])
      .catch((e) => { reader.cancel().catch(() => {}); throw e; })
      .finally(() => clearTimeout(timer));
    if (done) return;
    setLink("live");
    buffer += text.decode(value, { stream: true });
    for (let end; (end = buffer.indexOf("\n\n")) >= 0; buffer = buffer.slice(end + 2)) event(buffer.slice(0, end));
  }
}

function event(block) {
  const field = (name) => (block.match(new RegExp("^" + name + ": (.*)$", "m")) || [])[1];
  const data = field("data");
  if (!data) return;
  if (field("event") === "status") show(JSON.parse(data));
  if (field("event") === "transactions") showTail(JSON.parse(data));
}

function login(why) {
  $("main").hidden = true;
  $("login").hidden = false;
  $("login-error").textContent = token ? why : "";
  if (!token && why) $("login-error").textContent = why;
  $("token").focus();
}

function result(ok, text) {
  $("result").dataset.ok = ok ? "yes" : "no";
  $("result").textContent = text;
}

async function attempt(work) {
  try {
    const s = await work();
    split = s;
    result(true, t("done")(s));
    return true;
  } catch (p) {
    result(false, p.status === 412 ? t("stale") : (p.detail || String(p)));
    return false;
  }
}

function closeConfirm() {
  $("confirm").hidden = true;
  $("force").checked = false;
  $("plan").hidden = false;
}

let asked = null; // {percent, reason, etag}: what the confirmation is about

async function ask(e) {
  e.preventDefault();
  const wanted = $("percent").value.trim();
  try {
    const plan = await call("GET", "/v1/split/plan?percent=" + encodeURIComponent(wanted));
    asked = { percent: plan.percent, reason: $("why").value, etag: `"${split.version}"` };
    const day = plan.traffic.per_day > 0 ? count(plan.traffic.per_day * plan.percent / 100) : null;
    $("effect").textContent = t("effect")(split.requested, plan.percent, day);
    const lines = [...plan.missing.map((m) => m.text), ...plan.unknown];
    $("missing").replaceChildren(...(lines.length ? lines : [t("fits")]).map((text) => {
      const li = document.createElement("li");
      li.textContent = text;
      return li;
    }));
    $("force-row").hidden = plan.ses_fits || plan.percent <= split.requested;
    $("confirm").hidden = false;
    $("apply").focus();
    result(true, "");
  } catch (p) { result(false, p.detail || String(p)); }
}

function wire() {
  $("language").onclick = () => { lang = lang === "ja" ? "en" : "ja"; localStorage.setItem("lang", lang); translate(); };
  $("login").onsubmit = (e) => { e.preventDefault(); token = $("token").value.trim(); sessionStorage.setItem("token", token); $("token").value = ""; follow(); };
  // Two clicks, and the second one asks for nothing: it is three in the morning.
  let back;
  $("brake").onclick = () => {
    $("brake").hidden = true; $("brake-sure").hidden = false; $("brake-sure").focus();
    back = setTimeout(reset, 8000);
  };
  const reset = () => { clearTimeout(back); $("brake").hidden = false; $("brake-sure").hidden = true; };
  $("brake-sure").onclick = () => { reset(); attempt(() => call("POST", "/v1/brake", { reason: "console: " + t("brake") })); };
  $("change").onsubmit = ask;
  $("cancel").onclick = closeConfirm;
  $("apply").onclick = async () => {
    const done = await attempt(() => call("PUT", "/v1/split", { ses_percent: asked.percent, reason: asked.reason, force: $("force").checked }, { "If-Match": asked.etag }));
    closeConfirm();
    if (done) { $("change").reset(); }
  };
  $("release").onsubmit = async (e) => {
    e.preventDefault();
    if (await attempt(() => call("DELETE", "/v1/brake", { reason: $("release-why").value }, { "If-Match": `"${split.version}"` }))) $("release").reset();
  };
  $("find").onsubmit = async (e) => {
    e.preventDefault();
    const out = $("found");
    out.hidden = false;
    try {
      out.textContent = JSON.stringify((await call("GET", "/v1/trace/" + encodeURIComponent($("id").value.trim()))).records, null, 1);
    } catch (p) { out.textContent = p.detail || String(p); }
  };
}

wire();
translate();
follow();
