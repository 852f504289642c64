// The recent changes of the split: asked for when its version moves.
import { call, say } from "./api.js";
import { percent, when } from "./format.js";
import { $, element, hear, named, row, state, t } from "./page.js";
import { original, said } from "./texts.js";

const shown = 8;

let seen = ""; // version and ceiling of what is shown
let changes = [];

async function look() {
  const s = state.status.split;
  const now = s.version + " " + s.applied;
  if (now === seen) return;
  seen = now;
  try {
    changes = (await call("GET", "/v1/split/history")).changes;
    draw();
  } catch (p) {
    seen = ""; // asked for again with the next status
    sentence(t("noHistory")(say(p)));
  }
}

// sentence writes one in place of the rows.
function sentence(text) {
  $("history").replaceChildren();
  row($("history"), [[text, "text"]]).cells[0].colSpan = 5;
}

function draw() {
  $("history").replaceChildren();
  if (!changes.length) return sentence(t("noChanges"));
  for (const c of changes.slice(0, shown)) {
    row($("history"), [[element("time", when(c.at))], [named("actions", c.action)], [`${percent(c.before)} → ${percent(c.after)}`, "n"], [c.who, "who"], [original(element("span", said(c.reason)), c.reason), "text"]]);
  }
}

export function start() {
  hear("status", look);
  hear("language", draw);
}
