// The confirmation. It is not modal, so that the brake stays within reach, but
// it takes the focus, and Escape closes it and gives the focus back.
import { say } from "./api.js";
import { $, element, t } from "./page.js";

let asked = null; // {run, from, reason}: what the open confirmation is about

// confirm asks. lines are the effect in words, bad are list entries, ok the
// text of the button; reason true asks for one, "optional" takes one; force is
// the text beside its box, "" without. run({reason, force}) does it.
export function confirm({ title, lines, bad = [], ok, reason = false, force = "", stop = false, run }) {
  asked = { run, from: asked ? asked.from : document.activeElement, reason };
  $("confirm-h").textContent = title;
  $("effect").replaceChildren(...lines.map((text) => element("p", text)));
  $("missing").replaceChildren(...bad.map((text) => element("li", text)));
  $("reason-row").hidden = !reason;
  $("reason").required = reason === true;
  $("reason").value = "";
  $("force-row").hidden = !force;
  $("force-text").textContent = force;
  $("force").checked = false;
  $("apply").textContent = ok;
  $("apply").className = stop ? "stop" : "go";
  $("apply").disabled = false;
  $("confirm-error").textContent = "";
  if (!$("confirm").open) $("confirm").show();
  $(reason ? "reason" : "apply").focus();
}

export function close(id = "confirm") {
  const d = $(id);
  if (!d.open) return;
  d.close();
  if (id === "confirm" && asked) {
    asked.from?.focus?.();
    asked = null;
  }
}

async function submit(e) {
  e.preventDefault();
  const mine = asked;
  const reason = $("reason").value.trim();
  if (mine.reason === true && !reason) return fail(t("reasonNeeded"));
  $("apply").disabled = true; // once
  try {
    await mine.run({ reason, force: $("force").checked });
    if (asked === mine) close();
  } catch (p) {
    if (asked === mine) fail(say(p));
  } finally { if (asked === mine) $("apply").disabled = false; }
}

function fail(text) { $("confirm-error").textContent = text; }

// below keeps the dialogs below the head, which is as high as what the brake
// asks or has said.
function below() {
  const head = document.querySelector("header");
  new ResizeObserver(() => document.documentElement.style.setProperty("--head", head.offsetHeight + "px")).observe(head);
}

export function start() {
  below();
  $("confirm-form").addEventListener("submit", submit);
  $("cancel").addEventListener("click", () => close());
  document.addEventListener("keydown", (e) => {
    if (e.key !== "Escape") return;
    if ($("confirm").open) close();
    else if ($("trace").open) $("trace-close").click();
  });
}
