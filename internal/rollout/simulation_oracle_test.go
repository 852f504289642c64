package rollout

import (
	"math"
	"time"
)

// tally is mail of one upstream in one look, all of it with one delay.
type tally struct {
	took, bad int64
	late      time.Duration
}

// look is the mail of one relay in one step of the simulation.
type look struct {
	at      time.Time
	relay   string
	ses     tally
	cuenote tally
	rep     Reported // what SES will report of it
}

// observer knows all that happened, and says from it, by its own arithmetic,
// what a guard must have seen and what a gate may pass.
type observer struct {
	w     *world
	looks []look   // of the last day, since the share is in force; oldest first
	ses   tally    // since the step began
	rep   Reported // since the step began
	late  int64    // of ses.took, with a delay above a minute
}

func (o *observer) add(l look) {
	o.ses.took += l.ses.took
	o.ses.bad += l.ses.bad
	o.rep.Add(l.rep)
	if l.ses.late > theGate.DelayMax {
		o.late += l.ses.took
	}
	for i := len(o.looks) - 1; i >= 0 && o.looks[i].at.Equal(l.at); i-- {
		if k := &o.looks[i]; k.relay == l.relay { // of another server
			k.ses.took, k.ses.bad = k.ses.took+l.ses.took, k.ses.bad+l.ses.bad
			k.cuenote.took, k.cuenote.bad = k.cuenote.took+l.cuenote.took, k.cuenote.bad+l.cuenote.bad
			k.rep.Add(l.rep)
			return
		}
	}
	o.looks = append(o.looks, l)
}

// newShare and newStep begin anew.
func (o *observer) newShare() { o.looks = nil }
func (o *observer) newStep()  { o.ses, o.rep, o.late = tally{}, Reported{}, 0 }

// forget drops what is older than a day.
func (o *observer) forget() {
	n := 0
	for n < len(o.looks) && o.w.now.Sub(o.looks[n].at) > readAtMost {
		n++
	}
	o.looks = o.looks[n:]
}

// sum adds up the looks after a moment and until another, of one relay or ("") of all.
func (o *observer) sum(after, until time.Time, relay string) (ses, cuenote tally, rep Reported, slow [2]int64) {
	for i := len(o.looks) - 1; i >= 0 && o.looks[i].at.After(after); i-- {
		l := &o.looks[i]
		if l.at.After(until) || relay != "" && l.relay != relay {
			continue
		}
		ses.took, ses.bad = ses.took+l.ses.took, ses.bad+l.ses.bad
		cuenote.took, cuenote.bad = cuenote.took+l.cuenote.took, cuenote.bad+l.cuenote.bad
		rep.Add(l.rep)
		for k, t := range []tally{l.ses, l.cuenote} {
			if t.late >= theGuard.DelayMax {
				slow[k] += t.took
			}
		}
	}
	return ses, cuenote, rep, slow
}

// breach says what a guard must see by now: "" nothing. With Redis away every
// relay has but its own mail.
func (o *observer) breach() Name {
	if o.w.live.Current().Applied() == 0 {
		return ""
	}
	if !o.w.redis.away {
		if n := o.own(""); n != "" {
			return n
		}
		return o.reported()
	}
	for _, s := range o.w.living() {
		if n := o.own(s.name); n != "" {
			return n
		}
	}
	return ""
}

// own is what the relays see themselves, over five minutes.
func (o *observer) own(relay string) Name {
	ses, cuenote, _, slow := o.sum(o.w.now.Add(-5*time.Minute), o.w.now, relay)
	switch {
	case tooBad(ses) && !tooBad(cuenote):
		return Acceptance
	case tooLate(slow[0], ses.took) && !tooLate(slow[1], cuenote.took):
		return Delay
	}
	return ""
}

// tooBad is a success of 95 % or less, in enough mail.
func tooBad(t tally) bool {
	n := t.took + t.bad
	return n >= 200 && 100*t.bad >= 5*n
}

// tooLate is a 95th percentile of five minutes or more, and of more than a
// minute by all chance.
func tooLate(slow, n int64) bool {
	return n >= 200 && float64(slow) > 0.05*float64(n)+2.6*math.Sqrt(float64(n)*0.0475)+2
}

// tooMany is 0.5 % of complaints, and more than the 0.1 % that SES bears give by
// all chance.
func tooMany(complaints, delivered int64) bool {
	fair := 0.001 * float64(delivered)
	return delivered >= 200 && 1000*complaints >= 5*delivered && float64(complaints) > fair+4*math.Sqrt(fair)+2
}

// reported is what SES has said by now.
func (o *observer) reported() Name {
	now := o.w.now
	newest := time.Time{}
	for i := len(o.looks) - 1; i >= 0; i-- {
		if m := o.looks[i].at.Truncate(time.Minute); o.looks[i].rep.Any() && now.Sub(m) >= reportedAfter {
			newest = m.Add(time.Minute)
			break
		}
	}
	end := newest.Add(-1) // a look at the full minute is the next one's
	_, _, day, _ := o.sum(now.Add(-readAtMost), end, "")
	_, _, rep, _ := o.sum(end.Add(-5*time.Minute), end, "")
	switch n := rep.Delivery + rep.Bounce; {
	case n >= 200 && 100*rep.Bounce >= 5*n:
		return Bounce
	case tooMany(day.Complaint, day.Delivery):
		return Complaint
	}
	for i := range o.looks { // the first mail that nothing is known of
		if l := &o.looks[i]; l.ses.took > 0 && l.at.After(newest.Add(time.Minute)) {
			ses, _, _, _ := o.sum(l.at.Add(-1), now, "")
			if ses.took >= 200 && now.Sub(l.at) >= theGuard.NoDataMax {
				return NoData
			}
			break
		}
	}
	return ""
}

// unfit says why a gate may not pass: "" it may.
func (o *observer) unfit() string {
	s, rep := o.ses, o.rep
	n, told := s.took+s.bad, rep.Delivery+rep.Bounce
	switch {
	case o.w.redis.away:
		return "Redis is away"
	case n < 200 || told < 200:
		return "too little mail"
	case 1000*s.bad > 5*n:
		return "SES took less than 99.5 %"
	case 1000*rep.Bounce > 5*told:
		return "more than 0.5 % bounced, or less than 99.5 % were delivered"
	case 20*o.late > s.took:
		return "a delay of more than a minute"
	}
	if b := o.own(""); b != "" {
		return "the guard's " + string(b)
	}
	if b := o.reported(); b != "" {
		return "the guard's " + string(b)
	}
	return ""
}
