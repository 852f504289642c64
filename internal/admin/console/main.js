// The page: every part is started by itself, so that one that fails takes no
// other with it. It uses the public API and nothing else.
import { hasToken, useToken } from "./api.js";
import * as change from "./change.js";
import * as charts from "./charts.js";
import * as dialog from "./dialog.js";
import * as fleet from "./fleet.js";
import { clock, zone } from "./format.js";
import * as history from "./history.js";
import { $, hear, language, put, speak, state, t, tell } from "./page.js";
import * as quota from "./quota.js";
import * as rollout from "./rollout.js";
import * as split from "./split.js";
import { follow, stop } from "./stream.js";
import * as tail from "./tail.js";

let seen = null; // when the last status came
let begun = ""; // the relay's own start
let restarted = ""; // when it was seen to have changed

function status(s) {
  state.status = s;
  seen = new Date();
  if (begun && begun !== s.started_at) restarted = s.started_at;
  begun = s.started_at;
  $("login").hidden = true;
  $("main").hidden = false;
  if (document.body.classList.contains("braked") && !s.split.brake) put($("brake-said"), ""); // released: no longer so
  document.body.classList.toggle("braked", s.split.brake !== null);
}

function link() {
  $("link").dataset.state = state.link;
  const text = state.link === "lost" ? t("lost")(seen ? clock(seen) : "–") : t(state.link);
  put($("link"), text + (restarted && state.link === "live" ? " " + t("restarted")(clock(new Date(restarted))) : ""));
  document.body.classList.toggle("stale", state.link === "lost");
}

function caller() {
  const c = state.caller;
  put($("who"), c ? t(c.role === "admin" ? "roleAdmin" : "roleReadonly")(c.name) : "");
  $("other-token").hidden = !hasToken();
}

// login asks for a token; why is the problem of the last one.
function login(why) {
  const typed = hasToken();
  useToken("");
  $("main").hidden = true;
  $("login").hidden = false;
  put($("login-error"), typed || why.status === 403 ? why.detail || "" : "");
  $("token").focus();
}

function wire() {
  $("language").addEventListener("click", () => speak(language() === "ja" ? "en" : "ja"));
  $("login").addEventListener("submit", (e) => {
    e.preventDefault();
    useToken($("token").value.trim());
    $("token").value = "";
    put($("brake-said"), ""); // that a token was missing
    follow(login);
  });
  $("other-token").addEventListener("click", () => { stop(); state.caller = null; login({}); caller(); });
  // What a change or the brake has answered is shown at once, not with the next event.
  const moved = (s) => { if (state.status) tell("status", { ...state.status, split: s }); };
  hear("split", moved);
  document.addEventListener("relay:split", (e) => tell("split", e.detail));
}

hear("status", status);
hear("status", link);
hear("caller", (c) => { state.caller = c; caller(); });
hear("link", link);
hear("language", () => { link(); caller(); put($("zone"), t("zone")(zone())); });
for (const start of [wire, dialog.start, split.start, change.start, history.start, rollout.start, quota.start, fleet.start, tail.start, charts.start]) {
  try { start(); } catch (e) { console.error(e); }
}
speak(language());
follow(login);
