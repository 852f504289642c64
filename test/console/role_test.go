package console

import "testing"

// Tokens: none, a wrong one, one that may look, one that may change.
func TestRoles(t *testing.T) {
	t.Parallel()
	r, tokens := serve(t, "split: {ses_percent: 20}\n")
	p := open(t, r.base())
	p.until(`!document.getElementById("login").hidden && document.activeElement.id === "token"`)
	p.click("brake") // it says what is missing, also before a token was given
	p.click("brake-sure")
	p.says("brake-said", "the relay wants a token")
	p.fill("token", "relay_wrong\r")
	p.says("login-error", "this token is not known")
	p.fill("token", tokens["readonly"]+"\r")
	p.live()
	p.says("who", "readonly-operator may look only")
	p.says("may-look", "This token may look, not change.")
	for _, id := range []string{"slider", "percent", "why", "plan"} {
		if !eval[bool](p, "document.getElementById(%q).disabled", id) {
			t.Errorf("%s is open to a token that may look only", id)
		}
	}
	if n := eval[int](p, `document.querySelectorAll("[data-order]:not(:disabled)").length`); n != 0 {
		t.Errorf("%d orders of the rollout are open to it", n)
	}
	p.click("brake")
	p.click("brake-sure")
	p.says("brake-said", "this needs role admin, and readonly-operator has readonly")
	if now := r.applied(tokens["admin"]); now != 20 {
		t.Errorf("%v %% are applied", now)
	}
	p.click("other-token")
	p.until(`!document.getElementById("login").hidden && document.getElementById("main").hidden`)
	p.fill("token", tokens["admin"]+"\r")
	p.live()
	p.says("who", "admin-operator may change")
	p.click("brake")
	p.click("brake-sure")
	p.braked(r, tokens["admin"])
	if text := p.text("alarms"); text == "" {
		t.Error("no alarms")
	}
	p.says("history", "admin-operator")
}

// A token that was typed and not yet sent is enough for the brake.
func TestBrakeWithATokenJustTyped(t *testing.T) {
	t.Parallel()
	r, tokens := serve(t, "split: {ses_percent: 20}\n")
	g := newGate(t, r)
	g.cut(without("/console/main.js"))
	p := open(t, g.URL)
	p.click("brake")
	p.click("brake-sure")
	p.says("brake-said", "the relay wants a token")
	p.fill("token", tokens["admin"])
	p.click("brake")
	p.click("brake-sure")
	p.braked(r, tokens["admin"])
}
