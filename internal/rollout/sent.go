package rollout

import "time"

// sent is what SES accepted of the share in force, by the minute and for a day:
// at a low rate a silence takes longer than a ring holds to be one.
type sent struct {
	minutes []sentMinute // oldest first
}

type sentMinute struct {
	at int64 // since 1970, in minutes
	n  int64
}

func minuteOf(t time.Time) int64 { return t.Unix() / 60 }

func (s *sent) add(now time.Time, n int64) {
	if n == 0 {
		return
	}
	m := minuteOf(now)
	if k := len(s.minutes); k > 0 && s.minutes[k-1].at >= m {
		s.minutes[k-1].n += n
		return
	}
	for len(s.minutes) > 0 && m-s.minutes[0].at > minuteOf(time.Unix(0, 0).Add(readAtMost)) {
		s.minutes = s.minutes[1:]
	}
	s.minutes = append(s.minutes, sentMinute{m, n})
}

// between adds up the minutes that lie in from..to, and says when the first began.
func (s *sent) between(from, to time.Time) (n int64, first time.Time) {
	for _, m := range s.minutes {
		start := time.Unix(60*m.at, 0)
		if start.Before(from) || start.Add(time.Minute).After(to) {
			continue
		}
		if n += m.n; first.IsZero() {
			first = start
		}
	}
	return n, first
}

// accepted is what SES accepted of the share in force after a moment, and when
// the first of that was.
func (c *Controller) accepted(step string, from, now time.Time) (n int64, first time.Time) {
	n, first = c.fleet.accepted(step, from, now)
	if older, begun := c.sent.between(from, c.fleet.oldest(now)); older > 0 {
		return n + older, begun
	}
	return n, first
}
