package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// startPostfix starts a Postfix of the run's own as a relay with its queue on
// disk: its own configuration, queue and port. The machine's Postfix is not
// touched. Settings are Postfix's defaults, but it is not told to slow down
// when mail comes faster than it goes.
func (b *bench) startPostfix(ctx context.Context) error {
	path, err := exec.LookPath("/usr/sbin/postfix")
	if err != nil {
		return errors.New("peer Postfix is not installed (sh scripts/need.sh bench)")
	}
	if os.Geteuid() != 0 {
		return errors.New("peer Postfix starts as root only")
	}
	sink, dir, addr, err := b.place(ctx, "postfix")
	if err != nil {
		return err
	}
	if err := writePostfix(dir, addr, sink.addrs.Cuenote); err != nil {
		return err
	}
	etc := filepath.Join(dir, "etc")
	if out, err := exec.CommandContext(ctx, path, "-c", etc, "start").CombinedOutput(); err != nil {
		return fmt.Errorf("postfix start: %w: %.300s", err, out)
	}
	stop := func() error { return exec.Command(path, "-c", etc, "stop").Run() }
	pid, err := masterPID(dir)
	if err = errors.Join(err, reachable(addr, 20*time.Second)); err != nil {
		return errors.Join(err, stop(), errors.New(lastLines(filepath.Join(dir, "mail.log"))))
	}
	b.started(&system{Name: "postfix", Route: "smtp", Peer: true, addr: addr, pid: pid, sink: sink, stop: stop})
	return nil
}

func writePostfix(dir, addr, relayhost string) error {
	host, port, err := net.SplitHostPort(relayhost)
	if err != nil {
		return err
	}
	main := strings.Join([]string{
		"compatibility_level = 3.6",
		"queue_directory = " + dir + "/queue", "data_directory = " + dir + "/data",
		"daemon_directory = /usr/lib/postfix/sbin", "command_directory = /usr/sbin",
		"mail_owner = postfix", "setgid_group = postdrop",
		"maillog_file = " + dir + "/mail.log", "maillog_file_prefixes = " + dir,
		"myhostname = postfix.loadtest.example", "mydestination =", "alias_maps =", "alias_database =",
		"inet_interfaces = 127.0.0.1", "inet_protocols = ipv4", "mynetworks = 127.0.0.0/8",
		"smtp_tls_security_level = none", "smtpd_tls_security_level = none", "in_flow_delay = 0",
		"relayhost = [" + host + "]:" + port,
	}, "\n") + "\n"
	for _, d := range []string{"etc", "queue", "data"} {
		err = errors.Join(err, os.Mkdir(filepath.Join(dir, d), 0o755))
	}
	return errors.Join(err,
		exec.Command("chown", "postfix", filepath.Join(dir, "data")).Run(),
		os.WriteFile(filepath.Join(dir, "etc", "main.cf"), []byte(main), 0o644),
		os.WriteFile(filepath.Join(dir, "etc", "master.cf"), []byte(postfixServices(addr)), 0o644))
}

// postfixServices is a master.cf with what relaying needs.
func postfixServices(addr string) string {
	return addr + ` inet n - n - - smtpd
postlog unix-dgram n - n - 1 postlogd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
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
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
tlsmgr unix - - n 1000? 1 tlsmgr
`
}

// masterPID reads the process id of the instance's master.
func masterPID(dir string) (int, error) {
	text, err := os.ReadFile(filepath.Join(dir, "queue", "pid", "master.pid"))
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(text)))
}

// reachable waits until somebody greets.
func reachable(addr string, patience time.Duration) (err error) {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if err = greets(addr); err == nil {
			return nil
		}
	}
	return err
}

func greets(addr string) error {
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	line, err := bufio.NewReader(c).ReadString('\n')
	if err == nil && !strings.HasPrefix(line, "220") {
		err = fmt.Errorf("%s greets with %q", addr, line)
	}
	return err
}
