package admin

import (
	"time"

	"sesrelay/internal/split"
)

const minutesADay = 24 * 60

// minutes counts accepted messages by the minute, for a day: what a plan goes
// by when the configuration says "as measured". The zero value is empty.
type minutes struct {
	last       int64 // newest minute, since 1970
	messages   [minutesADay]int64
	recipients [minutesADay]int64
}

func (m *minutes) advance(now time.Time) {
	n := now.Unix() / 60
	if n-m.last >= minutesADay {
		*m = minutes{last: n}
		return
	}
	for m.last < n {
		m.last++
		m.messages[m.last%minutesADay], m.recipients[m.last%minutesADay] = 0, 0
	}
}

func (m *minutes) add(now time.Time, recipients int64) {
	m.advance(now)
	m.messages[m.last%minutesADay]++
	m.recipients[m.last%minutesADay] += recipients
}

func (m *minutes) traffic(now, begun time.Time) split.Traffic {
	m.advance(now)
	var messages, recipients, peak int64
	for i := range m.messages {
		messages += m.messages[i]
		recipients += m.recipients[i]
		peak = max(peak, m.messages[i])
	}
	t := split.Traffic{PeakPerMinute: float64(peak), RecipientsPerMessage: 1}
	// The first minutes are no whole ones: their average is a better guess.
	if age := now.Sub(begun); age >= 5*time.Second && age < 2*time.Minute {
		t.PeakPerMinute = max(t.PeakPerMinute, float64(messages)/age.Minutes())
	}
	if messages > 0 {
		t.RecipientsPerMessage = max(1, float64(recipients)/float64(messages))
	}
	if now.Sub(begun) >= 24*time.Hour {
		t.PerDay = float64(messages)
	}
	return t
}
