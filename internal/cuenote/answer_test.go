package cuenote

import (
	"strings"
	"testing"

	"sesrelay/internal/relay"
)

// TestRefusal has one row for every decision about a refusing reply.
func TestRefusal(t *testing.T) {
	t.Parallel()
	const (
		trip   = "not accepted, unavailable, trip, config, " + configReply
		count  = "not accepted, unavailable, count, config, " + configReply
		passed = "not accepted, rejected, none, rejected, " // and the reply
		later  = "not accepted, unavailable, none, deferred, "
		system = "not accepted, unavailable, count, deferred, "
	)
	for _, c := range []struct {
		cmd   command
		reply string
		want  string
	}{
		// MAIL: what is about us.
		{cmdMail, "530 5.7.0 Authentication required", trip},
		{cmdMail, "530 5.7.0 Must issue a STARTTLS command first", trip},
		{cmdMail, "534 5.7.9 Mechanism too weak", trip},
		{cmdMail, "535 5.7.8 Authentication credentials invalid", trip},
		{cmdMail, "538 5.7.11 Encryption required", trip},
		{cmdMail, "521 5.3.2 Host does not accept mail", trip},
		{cmdMail, "500 5.5.2 Error: bad syntax", count},
		{cmdMail, "501 5.5.4 Unsupported option: BODY=8BITMIME", count},
		{cmdMail, "501 Syntax error", count},
		{cmdMail, "502 5.5.1 Not implemented", count},
		{cmdMail, "503 5.5.1 Error: send HELO/EHLO first", count},
		{cmdMail, "504 5.5.4 Parameter not implemented", count},
		{cmdMail, "555 5.5.4 Unsupported option", count},
		{cmdMail, "554 5.7.1 Relay access denied", count},
		{cmdMail, "554 5.7.1 <relay[192.0.2.1]>: Client host rejected: Access denied", count},
		{cmdMail, "554 Transaction failed", count},
		{cmdMail, "550 5.7.1 Client not permitted", count},
		{cmdMail, "553 5.7.1 Sender address rejected: not owned by user relay", count},
		{cmdMail, "550 relay not permitted", count},
		// MAIL: what is about the mail.
		{cmdMail, "501 5.1.7 Bad sender address syntax", passed + "501 5.1.7 Bad sender address syntax"},
		{cmdMail, "550 5.1.8 Sender domain not found", passed + "550 5.1.8 Sender domain not found"},
		{cmdMail, "550 Unknown sender", passed + "550 Unknown sender"},
		{cmdMail, "553 5.1.8 Domain of sender does not exist", passed + "553 5.1.8 Domain of sender does not exist"},
		{cmdMail, "554 5.1.8 Sender refused", passed + "554 5.1.8 Sender refused"},
		{cmdMail, "552 5.3.4 Message size exceeds fixed limit", passed + "552 5.3.4 Message size exceeds fixed limit"},
		{cmdMail, "450 4.1.8 Sender domain lookup failed", later + "450 4.1.8 Sender domain lookup failed"},
		{cmdMail, "451 later", later + "451 later"},
		{cmdMail, "451 4.7.1 Rate exceeded", later + "451 4.7.1 Rate exceeded"},
		{cmdMail, "452 4.3.1 Insufficient system storage", system + "452 4.3.1 Insufficient system storage"},
		{cmdMail, "450 4.3.2 System not accepting mail", system + "450 4.3.2 System not accepting mail"},

		// RCPT: about the recipient, as it is.
		{cmdRcpt, "550 5.1.1 <a@example.jp>: User unknown", passed + "550 5.1.1 <a@example.jp>: User unknown"},
		{cmdRcpt, "550 No such user", passed + "550 No such user"},
		{cmdRcpt, "551 5.1.6 User not local", passed + "551 5.1.6 User not local"},
		{cmdRcpt, "552 5.2.2 Mailbox full", passed + "552 5.2.2 Mailbox full"},
		{cmdRcpt, "553 5.1.3 Mailbox name not allowed", passed + "553 5.1.3 Mailbox name not allowed"},
		{cmdRcpt, "554 5.7.1 Recipient address rejected: Access denied", passed + "554 5.7.1 Recipient address rejected: Access denied"},
		{cmdRcpt, "556 5.1.10 Recipient has null MX", passed + "556 5.1.10 Recipient has null MX"},
		{cmdRcpt, "501 5.1.3 Bad recipient address syntax", passed + "501 5.1.3 Bad recipient address syntax"},
		{cmdRcpt, "501 Bad address", passed + "501 Bad address"},
		{cmdRcpt, "450 4.2.1 Greylisted", later + "450 4.2.1 Greylisted"},
		{cmdRcpt, "452 4.5.3 Too many recipients", later + "452 4.5.3 Too many recipients"},
		{cmdRcpt, "451 4.3.0 Temporary lookup failure", system + "451 4.3.0 Temporary lookup failure"},
		// RCPT: about us, where most servers say it.
		{cmdRcpt, "554 5.7.1 <a@example.jp>: Relay access denied", count},
		{cmdRcpt, "550 5.7.1 Unable to relay", count},
		{cmdRcpt, "550 5.7.1 <a@example.jp>... Relaying denied", count},
		{cmdRcpt, "554 5.7.1 <relay[192.0.2.1]>: Client host rejected: Access denied", count},
		{cmdRcpt, "553 5.7.1 Authentication required", count},
		{cmdRcpt, "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using bl.example", count},
		{cmdRcpt, "550 5.7.1 Service unavailable, Client host [192.0.2.1] blocked using a list", count},
		{cmdRcpt, "550 5.7.606 Access denied, banned sending IP [192.0.2.1]", count},
		{cmdRcpt, "553 5.7.1 <s@goo.ne.jp>: Sender address rejected: not owned by user relay", count},
		{cmdRcpt, "553 5.7.1 <s@goo.ne.jp>: Sender address rejected: not logged in", count},
		{cmdRcpt, "554 5.7.1 <relay.goo.ne.jp>: Helo command rejected: Access denied", count},
		{cmdRcpt, "550 5.7.1 <relay.goo.ne.jp>: Helo command rejected: Host not found", count},
		{cmdRcpt, "553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)", count},
		// RCPT: about the sender of the mail, said there.
		{cmdRcpt, "550 5.1.8 <s@nowhere.jp>: Sender address rejected: Domain not found", passed + "550 5.1.8 <s@nowhere.jp>: Sender address rejected: Domain not found"},
		{cmdRcpt, "530 5.7.0 Authentication required", trip},
		{cmdRcpt, "501 5.5.4 Unsupported option", count},
		{cmdRcpt, "503 5.5.1 Error: need MAIL command", count},
		{cmdRcpt, "521 5.1.10 Domain does not accept mail", passed + "521 5.1.10 Domain does not accept mail"},

		// DATA.
		{cmdData, "503 5.5.1 need RCPT", count},
		{cmdData, "554 5.5.1 No valid recipients", count},
		{cmdData, "530 5.7.0 Authentication required", trip},
		{cmdData, "550 5.7.1 Policy", passed + "550 5.7.1 Policy"},
		{cmdData, "554 Refused", passed + "554 Refused"},
		{cmdData, "451 4.7.1 Later", later + "451 4.7.1 Later"},
		{cmdData, "452 4.3.1 Disk full", system + "452 4.3.1 Disk full"},

		// The final dot: about the content, but for AUTH.
		{cmdDot, "500 5.6.0 Line too long", passed + "500 5.6.0 Line too long"},
		{cmdDot, "554 5.7.1 Blocked by content filter", passed + "554 5.7.1 Blocked by content filter"},
		{cmdDot, "552 5.3.4 Too large", passed + "552 5.3.4 Too large"},
		{cmdDot, "550 5.7.1 DMARC", passed + "550 5.7.1 DMARC"},
		{cmdDot, "530 5.7.0 Authentication required", trip},
		{cmdDot, "451 4.7.1 Scanner busy", later + "451 4.7.1 Scanner busy"},
		{cmdDot, "451 4.3.0 queue file write error", system + "451 4.3.0 queue file write error"},

		// Everywhere.
		{cmdMail, "421 4.3.2 bye", shutdown},
		{cmdRcpt, "421 4.7.0 too many", shutdown},
		{cmdDot, "421 4.3.0 bye", shutdown},
		{cmdMail, "354 go", nonsense},
		{cmdData, "250 ok", nonsense},
	} {
		r := parse(t, c.reply)
		if got := describe(refusal(c.cmd, r)); got != c.want {
			t.Errorf("%s answered %q:\ngot  %s\nwant %s", c.cmd, c.reply, got, c.want)
		}
	}
}

// parse reads one reply.
func parse(t *testing.T, s string) *reply {
	t.Helper()
	var r reply
	if err := r.read(newReader(strings.ReplaceAll(s, "\n", "\r\n") + "\r\n")); err != nil {
		t.Fatal(err)
	}
	return &r
}

// TestFaultOfOursIsNeverPermanent: whatever the table says is ours must be a
// 451 for the client.
func TestFaultOfOursIsNeverPermanent(t *testing.T) {
	t.Parallel()
	for _, cmd := range []command{cmdMail, cmdRcpt, cmdData, cmdDot} {
		for code := 200; code < 600; code++ {
			r := &reply{code: code, text: []byte("relay access denied")}
			e := refusal(cmd, r)
			switch {
			case e.Outcome != relay.NotAccepted:
				t.Errorf("%s %d: %s", cmd, code, e.Outcome)
			case e.Kind == relay.Rejected && e.Reply.Code != code, e.Kind != relay.Rejected && e.Reply.Permanent():
				t.Errorf("%s %d: kind %s with reply %s", cmd, code, kinds[e.Kind], e.Reply)
			case e.Reply.Code == 421:
				t.Errorf("%s %d: 421 would close the client's connection", cmd, code)
			}
		}
	}
}
