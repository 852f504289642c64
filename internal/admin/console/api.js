// The API, with the token that the operator gave.
import { t } from "./page.js";

let token = "";
try { token = sessionStorage.getItem("token") || ""; } catch { /* storage is forbidden */ }

const patience = 12000; // milliseconds

export const hasToken = () => token !== "";

export function useToken(next) {
  token = next;
  try { sessionStorage.setItem("token", next); } catch { /* for this page only */ }
}

export function headers(extra) {
  return token ? { ...extra, Authorization: "Bearer " + token } : { ...extra };
}

// call asks the API. It throws the problem of a refusal (RFC 9457), and one of
// status 0 when there was no answer.
export async function call(method, path, body, extra) {
  const h = headers(extra);
  if (body) h["Content-Type"] = "application/json";
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(), patience);
  let res, answer;
  try {
    res = await fetch(path, { method, headers: h, body: body ? JSON.stringify(body) : undefined, cache: "no-store", signal: stop.signal });
    answer = await res.json().catch(() => ({ detail: res.statusText }));
  } catch {
    throw { status: 0 };
  } finally { clearTimeout(timer); }
  if (!res.ok) throw { ...answer, status: res.status };
  return answer;
}

// say puts a problem into words.
export function say(problem) {
  switch (problem.status) {
    case undefined: console.error(problem); return String(problem); // a fault of the page
    case 0: return t("noAnswer");
    case 403: return t("forbidden")(problem.detail);
    case 412: return t("stale");
  }
  return problem.detail || problem.title || String(problem.status);
}
