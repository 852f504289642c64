package quota

import "time"

// slots are the minutes of 24 hours, and the one under way.
const (
	slots = 24*60 + 1
	day   = 24 * time.Hour
)

// window counts recipients in a rolling 24 hours, by the minute. A minute
// leaves as a whole, 24 hours after its end: up to a minute late, never early.
type window struct {
	begun   time.Time // of the process: minutes are counted from here, so that a clock that is set forgets nothing
	minutes [slots]int64
	last    int64 // the newest minute, since 1970
	own     int64 // sum of minutes

	others   float64 // counted by SES beyond own, when othersAt was
	othersAt time.Time
}

func newWindow(now time.Time) window { return window{begun: now, last: now.Unix() / 60} }

// minute is that of t on a clock that was right when the process began.
func (w *window) minute(t time.Time) int64 { return w.begun.Add(t.Sub(w.begun)).Unix() / 60 }

// advance forgets what is older than 24 hours.
func (w *window) advance(t time.Time) {
	now := w.minute(t)
	if now-w.last >= slots {
		w.minutes, w.own, w.last = [slots]int64{}, 0, now
		return
	}
	for w.last < now {
		w.last++
		slot := &w.minutes[w.last%slots]
		w.own -= *slot
		*slot = 0
	}
}

// add counts n recipients now; a negative n takes them back, from the newest
// minutes first.
func (w *window) add(t time.Time, n int64) {
	w.advance(t)
	for back := int64(0); n < 0 && back < slots && w.own > 0; back++ {
		slot := &w.minutes[(w.last-back+slots)%slots]
		gone := min(-n, *slot)
		*slot -= gone
		w.own -= gone
		n += gone
	}
	if n > 0 {
		w.minutes[w.last%slots] += n
		w.own += n
	}
}

// used returns what counts against the day's quota at t.
func (w *window) used(t time.Time) float64 {
	w.advance(t)
	return float64(w.own) + w.othersLeft(t)
}

// othersLeft: they leave evenly, as if they had been sent evenly.
func (w *window) othersLeft(t time.Time) float64 {
	left := 1 - float64(t.Sub(w.othersAt))/float64(day)
	return w.others * min(1, max(0, left))
}

// reconcile takes SES's own count. The larger of the two wins: SES does not
// know yet what is under way, and we do not know what others sent.
func (w *window) reconcile(t time.Time, sent float64) {
	w.advance(t)
	w.others, w.othersAt = max(0, sent-float64(w.own)), t
}
