// The event stream, read as a fetch, which can carry the token. It begins again
// for ever, also across a restart of the relay; while it is down the status is
// asked for.
import { call, headers } from "./api.js";
import { state, tell } from "./page.js";

const silence = 10000, pause = 2000; // milliseconds; events come every second

let running = 0; // the stream that counts: a new token begins another

// follow never ends. refused is called with the problem when the token is not
// enough, and the stream stands still until the next follow.
export async function follow(refused) {
  const mine = ++running;
  while (mine === running) {
    try {
      const res = await fetch("/v1/events", { headers: headers(), cache: "no-store" });
      if (mine !== running) return;
      if (res.status === 401 || res.status === 403) {
        refused(await res.json().catch(() => ({})));
        return;
      }
      if (res.ok) await read(res.body.getReader(), () => mine === running);
    } catch { /* the link says it */ }
    if (mine !== running) return;
    await ask();
    await new Promise((go) => setTimeout(go, pause));
  }
}

// stop ends the stream that runs.
export function stop() { running++; }

// ask gets the status without the stream.
async function ask() {
  try {
    tell("status", await call("GET", "/v1/status"));
    link("polling");
  } catch { link("lost"); }
}

function link(to) {
  if (state.link === to) return;
  state.link = to;
  tell("link", to);
}

async function read(reader, wanted) {
  const text = new TextDecoder();
  let buffer = "";
  for (;;) {
    const { done, value } = await soon(reader);
    if (!wanted()) reader.cancel().catch(() => {});
    if (done || !wanted()) return;
    buffer += text.decode(value, { stream: true });
    for (let end; (end = buffer.indexOf("\n\n")) >= 0; buffer = buffer.slice(end + 2)) event(buffer.slice(0, end));
  }
}

// soon is the next piece. A connection that died without a word ends too.
async function soon(reader) {
  let timer;
  const late = new Promise((_, no) => { timer = setTimeout(() => no(new Error("late")), silence); });
  try {
    return await Promise.race([reader.read(), late]);
  } catch (e) {
    reader.cancel().catch(() => {});
    throw e;
  } finally { clearTimeout(timer); }
}

function event(block) {
  const field = (name) => (block.match(new RegExp("^" + name + ": (.*)$", "m")) || [])[1];
  const data = field("data");
  if (!data) return;
  link("live");
  tell(field("event"), JSON.parse(data));
}
