package console

import (
	"net/http"
	"testing"
)

// One rollout with the default steps, by the buttons.
func TestRollout(t *testing.T) {
	t.Parallel()
	r := demo(t)
	p := open(t, r.base())
	p.live()
	p.says("phase", "not started")
	eval[bool](p, `(document.querySelectorAll("[data-order]").forEach((b) => { b.id = "order-" + b.dataset.order }), true)`)
	order := func(name, reason string) {
		t.Helper()
		p.click("order-" + name)
		p.until(`document.getElementById("confirm").open`)
		if reason != "" {
			p.fill("reason", reason)
		}
		p.click("apply")
		p.until(`!document.getElementById("confirm").open`)
	}
	order("start", "week 1")
	p.says("phase", "running")
	p.says("rollout-text", "Step 10 % is in force; the pause ends")
	p.until(`document.querySelector("#steps .current").textContent.includes("pause") || document.querySelector("#steps .current").textContent.includes("10 %%")`)
	p.until(`document.getElementById("requested").textContent === "10 %%"`)
	p.says("gate", "Accepted by SES")
	p.says("gate", "at least 99.5 %")
	p.says("guard", "at least 95 %")
	p.says("guard-verdict", "armed")
	order("pause", "")
	p.says("phase", "paused")
	order("resume", "go on")
	p.says("phase", "running")
	p.until(`document.querySelector('[data-order=start]').disabled`)

	// Promote: the gate has not passed, and the question says so.
	p.click("order-promote")
	p.says("missing", "The gate has not passed")
	p.says("effect", "From 10 % to 50 % of the mail.")
	p.fill("reason", "the figures elsewhere are good")
	p.click("apply")
	p.until(`document.getElementById("requested").textContent === "50 %%"`)

	p.click("order-abort")
	p.says("effect", "SES share to 0 at once")
	p.says("effect", "From 50 % to 0 % of the mail.")
	p.click("apply")
	p.says("phase", "aborted")
	if now := r.applied(""); now != 0 {
		t.Errorf("SES still gets %v %%", now)
	}
	p.until(`["start", "promote", "abort"].every((a) => document.getElementById("decisions").textContent.includes(a))`)
	p.quiet()
}

// The states in which there is no rollout to show.
func TestRolloutThatCannotBeRead(t *testing.T) {
	t.Parallel()
	r := demo(t)
	g := newGate(t, r)
	answer := func(status int, detail string) {
		g.instead("GET /v1/rollout", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(status)
			w.Write([]byte(`{"detail":"` + detail + `"}`))
		}))
	}
	answer(503, "the store does not answer")
	p := open(t, g.URL)
	p.live()
	p.says("rollout-none", "The rollout cannot be read: the store does not answer")
	g.instead("GET /v1/rollout", nil)
	p.says("phase", "not started")
	answer(503, "the store does not answer")
	p.says("rollout-none", "What stands here may be old")
	answer(404, "this relay has no rollout")
	p.says("rollout-none", "This relay runs no rollout.")
	if !eval[bool](p, `document.getElementById("rollout-body").hidden`) {
		t.Error("the old rollout is still shown")
	}
}
