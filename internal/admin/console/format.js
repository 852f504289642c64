// How figures and times are written. The language is the document's.
const lang = () => document.documentElement.lang || "en";

const two = (n) => String(n).padStart(2, "0");

// Times are the browser's, of 24 hours, in both languages: 6:09 is not asked
// "morning or evening?" at night, and a date is not 3/4 and 4/3.
export const minute = (d) => two(d.getHours()) + ":" + two(d.getMinutes());
export const clock = (d) => minute(d) + ":" + two(d.getSeconds());
const date = (d) => d.getFullYear() + "-" + two(d.getMonth() + 1) + "-" + two(d.getDate());

// when writes an instant: the time alone when it is of today.
export function when(s) {
  const d = new Date(s);
  return (d.toDateString() === new Date().toDateString() ? "" : date(d) + " ") + clock(d);
}

// zone is how far the browser's clock is from UTC, in which the log is written.
export function zone() {
  const ahead = -new Date().getTimezoneOffset(), off = Math.abs(ahead);
  return "UTC" + (ahead < 0 ? "−" : "+") + two(Math.floor(off / 60)) + ":" + two(off % 60);
}

// percent writes at most two digits after the point; no figure is a dash.
export function percent(v) { return v === null || v === undefined ? "–" : Math.round(v * 100) / 100 + " %"; }

export function count(v) { return Math.round(v).toLocaleString(lang()); }

export function ms(v) { return v === null || v === undefined ? "–" : v >= 1000 ? (v / 1000).toFixed(2) + " s" : v.toFixed(1) + " ms"; }

// span writes seconds as the two largest units that are not zero.
export function span(seconds) {
  const names = lang() === "ja" ? ["日", "時間", "分", "秒"] : [" d", " h", " min", " s"];
  const sizes = [86400, 3600, 60, 1];
  let rest = Math.max(0, Math.round(seconds));
  const parts = [];
  sizes.forEach((size, i) => {
    const n = Math.floor(rest / size);
    rest -= n * size;
    if (n > 0 && parts.length < 2) parts.push(n + names[i]);
  });
  return parts.length ? parts.join(" ") : "0" + names[3];
}

// goSpan writes what Go writes as "168h0m0s" for people; "" stays "".
export function goSpan(s) {
  if (!s) return "";
  const unit = { h: 3600, m: 60, s: 1, ms: 0.001 };
  let seconds = 0;
  for (const [, n, u] of s.matchAll(/([0-9.]+)(ms|h|m|s)/g)) seconds += n * unit[u];
  return span(seconds);
}
