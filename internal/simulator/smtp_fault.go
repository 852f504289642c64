package simulator

import "fmt"

// Stages at which a fault of the SMTP hop strikes: the greeting, a command, the final dot, or the time after a
// transaction.
const (
	AtGreeting = "greeting"
	AtHELO     = "helo" // HELO and EHLO
	AtSTARTTLS = "starttls"
	AtAUTH     = "auth"
	AtMAIL     = "mail" // Address is compared with the reverse-path
	AtRCPT     = "rcpt" // Address is compared with this recipient
	AtDATA     = "data" // Address: any recipient of the transaction
	AtDot      = "dot"  // the same; the usual one
	AtRSET     = "rset"
	AtNOOP     = "noop"
	AtBetween  = "between" // after the reply to the dot: what is said or done there nobody asked for
)

// SMTPStages returns the closed list of stages of the SMTP hop.
func SMTPStages() []string {
	return []string{AtGreeting, AtHELO, AtSTARTTLS, AtAUTH, AtMAIL, AtRCPT, AtDATA, AtDot, AtRSET, AtNOOP, AtBetween}
}

// Faults of the SMTP hop, besides FaultDelay and FaultHang. FaultHang answers nothing until Release, then goes on as
// usual, whether or not the client is still there; at the dot nothing is recorded before that. All but those with "Record" in their name record nothing.
const (
	FaultReply           = "reply"             // Code and Text instead of the usual reply; a 421 closes (RFC 5321 section 3.8)
	FaultCut             = "cut"               // closed without a reply
	FaultReset           = "reset"             // the same, with a TCP reset
	FaultCutAfterReply   = "cut-after-reply"   // the usual reply, then closed
	FaultRecordThenCut   = "record-then-cut"   // at the dot: recorded, then closed: accepted, and the reply is lost
	FaultRecordThenReply = "record-then-reply" // at the dot: recorded, then Code and Text
	FaultRecordThenHang  = "record-then-hang"  // at the dot: recorded, no reply until Release
	FaultGarbledReply    = "garbled-reply"     // the command is not done, and a line that is no SMTP reply stands for one
)

// SMTPFaults returns the closed list of faults of the SMTP hop.
func SMTPFaults() []string {
	return []string{FaultReply, FaultCut, FaultReset, FaultCutAfterReply, FaultRecordThenCut, FaultRecordThenReply,
		FaultRecordThenHang, FaultGarbledReply, FaultDelay, FaultHang}
}

// smtpSuits refuses faults that could never do what they say.
func smtpSuits(f Fault) error {
	if recordsFirst(f.Name) && f.At != AtDot {
		return fmt.Errorf("%s strikes at %s only", f.Name, AtDot)
	}
	switch f.At {
	case AtMAIL, AtRCPT, AtDATA, AtDot:
		return nil
	}
	if f.choosy() {
		return fmt.Errorf("%s at %s: %w", f.Name, f.At, errNoAddress)
	}
	return nil
}

func anyFault(string) bool { return true }

// reply returns the fault's own reply.
func (f Fault) reply() (code int, text string) {
	code, text = f.Code, f.Text
	switch {
	case code == 0 && f.At == AtBetween:
		code = 421
	case code == 0:
		code = 451
	}
	if text == "" {
		switch {
		case code == 421:
			text = "4.3.2 Service not available, closing transmission channel"
		case code < 500:
			text = "4.3.0 Simulated temporary failure"
		default:
			text = "5.0.0 Simulated permanent failure"
		}
	}
	return code, text
}
