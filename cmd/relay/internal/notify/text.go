package notify

import (
	"fmt"

	"sesrelay/internal/rollout"
)

// headlines begin the text of an event.
var headlines = map[rollout.Action]string{
	rollout.ActionStart:    "Rollout started",
	rollout.ActionPause:    "Rollout paused",
	rollout.ActionResume:   "Rollout goes on",
	rollout.ActionPromote:  "Step completed (promoted by hand)",
	rollout.ActionAdvance:  "Step completed",
	rollout.ActionHold:     "Rollout held",
	rollout.ActionRollback: "ROLLED BACK",
	rollout.ActionAbort:    "Rollout aborted",
	rollout.ActionComplete: "Rollout completed",
}

// Headline is one line for a subject.
func Headline(e rollout.Event) string {
	h := headlines[e.Action]
	if e.From == e.To {
		return fmt.Sprintf("%s: SES gets %s %%", h, e.To)
	}
	return fmt.Sprintf("%s: SES %s %% -> %s %%", h, e.From, e.To)
}

// Text says it all, for people.
func Text(e rollout.Event) string {
	s := fmt.Sprintf("%s\nby %s, %s, on %s", Headline(e), e.Who, e.At.UTC().Format("2006-01-02 15:04:05 MST"), e.Instance)
	if e.Reason != "" {
		s += "\n" + e.Reason
	}
	for _, c := range e.Criteria {
		s += "\n- " + string(c.Name) + ": " + c.Text
	}
	return s
}
