package console

import "testing"

// The page outlives the relay: it says so, goes on by itself, and keeps its charts.
func TestRestart(t *testing.T) {
	t.Parallel()
	r := demo(t)
	p := open(t, r.base())
	p.live()
	points := `Number(document.querySelector("#charts .plot")?.dataset.points || 0)`
	p.until("%s > 3", points)
	before := eval[int](p, "%s", points)
	r.stop()
	p.until(`document.getElementById("link").dataset.state === "lost"`)
	p.says("link", "no connection, figures are from")
	r.start()
	p.live()
	p.says("link", "The relay was restarted at")
	p.until("%s > %d + 1", points, before)
	if eval[int](p, "%s", points) < before {
		t.Error("the charts begin anew")
	}
	r.set(15)
	p.until(`document.getElementById("requested").textContent === "15 %%"`)
}
