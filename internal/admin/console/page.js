// What every part of the page shares: the elements, the words, and who hears
// of what. Text from the API goes into the page as text, never as markup.
import { words } from "./words.js";

export const $ = (id) => document.getElementById(id);

// state is what was seen last. Nobody but main.js and the part named changes it.
export const state = {
  status: null, // GET /v1/status
  rollout: null, // GET /v1/rollout
  caller: null, // {name, role}; null: not told
  link: "wait",
};

let lang = initial();

function initial() {
  let kept = "";
  try { kept = localStorage.getItem("lang") || ""; } catch { /* storage is forbidden */ }
  return (kept || navigator.language).startsWith("ja") ? "ja" : "en";
}

export const language = () => lang;
export const t = (key) => words[lang][key];
// named is a word of a list; what is not in it stands for itself.
export const named = (key, word) => words[lang][key][word] || word;

// speak changes the language of everything.
export function speak(next) {
  lang = next;
  try { localStorage.setItem("lang", next); } catch { /* for this page only */ }
  document.documentElement.lang = next;
  document.documentElement.dataset.lang = next;
  document.querySelectorAll("[data-t]").forEach((e) => { e.textContent = t(e.dataset.t); });
  document.querySelectorAll("[data-label]").forEach((e) => { e.setAttribute("aria-label", t(e.dataset.label)); });
  $("language").textContent = next === "ja" ? "English" : "日本語";
  $("language").lang = next === "ja" ? "en" : "ja";
  document.dispatchEvent(new CustomEvent("relay:language"));
  tell("language");
}

const ears = {}; // by event: status, rollout, transactions, caller, link, language, split

export function hear(event, f) { (ears[event] ||= []).push(f); }

// tell calls everybody who listens. One that fails takes nobody with it.
export function tell(event, what) {
  for (const f of ears[event] || []) {
    try { f(what); } catch (e) { console.error(event, e); }
  }
}

// row adds a row of [text, class] cells; a cell may be an element.
export function row(body, cells) {
  const tr = body.insertRow();
  for (const [what, name] of cells) {
    const td = tr.insertCell();
    td.append(what instanceof Node ? what : String(what));
    if (name) td.className = name;
  }
  return tr;
}

// element makes one with text and a class.
export function element(tag, text, name) {
  const e = document.createElement(tag);
  e.textContent = text;
  if (name) e.className = name;
  return e;
}

// put writes only what has changed: a live region is then read once.
export function put(e, text) { if (e.textContent !== text) e.textContent = text; }

export const mayChange = () => !state.caller || state.caller.role === "admin";
