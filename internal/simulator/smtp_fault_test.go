package simulator_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"sesrelay/internal/simulator"
)

// session says each line of a whole mail and returns the replies; a connection that ends gives "closed" or "reset", and
// one that says nothing for a while "silence", which is short only where silence is wanted.
func session(t *testing.T, s *simulator.SMTP, want string) (replies []string) {
	t.Helper()
	c := dial(t, s)
	r := bufio.NewReader(c)
	for _, line := range []string{"", "EHLO x", "MAIL FROM:<a@b.jp>", "RCPT TO:<c@d.jp>", "DATA", "x\r\n.", "NOOP", "RSET"} {
		if line != "" {
			io.WriteString(c, line+"\r\n")
		}
		patience := time.Minute
		if expected := strings.Fields(want); len(replies) < len(expected) && expected[len(replies)] == "silence" {
			patience = 100 * time.Millisecond
		}
		c.SetReadDeadline(time.Now().Add(patience))
		for {
			reply, err := r.ReadString('\n')
			if err != nil {
				return append(replies, ending(err))
			}
			if len(reply) > 3 && reply[3] == '-' {
				continue
			}
			replies = append(replies, strings.TrimSpace(reply[:3]))
			break
		}
	}
	return replies
}

func ending(err error) string {
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		return "silence"
	}
	if errors.Is(err, syscall.ECONNRESET) {
		return "reset"
	}
	return "closed"
}

func TestSMTPFaults(t *testing.T) {
	t.Parallel()
	const all = "220 250 250 250 354 250 250 250"
	type f = simulator.Fault
	for name, c := range map[string]struct {
		fault    f
		want     string
		recorded int
	}{
		"none":                  {f{Name: simulator.FaultDelay, At: simulator.AtSTARTTLS}, all, 1},
		"greeting 554":          {f{Name: simulator.FaultReply, At: simulator.AtGreeting, Code: 554}, "554 closed", 0},
		"greeting 421":          {f{Name: simulator.FaultReply, At: simulator.AtGreeting, Code: 421}, "421 closed", 0},
		"no greeting":           {f{Name: simulator.FaultHang, At: simulator.AtGreeting}, "silence", 0},
		"cut at connect":        {f{Name: simulator.FaultCut, At: simulator.AtGreeting}, "closed", 0},
		"EHLO 451":              {f{Name: simulator.FaultReply, At: simulator.AtHELO}, "220 451 503 503 503 500 500 250", 0},
		"MAIL 421":              {f{Name: simulator.FaultReply, At: simulator.AtMAIL, Code: 421}, "220 250 421 closed", 0},
		"MAIL of this sender":   {f{Name: simulator.FaultReply, At: simulator.AtMAIL, Address: "a@b.jp", Code: 550}, "220 250 550 503 554 500 500 250", 0},
		"RCPT of this address":  {f{Name: simulator.FaultReply, At: simulator.AtRCPT, Address: "c@d.jp", Code: 450}, "220 250 250 450 554 500 500 250", 0},
		"RCPT of another":       {f{Name: simulator.FaultReply, At: simulator.AtRCPT, Address: "z@d.jp", Code: 450}, all, 1},
		"DATA 452":              {f{Name: simulator.FaultReply, At: simulator.AtDATA, Code: 452}, "220 250 250 250 452 500 500 250", 0},
		"dot 554":               {f{Name: simulator.FaultReply, Code: 554}, "220 250 250 250 354 554 250 250", 0},
		"dot of this recipient": {f{Name: simulator.FaultReply, Address: "c@d.jp", Code: 554}, "220 250 250 250 354 554 250 250", 0},
		"RSET 421":              {f{Name: simulator.FaultReply, At: simulator.AtRSET, Code: 421}, "220 250 250 250 354 250 250 421", 1},
		"NOOP cut":              {f{Name: simulator.FaultCut, At: simulator.AtNOOP}, "220 250 250 250 354 250 closed", 1},
		"cut at RCPT":           {f{Name: simulator.FaultCut, At: simulator.AtRCPT}, "220 250 250 closed", 0},
		"reset at RCPT":         {f{Name: simulator.FaultReset, At: simulator.AtRCPT}, "220 250 250 reset", 0},
		"reply, then cut":       {f{Name: simulator.FaultCutAfterReply, At: simulator.AtMAIL}, "220 250 250 closed", 0},
		"cut after the dot":     {f{Name: simulator.FaultCut}, "220 250 250 250 354 closed", 0},
		"record, then cut":      {f{Name: simulator.FaultRecordThenCut}, "220 250 250 250 354 closed", 1},
		"record, then 451":      {f{Name: simulator.FaultRecordThenReply}, "220 250 250 250 354 451 250 250", 1},
		"record, then 421":      {f{Name: simulator.FaultRecordThenReply, Code: 421}, "220 250 250 250 354 421 closed", 1},
		"record, then hang":     {f{Name: simulator.FaultRecordThenHang}, "220 250 250 250 354 silence", 1},
		"250, then cut":         {f{Name: simulator.FaultCutAfterReply}, "220 250 250 250 354 250 closed", 1},
		"hang at the dot":       {f{Name: simulator.FaultHang}, "220 250 250 250 354 silence", 0},
		"late at the dot":       {f{Name: simulator.FaultDelay, Delay: time.Hour}, "220 250 250 250 354 silence", 0},
		"garbled":               {f{Name: simulator.FaultGarbledReply, At: simulator.AtMAIL}, "220 250 ?? 503 554 500 500 250", 0},
		"421 between":           {f{Name: simulator.FaultReply, At: simulator.AtBetween}, "220 250 250 250 354 250 421 closed", 1},
		"cut between":           {f{Name: simulator.FaultCut, At: simulator.AtBetween}, "220 250 250 250 354 250 closed", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startSMTP(t, simulator.SMTPConfig{})
			if err := s.Faults().Set(c.fault); err != nil {
				t.Fatal(err)
			}
			got := strings.Join(session(t, s, c.want), " ")
			if !strings.HasPrefix(got, c.want) {
				t.Errorf("replies\n got %s\nwant %s", got, c.want)
			}
			if n := s.Store().Count(); n != c.recorded {
				t.Errorf("%d recorded, want %d", n, c.recorded)
			}
			s.Faults().Clear()
			if got := strings.Join(session(t, s, all), " "); got != all {
				t.Errorf("after Clear: %s", got)
			}
		})
	}
}

func TestSMTPFaultListIsClosed(t *testing.T) {
	t.Parallel()
	s := startSMTP(t, simulator.SMTPConfig{})
	for _, bad := range []simulator.Fault{
		{Name: simulator.FaultThrottled},
		{Name: simulator.FaultReply, At: simulator.AtSend},
		{Name: simulator.FaultReply, Code: 250},
		{Name: simulator.FaultReply, Code: 600},
		{Name: simulator.FaultReply, At: simulator.AtHELO, Address: "a@b.jp"},
		{Name: simulator.FaultRecordThenCut, At: simulator.AtRCPT},
	} {
		if err := s.Faults().Set(bad); err == nil {
			t.Errorf("%+v was taken", bad)
		}
	}
	for _, name := range simulator.SMTPFaults() {
		for _, at := range simulator.SMTPStages() {
			err := s.Faults().Set(simulator.Fault{Name: name, At: at})
			if want := strings.HasPrefix(name, "record-") && at != simulator.AtDot; (err != nil) != want {
				t.Errorf("%s at %s: %v", name, at, err)
			}
		}
	}
}

func TestSMTPHangUntilReleased(t *testing.T) {
	t.Parallel()
	s := startSMTP(t, simulator.SMTPConfig{})
	s.Faults().Set(simulator.Fault{Name: simulator.FaultHang})
	c := dial(t, s).hello().open("a@b.jp", "c@d.jp")
	io.WriteString(c, "x\r\n.\r\n")
	done := make(chan string)
	go func() { done <- c.say("", "250") }()
	for s.Faults().Struck()[simulator.FaultHang] == 0 {
		time.Sleep(time.Millisecond)
	}
	if n := s.Store().Count(); n != 0 {
		t.Errorf("%d recorded while it hangs", n)
	}
	for {
		s.Faults().Release()
		select {
		case <-done:
			if n := s.Store().Count(); n != 1 {
				t.Errorf("%d recorded", n)
			}
			return
		case <-time.After(time.Millisecond):
		}
	}
}

func TestSMTPLimits(t *testing.T) {
	t.Parallel()
	t.Run("connections", func(t *testing.T) {
		t.Parallel()
		s := startSMTP(t, simulator.SMTPConfig{Limits: simulator.SMTPLimits{MaxConnections: 2}})
		a, b := dial(t, s).hello(), dial(t, s).hello()
		for range 3 { // refused ones do not count
			dial(t, s).say("", "421 4.7.0")
		}
		if open, total := s.Connections(); open != 2 || total != 5 {
			t.Errorf("%d open of %d", open, total)
		}
		a.say("QUIT\r\n", "221")
		dial(t, s).hello()
		b.say("NOOP\r\n", "250")
		s.CutConnections()
		if got := b.closed(); got != "" {
			t.Errorf("cut with %q", got)
		}
		for open, _ := s.Connections(); open > 0; open, _ = s.Connections() {
			time.Sleep(time.Millisecond)
		}
		dial(t, s).hello()
	})
	t.Run("messages and recipients", func(t *testing.T) {
		t.Parallel()
		s := startSMTP(t, simulator.SMTPConfig{Limits: simulator.SMTPLimits{MaxMessages: 2, MaxRecipients: 1}})
		c := dial(t, s).hello()
		for range 2 {
			c.say("MAIL FROM:<a@b.jp>\r\n", "250")
			c.say("RCPT TO:<a@b.jp>\r\n", "250")
			c.say("RCPT TO:<b@b.jp>\r\n", "452 4.5.3")
			c.say("DATA\r\n", "354")
			c.say("x\r\n.\r\n", "250")
		}
		c.say("MAIL FROM:<a@b.jp>\r\n", "421 4.7.0")
		if got := c.closed(); got != "" {
			t.Errorf("after the 421: %q", got)
		}
	})
	t.Run("rate", func(t *testing.T) {
		t.Parallel()
		virtual := &clock{time.Unix(1_800_000_000, 0)}
		s := startSMTP(t, simulator.SMTPConfig{Clock: func() time.Time { return virtual.now }, Limits: simulator.SMTPLimits{Rate: 2}})
		c := dial(t, s).hello()
		for range 2 {
			c.say("MAIL FROM:<a@b.jp>\r\n", "250")
			c.say("RSET\r\n", "250")
		}
		c.say("MAIL FROM:<a@b.jp>\r\n", "451 4.7.1")
		virtual.add(500 * time.Millisecond)
		c.say("MAIL FROM:<a@b.jp>\r\n", "250")
		c.say("RSET\r\n", "250")
		c.say("MAIL FROM:<a@b.jp>\r\n", "451 4.7.1")
	})
	t.Run("idle", func(t *testing.T) {
		t.Parallel()
		s := startSMTP(t, simulator.SMTPConfig{Limits: simulator.SMTPLimits{IdleTimeout: 300 * time.Millisecond}})
		c := dial(t, s).hello()
		if got := c.closed(); !strings.HasPrefix(got, "421 4.4.2") {
			t.Errorf("idle: %q", got)
		}
		noAnomalies(t, s)
	})
	t.Run("size", func(t *testing.T) {
		t.Parallel()
		s := startSMTP(t, simulator.SMTPConfig{MaxSize: 200_000})
		c := dial(t, s).hello()
		c.say("MAIL FROM:<a@b.jp> SIZE=200001\r\n", "552")
		line := strings.Repeat("x", 98) + "\r\n"
		for _, size := range []int{200_000, 200_001, 200_100, 2_000_000} {
			body := strings.Repeat(line, size/100)
			body += strings.Repeat("y", size-len(body))
			if !strings.HasSuffix(body, "\r\n") {
				body = body[:len(body)-2] + "\r\n"
				if size%100 == 1 {
					body = body[:size-3] + "z\r\n"
				}
			}
			want := "250"
			if len(body) > 200_000 {
				want = "552"
			}
			c.open("a@b.jp", "c@d.jp").say(body+".\r\n", want)
		}
		if all := s.Store().All(); len(all) != 1 || all[0].Size != 200_000 {
			t.Errorf("%d recorded", len(all))
		}
		c.say("NOOP\r\n", "250")
	})
}

func TestSMTPOutage(t *testing.T) {
	t.Parallel()
	s := startSMTP(t, simulator.SMTPConfig{})
	for range 3 {
		c := dial(t, s).hello()
		if err := s.SetOutage(simulator.OutageRefuse); err != nil {
			t.Fatal(err)
		}
		if got := c.closed(); got != "" {
			t.Errorf("the open connection said %q", got)
		}
		if _, err := net.Dial("tcp", s.Addr()); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("dial: %v", err)
		}
		if err := s.SetOutage(simulator.OutageUnavailable); err != nil {
			t.Fatal(err)
		}
		if got := dial(t, s).closed(); !strings.HasPrefix(got, "421 4.3.2") {
			t.Errorf("unavailable: %q", got)
		}
		if err := s.SetOutage(simulator.NoOutage); err != nil {
			t.Fatal(err)
		}
		dial(t, s).hello()
	}
	s.Close()
	if s.SetOutage(simulator.NoOutage) == nil {
		t.Error("a closed hop came back")
	}
}

func TestSMTPLatencyAndCommands(t *testing.T) {
	t.Parallel()
	s := startSMTP(t, simulator.SMTPConfig{Latency: simulator.Latency{Fixed: 30 * time.Millisecond}})
	c := dial(t, s).hello().open("a@b.jp", "c@d.jp")
	begin := time.Now()
	c.say("x\r\n.\r\n", "250")
	if d := time.Since(begin); d < 30*time.Millisecond {
		t.Errorf("answered after %v", d)
	}
	s.SetLatency(simulator.Latency{})
	for command, code := range map[string]string{"VRFY x": "252", "HELP": "502", "EXPN x": "502", "LHLO x": "502", "noop": "250", "EHLO": "501", "DATA x": "501"} {
		c.say(command+"\r\n", code)
	}
	if got := kinds(s); !slices.Equal(got, []string{simulator.AnomalyNotOffered, simulator.AnomalySyntax}) {
		t.Errorf("anomalies %q", got)
	}
}

func TestSMTPFaultsBeforeMail(t *testing.T) {
	t.Parallel()
	s := startSMTP(t, simulator.SMTPConfig{STARTTLS: true, Username: "user", Password: "pass"})
	s.Faults().Set(
		simulator.Fault{Name: simulator.FaultReply, At: simulator.AtSTARTTLS, Code: 454, Text: "4.7.0 TLS not available"},
		simulator.Fault{Name: simulator.FaultReply, At: simulator.AtAUTH, Code: 454, Text: "4.7.0 Temporary authentication failure"},
	)
	c := dial(t, s).hello()
	c.say("STARTTLS\r\n", "454 4.7.0 TLS")
	c.say("AUTH PLAIN AHVzZXIAcGFzcw==\r\n", "454 4.7.0 Temporary")
	s.Faults().Set(simulator.Fault{Name: simulator.FaultCut, At: simulator.AtSTARTTLS})
	c.say("AUTH PLAIN AHVzZXIAcGFzcw==\r\n", "235")
	io.WriteString(c, "STARTTLS\r\n")
	if got := c.closed(); got != "" {
		t.Errorf("STARTTLS gave %q", got)
	}
	if got := kinds(s); !slices.Equal(got, []string{simulator.AnomalyPlainPassword}) {
		t.Errorf("anomalies %q", got)
	}
}
