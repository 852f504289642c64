package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// relayOptions is what a run sets in the relay's configuration; everything else
// keeps its default, so that ledger, quota, log and metrics are on.
type relayOptions struct {
	Binary  string
	Name    string // first label of its hostname, which tells instances apart; "" = relay
	Keys    string // folder of relay.crt and relay.key; "" = the relay's own
	Redis   string // URL; "" = state in memory
	Percent float64
	LMTP    bool
	TLS     string   // none, starttls, implicit
	Users   string   // users_file, "" = none
	SES     string   // endpoint
	Cuenote string   // address
	CAFile  string   // of the SES endpoint; "" = http
	Extra   string   // further sections of the configuration
	Ports   []string // addresses for SMTP and the API; nil = free ones
}

// relayProcess is the relay under test.
type relayProcess struct {
	*process
	options relayOptions
	SMTP    string // address
	API     string // base URL
	logFile string
}

// startRelay writes a configuration into dir, starts "relay serve" on it and
// waits until it is ready.
func startRelay(ctx context.Context, dir string, o relayOptions) (*relayProcess, error) {
	var err error
	if o.Ports == nil {
		if o.Ports, err = freePorts(2); err != nil {
			return nil, err
		}
	}
	r := &relayProcess{options: o, SMTP: o.Ports[0], API: "http://" + o.Ports[1], logFile: filepath.Join(dir, "relay.log")}
	file := filepath.Join(dir, "relay.yaml")
	if err := os.WriteFile(file, relayConfig(dir, o), 0o600); err != nil {
		return nil, err
	}
	cmd := exec.Command(o.Binary, "serve", "--config", file)
	cmd.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID=AKIDLOADTEST", "AWS_SECRET_ACCESS_KEY=loadtest", "AWS_SESSION_TOKEN=", "AWS_PROFILE=")
	if o.CAFile != "" {
		cmd.Env = append(cmd.Env, "SSL_CERT_FILE="+o.CAFile)
	}
	if r.process, err = startProcess("relay", dir, cmd); err != nil {
		return nil, err
	}
	waiting, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	if err := r.await(waiting, func() error { return r.ready(waiting) }); err != nil {
		r.stop(time.Second)
		return nil, fmt.Errorf("%w\n%s", err, lastLines(r.logFile))
	}
	return r, nil
}

func relayConfig(dir string, o relayOptions) []byte {
	protocol := "smtp"
	if o.LMTP {
		protocol = "lmtp"
	}
	if o.Name == "" {
		o.Name = "relay"
	}
	if o.Keys == "" {
		o.Keys = dir
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `hostname: %s.loadtest.example
listeners:
  - {address: "%s", protocol: %s, tls: %s}
split: {ses_percent: %s}
ses: {endpoint: "%s", identities: [%s]}
cuenote: {address: "%s"}
state: {file: "%s", redis: "%s"}
drain: {grace: 0s, deadline: 30s}
admin: {address: "%s"}
`, o.Name, o.Ports[0], protocol, o.TLS, strconv.FormatFloat(o.Percent, 'f', -1, 64), o.SES, senderDomain, o.Cuenote,
		filepath.Join(dir, "split.json"), o.Redis, o.Ports[1])
	if o.TLS != "none" {
		fmt.Fprintf(&b, "tls: {certificate_file: %q, key_file: %q}\n", filepath.Join(o.Keys, "relay.crt"), filepath.Join(o.Keys, "relay.key"))
	}
	if o.Users != "" {
		fmt.Fprintf(&b, "access: {networks: [], users_file: %q}\n", o.Users)
	}
	b.WriteString(o.Extra)
	return b.Bytes()
}

func (r *relayProcess) ready(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, "GET", r.API+"/readyz", nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("not ready: %s", res.Status)
	}
	return nil
}

// setSplit changes the live split as an operator does.
func (r *relayProcess) setSplit(ctx context.Context, percent float64, reason string) error {
	cmd := exec.CommandContext(ctx, r.options.Binary, "split", "set", strconv.FormatFloat(percent, 'f', -1, 64),
		"--reason", reason, "--api", r.API)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("relay split set %g: %w: %s", percent, err, bytes.TrimSpace(out))
	}
	return nil
}

// freePorts returns addresses on loopback that nobody listens on.
func freePorts(n int) (list []string, err error) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // after all are chosen, so that they differ
		list = append(list, l.Addr().String())
	}
	return list, nil
}

// lastLines returns the ends of files, for an error message.
func lastLines(paths ...string) string {
	var b strings.Builder
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			continue
		}
		var last []string
		for lines := bufio.NewScanner(f); lines.Scan(); {
			last = append(last[max(0, len(last)-4):], lines.Text())
		}
		f.Close()
		b.WriteString(strings.Join(last, "\n"))
	}
	return b.String()
}
