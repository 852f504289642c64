package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestPostfixTakesEveryLine runs the printed commands with the real postconf on
// a directory of its own, twice, and reads back what Postfix understands.
func TestPostfixTakesEveryLine(t *testing.T) {
	t.Parallel()
	postconf, err := exec.LookPath("postconf")
	if err != nil {
		t.Skip("postconf is missing: apt-get install postfix")
	}
	tls := "tls: {certificate_file: c.pem, key_file: k.pem}\n"
	for name, row := range map[string]struct {
		config string
		args   []string
		want   map[string]string
		master string
	}{
		"default": {"", nil, map[string]string{
			"relayhost": "[127.0.0.1]:2525", "smtp_tls_security_level": "none", "default_destination_concurrency_limit": "200",
			"smtp_connection_cache_destinations": "127.0.0.1", "queue_run_delay": "60s", "smtp_data_done_timeout": "600s",
		}, "smtp unix - - y - 250 smtp -o soft_bounce=yes"},
		"two relays, verified": {"listeners: [{address: \"0.0.0.0:25\", tls: required}]\n" + tls,
			[]string{"--name", "relay-a.goo.ne.jp,relay-b.goo.ne.jp", "--servers", "1", "--rate", "6000"}, map[string]string{
				"relayhost": "[relay-a.goo.ne.jp]:25, [relay-b.goo.ne.jp]:25", "smtp_tls_security_level": "secure",
				"smtp_tls_secure_cert_match": "nexthop", "smtp_host_lookup": "dns, native", "smtp_tls_wrappermode": "no", "default_destination_concurrency_limit": "140",
				"smtp_connection_cache_destinations": "relay-a.goo.ne.jp, relay-b.goo.ne.jp",
			}, "smtp unix - - y - 190 smtp -o soft_bounce=yes"},
		"lmtp, implicit, by address": {"listeners: [{address: \"10.0.0.1:24\", tls: implicit, protocol: lmtp}]\n" + tls, nil, map[string]string{
			"default_transport": "lmtp:[10.0.0.1]:24", "relay_transport": "lmtp:[10.0.0.1]:24", "relayhost": "",
			"lmtp_tls_security_level": "encrypt", "lmtp_tls_wrappermode": "yes", "lmtp_tls_connection_reuse": "yes",
		}, "lmtp unix - - y - 250 lmtp -o soft_bounce=yes"},
		"by password": {"access: {networks: [], users_file: users}\nlisteners: [{address: \"127.0.0.1:25\", tls: starttls}]\n" + tls,
			[]string{"--name", "relay.goo.ne.jp"}, map[string]string{
				"smtp_sasl_auth_enable": "yes", "smtp_sasl_security_options": "noanonymous", "smtp_tls_security_level": "secure",
			}, "smtp unix - - y - 250 smtp -o soft_bounce=yes"},
		"ipv6": {"listeners: [{address: \"[::1]:25\"}]\n", nil, map[string]string{"relayhost": "[ipv6:::1]:25"}, "smtp unix - - y - 250 smtp -o soft_bounce=yes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := postfixDirectory(t)
			args := append([]string{"postfix", "--config", writeConfig(t, "hostname: relay.goo.ne.jp\n"+row.config), "--postfix-config", dir}, row.args...)
			code, script, errOut := run(t, nil, args...)
			if code != exitDone {
				t.Fatalf("exit %d: %s", code, errOut)
			}
			for range 2 { // repeating it changes nothing
				if out, err := exec.Command("sh", "-ec", script).CombinedOutput(); err != nil || len(out) > 0 {
					t.Fatalf("%v: %s", err, out)
				}
			}
			for key, want := range row.want {
				out, err := exec.Command(postconf, "-c", dir, "-h", key).CombinedOutput()
				if got := strings.TrimSpace(string(out)); err != nil || got != want {
					t.Errorf("%s = %q, want %q (%v)", key, got, want, err)
				}
			}
			if out, err := exec.Command(postconf, "-c", dir, "-n").CombinedOutput(); err != nil || strings.Contains(string(out), "warning") {
				t.Errorf("postconf -n: %v\n%s", err, out)
			}
			service := strings.SplitN(row.master, " ", 2)[0]
			out, err := exec.Command(postconf, "-c", dir, "-M", service+"/unix").CombinedOutput()
			if got := strings.Join(strings.Fields(string(out)), " "); err != nil || got != row.master {
				t.Errorf("master.cf has %q, want %q (%v)", got, row.master, err)
			}
			// Without tlsproxy a kept TLS connection is a deferred mail (tried).
			reuse, err := exec.Command(postconf, "-c", dir, "-h", service+"_tls_connection_reuse").Output()
			if err != nil {
				t.Fatal(err)
			}
			proxy, err := exec.Command(postconf, "-c", dir, "-M", "tlsproxy/unix").Output()
			if wants := strings.TrimSpace(string(reuse)) == "yes"; err != nil || wants != (len(proxy) > 0) {
				t.Errorf("TLS connections kept: %v, tlsproxy: %q (%v)", wants, proxy, err)
			}
		})
	}
}

// postfixDirectory makes a configuration directory that only postconf reads.
func postfixDirectory(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	master := "smtp      unix  -       -       y       -       -       smtp\nlmtp      unix  -       -       y       -       -       lmtp\n"
	for name, text := range map[string]string{"main.cf": "compatibility_level = 3.6\n# relayhost = old\n", "master.cf": master} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestPostfixSaysWhatCannotWork(t *testing.T) {
	t.Parallel()
	file := writeConfig(t, "listeners: [{address: \"127.0.0.1:0\"}]\n")
	if code, _, errOut := run(t, nil, "postfix", "--config", file); code != exitFailed || !strings.Contains(errOut, "no fixed port") {
		t.Errorf("exit %d: %s", code, errOut)
	}
	for _, args := range [][]string{{"--name", "a'b"}, {"--name", "a:25"}, {"--listener", "127.0.0.1:99"}} {
		if code, _, errOut := run(t, nil, append([]string{"postfix", "--config", emptyConfig(t)}, args...)...); code != exitUsage {
			t.Errorf("%v: exit %d: %s", args, code, errOut)
		}
	}
	_, script, _ := run(t, nil, "postfix", "--servers", "100", "--rate", "1000000", "--config", emptyConfig(t))
	if !strings.Contains(script, "CAREFUL") {
		t.Error("more connections than limits.connections, and no word of it")
	}
}
