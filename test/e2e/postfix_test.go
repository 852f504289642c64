package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// postfix is a real Postfix of the test's own: its own configuration, queue
// and port. The machine's Postfix is not touched.
type postfix struct {
	dir  string // configuration directory
	addr string // of its smtpd
	log  string
}

// startPostfix runs a Postfix whose relayhost is given as [host]:port. Further
// main.cf lines come last and so win.
func startPostfix(t *testing.T, relayhost string, lines ...string) *postfix {
	t.Helper()
	program(t, "postfix")
	if os.Geteuid() != 0 {
		t.Skip("Postfix's master starts as root only")
	}
	dir, err := os.MkdirTemp("", "postfix") // not t.TempDir: its path is too long for Postfix's sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	os.Chmod(dir, 0o755)
	p := &postfix{dir: dir + "/etc", addr: freePort(t), log: dir + "/maillog"}
	for _, d := range []string{"etc", "queue", "data"} {
		os.Mkdir(filepath.Join(dir, d), 0o755)
	}
	run(t, "chown", "postfix", dir+"/data")
	write(t, p.dir+"/main.cf", strings.Join(append([]string{
		"compatibility_level = 3.6",
		"queue_directory = " + dir + "/queue", "data_directory = " + dir + "/data",
		"daemon_directory = /usr/lib/postfix/sbin", "command_directory = /usr/sbin",
		"mail_owner = postfix", "setgid_group = postdrop",
		"maillog_file = " + p.log, "maillog_file_prefixes = " + dir,
		"myhostname = mx1.goo.ne.jp", "mydestination =", "alias_maps =", "alias_database =",
		"inet_interfaces = 127.0.0.1", "inet_protocols = ipv4", "mynetworks = 127.0.0.0/8",
		"message_size_limit = 62914560", "mailbox_size_limit = 0", "header_size_limit = 1024000",
		"smtp_tls_security_level = none", "smtpd_tls_security_level = none",
		"smtputf8_enable = yes", "smtputf8_autodetect_classes = all",
		"in_flow_delay = 0", "default_process_limit = 60",
		"minimal_backoff_time = 1s", "maximal_backoff_time = 2s", "queue_run_delay = 1s",
		"relayhost = " + relayhost,
	}, lines...), "\n")+"\n")
	write(t, p.dir+"/master.cf", p.services())
	// postfix start goes to the background by itself; its stop is awaited.
	run(t, "postfix", "-c", p.dir, "start")
	t.Cleanup(func() {
		run(t, "postfix", "-c", p.dir, "stop")
		if t.Failed() {
			if log, err := os.ReadFile(p.log); err == nil {
				t.Logf("Postfix's log:\n%s", troubles(string(log)))
			}
		}
	})
	eventually(t, 20*time.Second, "waiting for Postfix", func() error {
		c, err := net.DialTimeout("tcp", p.addr, time.Second)
		if err == nil {
			c.Close()
		}
		return err
	})
	return p
}

// services is a master.cf with what sending needs, nothing chrooted.
func (p *postfix) services() string {
	return p.addr + ` inet n - n - - smtpd
postlog unix-dgram n - n - 1 postlogd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 1 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
showq unix n - n - - showq
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
lmtp unix - - n - - lmtp
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
tlsmgr unix - - n 1000? 1 tlsmgr
`
}

// queued returns how many messages are in the queue.
func (p *postfix) queued(t *testing.T) int {
	t.Helper()
	out, err := exec.Command("/usr/sbin/postqueue", "-c", p.dir, "-j").Output()
	if err != nil {
		t.Fatalf("postqueue: %v", err)
	}
	return strings.Count(string(out), "\n")
}

// drained waits until the queue is empty.
func (p *postfix) drained(t *testing.T, patience time.Duration) {
	t.Helper()
	eventually(t, patience, "Postfix's queue", func() error {
		if n := p.queued(t); n > 0 {
			return fmt.Errorf("%d messages are still queued", n)
		}
		return nil
	})
}

// ownDeferral is what Postfix says when no server has said anything about the
// mail: it found a cached connection closed and had tried the other port of the
// same address by another cached one. Relays with addresses of their own cause none.
var ownDeferral = regexp.MustCompile(`relay=none, .* status=deferred \(server unavailable or unable to receive mail\)`)

// troubles are the lines of Postfix's log that are no delivery as usual: what
// was not delivered first.
func troubles(log string) string {
	var statuses, others []string
	for line := range strings.Lines(log) {
		line = strings.TrimRight(line, "\n")
		switch {
		case strings.Contains(line, "status=deferred"), strings.Contains(line, "status=bounced"):
			statuses = append(statuses, line)
		case troubleWords.MatchString(line):
			others = append(others, line)
		}
	}
	return tail(strings.Join(statuses, "\n"), 10) + "\n" + tail(strings.Join(others, "\n"), 10)
}

var troubleWords = regexp.MustCompile("warning:|fatal:|panic:|lost connection|timed out|refused|suspended|host .* said")

// statuses counts the deliveries of Postfix's log by status: sent, deferred, bounced.
func (p *postfix) statuses(t *testing.T) map[string]int {
	t.Helper()
	n := map[string]int{}
	for _, m := range statusOf.FindAllStringSubmatch(p.logged(t), -1) {
		n[m[1]]++
	}
	return n
}

var statusOf = regexp.MustCompile(`status=([a-z]+) `)

// flush makes Postfix try everything that is deferred now.
func (p *postfix) flush(t *testing.T) {
	t.Helper()
	run(t, "postqueue", "-c", p.dir, "-f")
}

// logged returns Postfix's log.
func (p *postfix) logged(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(p.log)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/usr/sbin")
	if path, err := exec.LookPath("/usr/sbin/" + name); err == nil {
		cmd.Path, cmd.Err = path, nil
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}
