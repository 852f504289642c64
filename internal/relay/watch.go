package relay

import "time"

// Tracer watches transactions from inside, for distributed tracing.
type Tracer interface {
	// Begin is called at MAIL; nil: nobody looks at this one.
	Begin(env *Envelope) Watch
}

// Watch follows one transaction. Its methods are called by the transaction's
// goroutine, and must be quick.
type Watch interface {
	// Step tells of a part that is over. route is "" where it concerns none, and
	// start is on the relay's clock. err may hold addresses.
	Step(name Step, route Route, start, end time.Time, err error)
	// Record gives the record that is also observed; over LMTP there may be several.
	Record(rec *Record)
	// End is called once, after everything else.
	End()
}

// Step names a part of a transaction that takes time. The set is closed.
type Step string

const (
	StepRoute      Step = "route"      // the split, the rules and the failover memory
	StepConnect    Step = "connect"    // a delivery is begun: Cuenote's connection
	StepRecipients Step = "recipients" // offered to the upstream
	StepContent    Step = "content"    // read from the client, for SES
	StepLedger     Step = "ledger"     // the duplicate ledger is asked
	StepQuota      Step = "quota"      // the sending rate is waited for
	StepUpstream   Step = "upstream"   // the upstream has the message; Cuenote gets it while the client sends
)

// stepStart is the beginning of a step; the zero time while nobody watches.
func (t *Transaction) stepStart() time.Time {
	if t.watch == nil {
		return time.Time{}
	}
	return t.r.now()
}

// step tells who watches of a part that ends now.
func (t *Transaction) step(name Step, route Route, start time.Time, err error) {
	if t.watch != nil {
		t.watch.Step(name, route, start, t.r.now(), err)
	}
}

// unwatch ends the watching, once.
func (t *Transaction) unwatch() {
	if t.watch != nil {
		t.watch.End()
		t.watch = nil
	}
}
