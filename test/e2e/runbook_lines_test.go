package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// The programs whose lines in the runbook are typed here. relay's own are tried
// in cmd/relay, those of the AWS CLI in infra/tests.
var runbookLine = regexp.MustCompile("(?m)(?:`|^ {4,})((?:swaks|ssh|for|openssl|redis-cli|postconf|postqueue|postmap|postfix|curl|journalctl|systemctl|cmp|diff|df|dig|grep|cut|cd|sh|less) [^`\n]+)")

// spoken are words in backquotes that begin as a command does and are none.
var spoken = []string{"cd infra && ./validate.sh", "sh relay-postfix.sh"}

// runbookLines are the lines of both languages, each once, as they are pasted.
func runbookLines(t *testing.T) (lines []string) {
	t.Helper()
	for _, name := range []string{"operations.md", "operations.ja.md"} {
		text, err := os.ReadFile(filepath.Join(root(t), "docs", name))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range runbookLine.FindAllStringSubmatch(string(text), -1) {
			line := strings.TrimSpace(strings.ReplaceAll(m[1], `\|`, "|"))
			if !slices.Contains(lines, line) && !slices.Contains(spoken, line) {
				lines = append(lines, line)
			}
		}
	}
	return lines
}

// TestRunbookLinesAreTyped types every shell line of the runbook into a shell, with
// a real Postfix, Redis and relay behind it: a command, option or file that does
// not exist fails here. Only ssh, systemctl, journalctl and dig are stand-ins.
func TestRunbookLinesAreTyped(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	h := startHops(t)
	certificate(t, dir+"/new-ca.pem", dir+"/key.pem")
	hash, err := bcrypt.GenerateFromPassword([]byte("another"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir+"/users", "NEW-USER:"+string(hash)+"\n")
	write(t, dir+"/tokens", "admin:alice:0123\nreadonly:bob:4567\n")
	secure := freePort(t)
	r := startRelay(t, relayOptions{ses: h.ses.URL(), cuenote: h.cuenote.Addr(), plain: true, set: settings{
		"split.rules": "[{name: first-mail, sender: tester@goo.ne.jp, route: ses}]",
	}})
	tlsRelay := startRelay(t, relayOptions{ses: h.ses.URL(), cuenote: h.cuenote.Addr(), plain: true, smtp: secure, set: settings{
		"listeners":            "[" + listener(secure, "tls: starttls") + "]",
		"tls.certificate_file": dir + "/new-ca.pem", "tls.key_file": dir + "/key.pem", "access.users_file": dir + "/users",
	}})
	redis := startRedis(t)
	p := startPostfix(t, bracketed(r.smtp))
	write(t, dir+"/relay-postfix.sh", run(t, r.binary, "postfix", "--config", r.config, "--postfix-config", p.dir))
	submit(t, p.addr, numbered("runbook", 1))
	p.drained(t, time.Minute)
	run(t, "sh", "-ec", "cd "+dir+" && sh relay-postfix.sh")

	_, redisPort, _ := strings.Cut(redis.Addr, ":")
	here := strings.NewReplacer("/etc/postfix", p.dir, "/var/log/mail.log", p.log, "/etc/relay/tokens", dir+"/tokens",
		"127.0.0.1:2525", r.smtp, "relay-1:2525", r.smtp, "relay-a.goo.ne.jp:2525", tlsRelay.smtp, "-verify_hostname relay-a.goo.ne.jp", "-verify_hostname localhost",
		"redis-cli -u URL", "redis-cli -u redis://"+redis.Addr, "redis-cli slowlog", "redis-cli -p "+redisPort+" slowlog")
	// What needs another machine, systemd or DNS is a function that says what it was asked.
	const stubs = `ssh() { shift; sh -c "$*"; }
systemctl() { case "$1 $2" in "restart relay"|"reload relay"|"status relay") ;; *) echo "systemctl $*: no such use" >&2; return 1;; esac; }
journalctl() { [ "$*" = "-u relay --since -1h -o cat" ] && echo '{"outcome":"unknown"}'; }
dig() { [ "$1 $2" = "+short TXT" ] && [ $# = 3 ]; }
less() { cat "$@" >/dev/null; }
`
	// The exit code and the words that show that it has worked; nothing else is asked of the others.
	want := map[string]struct {
		code int
		says string
	}{
		"swaks --server 127.0.0.1:2525 --from tester@goo.ne.jp --to you@example.jp --header \"Subject: first mail\"":                   {0, "accepted by ses"},
		"swaks --server relay-1:2525 --quit-after EHLO":                                                                                {0, "250"},
		"swaks --server relay-a.goo.ne.jp:2525 --tls --auth PLAIN --auth-user OLD-USER --auth-password OLD-PASSWORD --quit-after AUTH": {28, "535 5.7.8"},
		"redis-cli -u URL ping":                     {0, "PONG"},
		"postqueue -p | tail -1":                    {0, "Mail queue is empty"},
		"grep -c status=deferred /var/log/mail.log": {1, "0"},
		"cut -d: -f1,2 /etc/relay/tokens":           {0, "admin:alice\nreadonly:bob"},
		"diff main.cf.before-relay main.cf":         {1, "> default_destination_concurrency_limit = 200"},
	}
	lines := runbookLines(t)
	if len(lines) < 24 {
		t.Errorf("only %d lines were found: %q", len(lines), lines)
	}
	// Going back comes last but for the comparison with the old files.
	slices.SortStableFunc(lines, func(a, b string) int { return stage5(a) - stage5(b) })
	for _, line := range lines {
		cmd := exec.CommandContext(within(t, patience), "sh", "-c", stubs+"cd "+dir+"\n"+map[bool]string{true: "cd " + p.dir + "\n"}[strings.HasPrefix(line, "diff ")]+here.Replace(line))
		cmd.Env = append(os.Environ(), "MAIL_CONFIG="+p.dir, "PATH="+os.Getenv("PATH")+":/usr/sbin")
		out, err := cmd.CombinedOutput()
		code := cmd.ProcessState.ExitCode()
		if w := want[line]; code != w.code || !strings.Contains(string(out), w.says) {
			t.Errorf("%s\nexit %d, %v\n%s", line, code, err, tail(string(out), 12))
		}
	}
	if n := len(h.of("runbook")); n != 1 {
		t.Errorf("%d mails arrived by Postfix", n)
	}
	t.Logf("%d lines were typed:\n%s", len(lines), strings.Join(lines, "\n"))
}

// stage5 orders the lines that take the relay's settings back, and compare.
func stage5(line string) int {
	switch {
	case strings.Contains(line, "cmp "):
		return 2
	case strings.Contains(line, "cp -p main.cf.before-relay"):
		return 1
	}
	return 0
}
