// Package simulator is this project's fake of the two next hops: the SES v2 API and the SMTP relay "Cuenote". It speaks
// the wire protocols only and knows nothing of the relay, so that `relay demo`, the tests of every package and the load
// tests judge the relay by what really arrived.
//
//	store := simulator.NewStore(simulator.StoreConfig{})
//	ses, err := simulator.NewSES(simulator.SESConfig{Store: store, Identities: []string{"goo.ne.jp"}})
//	defer ses.Close()
//	cuenote, err := simulator.NewSMTP(simulator.SMTPConfig{Store: store, STARTTLS: true})
//	defer cuenote.Close()
//
// Point the SDK's BaseEndpoint (ses.endpoint) at ses.URL() and the SMTP client at cuenote.Addr(). Over TLS, CertPool is
// the client's RootCAs. Without SESConfig.Credentials any signature is believed, but the request must be signed, for
// the service "ses" and SESConfig.Region (ap-northeast-1).
//
// # What arrived
//
// Only mail that a hop took responsibility for is in the Store: Wait(ctx, n) returns as soon as n mails are there,
// WaitFor waits for a certain one, All, Of, ByHeader, ByRecipient and Find look them up, Duplicates("X-Test-Id") names
// what somebody would have received twice, PerSecond judges a quota, Summaries is what GET /demo/messages shows.
// Record.Raw is the message to the byte. Cuenote's Anomalies must be empty after a test: bare line ends, commands out
// of sequence, smuggled dots, parameters that were not offered. Load tests set StoreConfig.DiscardBodies.
//
// # What goes wrong
//
//	ses.Faults().Set(simulator.Fault{Name: simulator.FaultThrottled, Probability: 0.1})
//	ses.Faults().Set(simulator.Fault{Name: simulator.FaultCutAfterRecord, Address: "victim@example.jp", Times: 1})
//	cuenote.Faults().Set(
//		simulator.Fault{Name: simulator.FaultReply, At: simulator.AtRCPT, Address: "full@", Code: 452, Text: "4.2.2 Mailbox full"},
//		simulator.Fault{Name: simulator.FaultRecordThenCut, Times: 1}, // at the final dot
//	)
//	ses.Faults().Clear()
//
// Set replaces the faults in force at once; names and stages are closed lists (SESFaults, SESStages, SMTPFaults,
// SMTPStages), and Fault, Latency, SMTPLimits and Account are JSON (times as "1.5s"), so that a command line can set them
// too. FaultHang waits for Faults().Release().
// SetOutage(OutageRefuse) makes the port refuse connections, OutageUnavailable answers 503 or 421 to everything.
// SetLatency draws fixed, uniform or lognormal times. SetAccount changes SES's quota and switches: MaxSendRate counts
// recipients a second, Max24HourSend over rolling 24 hours, both by SESConfig.Clock. GetAccount and its like are limited
// to 1 request a second (5 at once) as at AWS; NoCallLimit lifts that.
package simulator
