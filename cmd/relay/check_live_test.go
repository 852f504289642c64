package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sesrelay/cmd/relay/internal/config"
	"sesrelay/cmd/relay/internal/finding"
	"sesrelay/internal/simulator"
)

// hops are the simulated next hops that relay check --live asks.
type hops struct {
	cfg     *config.Config
	ses     *simulator.SES
	cuenote *simulator.SMTP
}

// newHops are in order, and so is what the configuration says of them.
func newHops(t *testing.T, hop simulator.SMTPConfig) *hops {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIDTEST")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	hop.Store = simulator.NewStore(simulator.StoreConfig{})
	h := &hops{cfg: config.Default()}
	var err error
	if h.ses, err = simulator.NewSES(simulator.SESConfig{Store: hop.Store, ConfigurationSets: []string{"set-1"},
		Identities: []string{"goo.ne.jp"}, Credentials: map[string]string{"AKIDTEST": "secret"}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.ses.Close)
	if h.cuenote, err = simulator.NewSMTP(hop); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.cuenote.Close)
	h.cfg.Hostname = "relay-1.goo.ne.jp"
	h.cfg.SES.Endpoint, h.cfg.SES.ConfigurationSet, h.cfg.SES.Identities = h.ses.URL(), "set-1", []string{"goo.ne.jp"}
	h.cfg.Cuenote.Address, h.cfg.Cuenote.TLS = h.cuenote.Addr(), "none"
	return h
}

// file writes what h.cfg says of the next hops.
func (h *hops) file(t *testing.T) string {
	t.Helper()
	return writeConfig(t, fmt.Sprintf("hostname: relay-1.goo.ne.jp\nlisteners: [{address: \"127.0.0.1:0\"}]\nadmin: {address: \"127.0.0.1:0\"}\n"+
		"ses: {endpoint: %q, configuration_set: %s}\ncuenote: {address: %q}\n", h.cfg.SES.Endpoint, h.cfg.SES.ConfigurationSet, h.cfg.Cuenote.Address))
}

func TestCheckLive(t *testing.T) {
	h := newHops(t, simulator.SMTPConfig{})
	code, out, _ := run(t, nil, "check", "--live", "--config", h.file(t))
	if code != exitDone || !strings.Contains(out, "all pass") || !strings.Contains(out, "cuenote") {
		t.Errorf("exit %d\n%s", code, out)
	}
	h.cfg.SES.ConfigurationSet, h.cfg.Cuenote.Address = "set-2", "127.0.0.1:1"
	code, out, _ = run(t, nil, "check", "--live", "--json", "--config", h.file(t))
	var report struct {
		OK     bool
		Checks []struct{ Level, Name, Fix, Command string }
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil || report.OK || code != exitFailed {
		t.Fatalf("exit %d, %v\n%s", code, err, out)
	}
	var failed []string
	for _, f := range report.Checks {
		if f.Level == "fail" {
			failed = append(failed, f.Name)
			if f.Command == "" || !strings.HasSuffix(f.Fix, f.Command) {
				t.Errorf("%+v", f)
			}
		}
	}
	if got := strings.Join(failed, ", "); got != "ses configuration set set-2, cuenote" {
		t.Errorf("failed: %s", got)
	}
}

// failed are those of the findings that fail, as expect wants them, and their text.
func failed(found []finding.Finding) (fails []finding.Finding, text string) {
	for _, f := range found {
		if f.Level() == finding.LevelFail {
			fails = append(fails, f)
			text += f.Detail() + " -> " + f.Fix() + "\n"
		}
	}
	return fails, text
}

// Each failure at SES is provoked, named, and ends in what mends it.
func TestCheckSESFailures(t *testing.T) {
	fault := func(name, at string) func(*hops, *testing.T) {
		return func(h *hops, t *testing.T) {
			if err := h.ses.Faults().Set(simulator.Fault{Name: name, At: at}); err != nil {
				t.Fatal(err)
			}
		}
	}
	account := func(a simulator.Account) func(*hops, *testing.T) {
		return func(h *hops, _ *testing.T) { h.ses.SetAccount(a) }
	}
	const key = "AWS_ACCESS_KEY_ID"
	for _, row := range []struct {
		name     string
		spoil    func(*hops, *testing.T)
		fails    string // names behind "fail ", with ", " between
		contains []string
	}{
		{"no credentials", func(_ *hops, t *testing.T) {
			dir := t.TempDir()
			for name, value := range map[string]string{key: "", "AWS_SECRET_ACCESS_KEY": "", "AWS_EC2_METADATA_DISABLED": "true",
				"AWS_CONFIG_FILE": filepath.Join(dir, "config"), "AWS_SHARED_CREDENTIALS_FILE": filepath.Join(dir, "credentials")} {
				t.Setenv(name, value)
			}
		}, "fail ses credentials", []string{"aws sts get-caller-identity"}},
		{"a profile that does not exist", func(_ *hops, t *testing.T) { t.Setenv("AWS_PROFILE", "nobody") }, "fail ses credentials", []string{"nobody"}},
		{"an endpoint that is none", func(h *hops, _ *testing.T) { h.cfg.SES.Endpoint = "http://[::1" }, "fail ses", []string{"vi relay.yaml"}},
		{"unknown key", func(_ *hops, t *testing.T) { t.Setenv(key, "AKIDOTHER") },
			"fail ses account, fail ses identity goo.ne.jp, fail ses configuration set set-1", []string{"valid now"}},
		{"GetAccount denied", fault(simulator.FaultAccessDenied, simulator.AtAccount), "fail ses account", []string{"allow ses:GetAccount"}},
		{"GetAccount throttled", fault(simulator.FaultThrottled, simulator.AtAccount), "fail ses account", []string{"relay check --live"}},
		{"SES is out", func(h *hops, t *testing.T) {
			if err := h.ses.SetOutage(simulator.OutageRefuse); err != nil {
				t.Fatal(err)
			}
		}, "fail ses account, fail ses identity goo.ne.jp, fail ses configuration set set-1", []string{"curl -sv http://"}},
		{"paused", account(simulator.Account{SendingPaused: true}), "fail ses sending", []string{"put-account-sending-attributes --sending-enabled"}},
		{"shut", account(simulator.Account{Suspended: true}), "fail ses sending", []string{"https://console.aws.amazon.com/support/home"}},
		{"sandbox", account(simulator.Account{Sandbox: true}), "fail ses production access", []string{"put-account-details --production-access-enabled"}},
		{"no such identity", func(h *hops, _ *testing.T) { h.cfg.SES.Identities = []string{"example.com"} }, "fail ses identity example.com", []string{"create-email-identity --email-identity example.com"}},
		{"GetEmailIdentity denied", fault(simulator.FaultAccessDenied, simulator.AtIdentity), "fail ses identity goo.ne.jp", []string{"allow ses:GetEmailIdentity"}},
		{"GetConfigurationSet denied", fault(simulator.FaultAccessDenied, simulator.AtConfigurationSet), "fail ses configuration set set-1", []string{"allow ses:GetConfigurationSet"}},
		{"configuration set paused", account(simulator.Account{PausedConfigSets: []string{"set-1"}}), "fail ses configuration set set-1", []string{"put-configuration-set-sending-options"}},
		{"ListEmailIdentities denied", func(h *hops, t *testing.T) {
			h.cfg.SES.Identities = nil
			fault(simulator.FaultAccessDenied, simulator.AtIdentity)(h, t)
		}, "fail ses identities", []string{"allow ses:ListEmailIdentities"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			h := newHops(t, simulator.SMTPConfig{})
			row.spoil(h, t)
			fails, text := failed(checkSES(t.Context(), "relay.yaml", h.cfg))
			expect(t, fails, strings.Split(row.fails, ", ")...)
			for _, want := range row.contains {
				if !strings.Contains(text, want) {
					t.Errorf("no %q in\n%s", want, text)
				}
			}
		})
	}
}

// Without identities in the file SES is asked for the list, as at the start.
func TestCheckIdentityList(t *testing.T) {
	h := newHops(t, simulator.SMTPConfig{})
	h.cfg.SES.Identities = nil
	for want, names := range map[string][]string{"1 verified: goo.ne.jp": {"goo.ne.jp"}, "none of this account and region is verified": {}} {
		some, err := simulator.NewSES(simulator.SESConfig{Identities: names, ConfigurationSets: []string{"set-1"}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(some.Close)
		h.cfg.SES.Endpoint = some.URL()
		found := checkSES(t.Context(), "relay.yaml", h.cfg)
		text := ""
		for _, f := range found {
			text += f.Detail() + "\n"
		}
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
		if fails, _ := failed(found); len(names) == 0 {
			expect(t, fails, "fail ses identities")
		}
	}
}

// Each way in which Cuenote may fail, with the command that shows it.
func TestCheckCuenoteFailures(t *testing.T) {
	fault := func(f simulator.Fault) func(*hops, *testing.T) {
		return func(h *hops, t *testing.T) {
			if err := h.cuenote.Faults().Set(f); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, row := range []struct {
		name  string
		hop   simulator.SMTPConfig
		spoil func(*hops, *testing.T)
		fix   string
	}{
		{"nobody listens", simulator.SMTPConfig{}, func(h *hops, _ *testing.T) { h.cfg.Cuenote.Address = "127.0.0.1:1" }, "nc -vz 127.0.0.1 1"},
		{"authorities that are none", simulator.SMTPConfig{}, func(h *hops, t *testing.T) {
			h.cfg.Cuenote.TLS, h.cfg.Cuenote.CAFile = "starttls", filepath.Join(t.TempDir(), "absent.pem")
		}, "vi relay.yaml"},
		{"a certificate of nobody", simulator.SMTPConfig{STARTTLS: true}, func(h *hops, _ *testing.T) { h.cfg.Cuenote.TLS = "starttls" }, " -starttls smtp -verify_return_error"},
		{"a certificate of nobody, implicit", simulator.SMTPConfig{ImplicitTLS: true}, func(h *hops, _ *testing.T) { h.cfg.Cuenote.TLS = "implicit" }, " -verify_return_error"},
		{"no STARTTLS", simulator.SMTPConfig{}, func(h *hops, _ *testing.T) { h.cfg.Cuenote.TLS = "starttls" }, "openssl s_client"},
		{"a wrong password", simulator.SMTPConfig{Username: "relay", Password: "right"}, func(h *hops, t *testing.T) {
			h.cfg.Cuenote.Username, h.cfg.Cuenote.PasswordFile = "relay", filepath.Join(t.TempDir(), "password")
			if err := os.WriteFile(h.cfg.Cuenote.PasswordFile, []byte("wrong\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "--auth-user relay --quit-after AUTH"},
		{"not admitted", simulator.SMTPConfig{}, fault(simulator.Fault{Name: simulator.FaultReply, At: simulator.AtGreeting, Code: 554, Text: "5.7.1 no"}), "swaks --server 127.0.0.1:"},
		{"busy", simulator.SMTPConfig{}, fault(simulator.Fault{Name: simulator.FaultReply, At: simulator.AtGreeting, Code: 421, Text: "4.7.0 busy"}), "--quit-after EHLO"},
		{"cut", simulator.SMTPConfig{}, fault(simulator.Fault{Name: simulator.FaultCut, At: simulator.AtGreeting}), "--quit-after EHLO"},
		{"no SMTP", simulator.SMTPConfig{}, fault(simulator.Fault{Name: simulator.FaultGarbledReply, At: simulator.AtHELO}), "--quit-after EHLO"},
	} {
		t.Run(row.name, func(t *testing.T) {
			h := newHops(t, row.hop)
			row.spoil(h, t)
			f := checkCuenote(t.Context(), "relay.yaml", h.cfg)
			expect(t, []finding.Finding{f}, "fail cuenote")
			if !strings.Contains(f.Command(), row.fix) {
				t.Errorf("%s -> %s", f.Detail(), f.Fix())
			}
		})
	}
	h := newHops(t, simulator.SMTPConfig{})
	for _, class := range []string{"timeout", "a class of tomorrow"} {
		if r := cuenoteFix(h.cfg, class); !strings.Contains(r.String(), "swaks --server "+h.cfg.Cuenote.Address) {
			t.Errorf("%s: %s", class, r)
		}
	}
}

// speaker listens, and says to each client what it is told; "" is silence.
func speaker(t *testing.T, says string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if says != "" {
				fmt.Fprint(conn, says)
				conn.Close()
				continue
			}
			t.Cleanup(func() { conn.Close() })
		}
	}()
	return l.Addr().String()
}

// What a listener says decides, and whether a relay runs that may say it.
func TestCheckListeners(t *testing.T) {
	t.Parallel()
	cfg := config.Default()
	allowed, alone := *cfg, *cfg
	alone.Access.Networks = nil
	for _, row := range []struct {
		name, says string
		cfg        *config.Config
		tls        string
		relay      presence
		want, text string
	}{
		{"greets", "220 relay-1 ESMTP\r\n", &allowed, "none", ready, "ok listener", "220 relay-1 ESMTP"},
		{"greets in two lines", "220-relay-1\r\n220 ESMTP\r\n", &allowed, "none", ready, "ok listener", "220-relay-1"},
		{"greets while starting", "220 relay-1 ESMTP\r\n", &allowed, "none", starting, "ok listener", "220 relay-1"},
		{"no relay", "220 other ESMTP\r\n", &allowed, "none", absent, "fail listener", "no relay runs"},
		{"silent", "", &allowed, "none", ready, "fail listener", "says nothing for 5s"},
		{"silent while draining", "", &allowed, "none", draining, "fail listener", "the relay is draining"},
		{"ends without a word", "\r\n", &allowed, "none", ready, "fail listener", `answers ""`},
		{"another protocol", "+OK POP3 ready\r\n", &allowed, "none", ready, "fail listener", `"+OK POP3 ready"`},
		{"half a line", "22", &allowed, "none", ready, "fail listener", `"22"`},
		{"turns away", "554 5.7.1 No service for this client\r\n", &allowed, "none", ready, "fail listener", "554 5.7.1 No service"},
		{"turns this machine away, as told", "554 5.7.1 No service for this client\r\n", &alone, "none", ready, "ok listener", "not in access.networks"},
		{"full", "421 4.3.2 Too many connections\r\n", &allowed, "none", ready, "fail listener", "421 4.3.2 Too many"},
		{"full while it ends", "421 4.3.2 Service shutting down\r\n", &allowed, "none", draining, "warning listener", "is draining"},
		{"no TLS", "220 relay-1 ESMTP\r\n", &allowed, "implicit", ready, "fail listener", "tls"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			f := checkListener(t.Context(), row.cfg, config.Listener{Address: speaker(t, row.says), TLS: row.tls}, row.relay)
			expect(t, []finding.Finding{f}, row.want)
			if !strings.Contains(f.Detail(), row.text) {
				t.Errorf("%s does not say %q", f.Detail(), row.text)
			}
		})
	}
	free := config.Listener{Address: freeAddress(t)}
	for relay, want := range map[presence]string{absent: "ok", starting: "ok", draining: "ok", ready: "warning"} {
		expect(t, []finding.Finding{checkListener(t.Context(), cfg, free, relay)}, want+" listener")
	}
	for _, address := range []string{"192.0.2.1:2525", "[::ffff:300.0.0.1]:25"} {
		expect(t, []finding.Finding{checkListener(t.Context(), cfg, config.Listener{Address: address}, ready)}, "fail listener")
	}
	gone := config.Listener{Address: freeAddress(t)}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := greeting(ctx, gone); err == nil {
		t.Error("a greeting of nobody")
	}
}

// Listeners of a running relay, each in its own way: behind TLS, and behind a
// load balancer that announces its clients.
func TestCheckListenersOfARelay(t *testing.T) {
	t.Parallel()
	cert, key := writeCertificate(t, "relay-1.goo.ne.jp", time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	implicit, proxied := freeAddress(t), freeAddress(t)
	s := serveFile(t, "drain: {grace: 0s, deadline: 5s}"+fmt.Sprintf("\ntls: {certificate_file: %s, key_file: %s}", cert, key))
	s.write("  - {address: "+implicit+", tls: implicit}", "  - {address: "+proxied+", proxy_protocol_from: [127.0.0.0/8]}")
	s.reloads("")
	cfg := s.cfg.Load()
	if len(cfg.Listeners) != 3 {
		t.Fatalf("%+v", cfg.Listeners)
	}
	f, relay := checkAdmin(t.Context(), cfg.Admin.Address)
	expect(t, []finding.Finding{f}, "ok admin.address")
	for _, l := range cfg.Listeners {
		f := checkListener(t.Context(), cfg, l, relay)
		if expect(t, []finding.Finding{f}, "ok listener"); !strings.Contains(f.Detail(), "answers 220 ") {
			t.Error(f.Detail())
		}
	}
}

// Starting and draining are not the same as no relay, and another server's 503
// is not a relay's.
func TestCheckAdmin(t *testing.T) {
	t.Parallel()
	var status int
	var body string
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}))
	t.Cleanup(api.Close)
	address := strings.TrimPrefix(api.URL, "http://")
	for _, row := range []struct {
		status int
		body   string
		want   string
		relay  presence
	}{
		{200, `{"status":"ready"}`, "ok", ready},
		{503, `{"type":"about:blank","title":"Service Unavailable","status":503,"detail":"draining"}`, "warning", draining},
		{503, `{"status":503,"detail":"starting"}`, "warning", starting},
		{503, "upstream connect error", "fail", absent},
		{200, "<html>", "fail", absent},
		{200, `{"status":"UP"}`, "fail", absent},
		{404, `{}`, "fail", absent},
	} {
		status, body = row.status, row.body
		f, relay := checkAdmin(t.Context(), address)
		expect(t, []finding.Finding{f}, row.want+" admin.address")
		if relay != row.relay {
			t.Errorf("%d %s: %s, want %s", row.status, row.body, relay, row.relay)
		}
	}
	f, relay := checkAdmin(t.Context(), speaker(t, "220 no HTTP\r\n"))
	if expect(t, []finding.Finding{f}, "fail admin.address"); relay != absent {
		t.Error(relay)
	}
	f, relay = checkAdmin(t.Context(), freeAddress(t))
	if expect(t, []finding.Finding{f}, "ok admin.address"); relay != absent {
		t.Error(relay)
	}
}

// A relay that drains is told from one that is not there, by the real thing.
func TestCheckADrainingRelay(t *testing.T) {
	t.Parallel()
	s := serveFile(t, "drain: {grace: 10s, deadline: 15s}")
	s.stop()
	waitFor(t, "the drain begins", func() bool { return s.draining.Load() })
	cfg := s.cfg.Load()
	f, relay := checkAdmin(t.Context(), cfg.Admin.Address)
	if expect(t, []finding.Finding{f}, "warning admin.address"); relay != draining {
		t.Fatal(relay)
	}
	for _, l := range cfg.Listeners {
		if f := checkListener(t.Context(), cfg, l, relay); f.Level() == finding.LevelFail {
			t.Error(f.Detail())
		}
	}
}
