"use strict";
// Back to Cuenote. This file asks nothing of the others: no word, no state, no
// event stream, no plan. Whoever presses twice has pulled the brake, or reads
// why not and what to do instead. The others may listen ("relay:split").
(() => {
  const words = {
    en: {
      brake: "Back to Cuenote", what: "SES share to 0 % on every instance, at once. Mail under way is finished.",
      key: "From anywhere: Alt+Shift+B (macOS: Ctrl+Option+B). It asks first.", sure: "Yes: everything to Cuenote now", not: "Cancel", busy: "Pulling the brake …",
      done: (s) => `Done: SES gets ${s.applied} % of new mail. ${reached(s)} of ${s.instances.length} instances apply it.`,
      unsaved: "It is NOT SAVED: a restart would forget it. Look at the disk of state.file.",
      token: "Not done: the relay wants a token. Type one of role admin below, and press again.",
      role: (why) => `Not done: ${why}. Use a token of role admin, or on the relay's machine: relay brake`,
      again: (n) => `The relay does not answer. Trying again (${n}) … On the relay's machine: relay brake`,
      failed: (why) => `NOT DONE: ${why}. On the relay's machine: relay brake`, silent: "the relay does not answer",
    },
    ja: {
      brake: "Cuenoteへ戻す", what: "全インスタンスでSESの割合を直ちに0%にします。送信中のメールは完了させます。",
      key: "どこからでも Alt+Shift+B(macOSでは Ctrl+Option+B)。実行前に確認します。", sure: "はい、今すぐ全てCuenoteへ", not: "取消", busy: "切り戻しています…",
      done: (s) => `完了:新しいメールのSESへの割合は ${s.applied}% です。${s.instances.length}台中${reached(s)}台に適用済み。`,
      unsaved: "ただし保存できていません。再起動すると失われます。state.file のディスクを確認してください。",
      token: "実行できませんでした:トークンが必要です。下の欄にadmin権限のトークンを入力し、もう一度押してください。",
      role: (why) => `実行できませんでした:権限がありません(${why})。admin権限のトークンを使うか、リレーのサーバーで relay brake を実行してください。`,
      again: (n) => `リレーが応答しません。再試行中(${n}回目)… リレーのサーバーでは relay brake が使えます。`,
      failed: (why) => `実行できませんでした:${why}。リレーのサーバーで relay brake を実行してください。`, silent: "リレーが応答しません",
    },
  };
  const tries = 5, patience = 8000, pause = 1000; // milliseconds
  const $ = (id) => document.getElementById(id);
  // Storage may be forbidden; the brake works without it.
  const stored = (where, key) => { try { return window[where].getItem(key) || ""; } catch { return ""; } };
  const language = () => (document.documentElement.dataset.lang || stored("localStorage", "lang") || navigator.language).startsWith("ja") ? "ja" : "en";
  const t = (key) => words[language()][key];
  const reached = (s) => s.instances.filter((i) => i.applied <= s.applied).length;

  function translate() {
    $("brake").textContent = t("brake");
    $("brake").title = t("key");
    $("brake-what").textContent = t("what");
    $("brake-sure").textContent = t("sure");
    $("brake-not").textContent = t("not");
    if (said && $("brake-said").textContent) say(said.kind, said.text);
  }

  let said = null; // {kind, text}: said again in another language

  // say takes a function that makes the text.
  function say(kind, text) {
    said = { kind, text };
    $("brake-said").className = kind;
    $("brake-said").textContent = text();
  }

  function ask(open) {
    $("brake-ask").hidden = !open;
    $("brake").setAttribute("aria-expanded", String(open));
    $(open ? "brake-sure" : "brake").focus();
  }

  async function send(token) {
    const headers = { "Content-Type": "application/json" };
    if (token) headers.Authorization = "Bearer " + token;
    const stop = new AbortController();
    const timer = setTimeout(() => stop.abort(), patience);
    try {
      const res = await fetch("/v1/brake", { method: "POST", headers, body: JSON.stringify({ reason: "console: " + words.en.brake }), cache: "no-store", signal: stop.signal });
      return { status: res.status, answer: await res.json().catch(() => ({ detail: res.statusText })) };
    } finally { clearTimeout(timer); }
  }

  // pull tries a few times: the relay may be about to restart. The brake may be
  // pulled twice without harm.
  async function pull() {
    const token = stored("sessionStorage", "token") || $("token").value.trim();
    let why = ""; // "": no answer
    for (let n = 1; n <= tries; n++) {
      try {
        const { status, answer } = await send(token);
        if (status < 300) return done(answer);
        why = answer.detail || String(status);
        if (status === 401) return wantToken();
        if (status === 403) return say("critical", () => t("role")(why));
        if (status < 500) break;
      } catch { why = ""; }
      if (n < tries) {
        say("warning", () => t("again")(n + 1));
        await new Promise((go) => setTimeout(go, pause));
      }
    }
    say("critical", () => t("failed")(why || t("silent")));
  }

  function wantToken() {
    say("critical", () => t("token"));
    $("login").hidden = false;
    $("token").focus();
  }

  function done(s) {
    say(s.unsaved ? "critical" : "good", () => t("done")(s) + (s.unsaved ? " " + t("unsaved") : ""));
    document.dispatchEvent(new CustomEvent("relay:split", { detail: s }));
  }

  $("brake").addEventListener("click", () => ask($("brake-ask").hidden));
  $("brake-not").addEventListener("click", () => ask(false));
  // One press is one step, however long: a key that is held down, or a double
  // click that finds the second button under the mouse, does not pull it.
  $("brake-box").addEventListener("keydown", (e) => {
    if (e.repeat && (e.key === "Enter" || e.key === " ")) e.preventDefault();
    if (e.key === "Escape" && !$("brake-ask").hidden) ask(false);
  });
  $("brake-sure").addEventListener("click", async (e) => {
    if (e.detail > 1) return;
    ask(false);
    say("", () => t("busy"));
    $("brake-box").setAttribute("aria-busy", "true");
    await pull();
    $("brake-box").removeAttribute("aria-busy");
  });
  document.addEventListener("relay:language", translate);
  translate();
  $("brake").disabled = false;
})();
