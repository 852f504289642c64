package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/crypto/bcrypt"

	"sesrelay/internal/simulator"
)

// stand is one run: the processes, the load, and what is found on the way.
type stand struct {
	opts    *options
	sc      *scenario
	plan    schedule
	dir     string // of configuration, logs and certificates; removed at the end
	sink    *process
	addrs   sinkAddresses
	control sinkClient
	redis   *redisProcess // nil = the relay's state is in its memory
	relays  *fleet
	gen     *generator
	halt    context.CancelFunc // ends the load early
	samples []sample
	after   sinkStats // when the traffic was over

	changes    []change  // scenario split-change
	gone, back time.Time // scenario outage
	kill       *killing  // scenario fleet

	mu    sync.Mutex // guards marks
	marks []mark
}

// clientPassword is what --auth authenticates with, on loopback and for one run.
const clientUser, clientPassword = "loadtest", "loadtest-password"

// setUp starts the sink and the relay.
func setUp(ctx context.Context, sc *scenario, o *options) (*stand, error) {
	dir, err := os.MkdirTemp("", "relay-loadtest")
	if err != nil {
		return nil, err
	}
	st := &stand{opts: o, sc: sc, plan: sc.plan(o), dir: dir}
	if err := errors.Join(st.startSink(ctx), st.prepareHops(ctx)); err != nil {
		return nil, errors.Join(err, st.tearDown())
	}
	if err := st.startRelays(ctx); err != nil {
		return nil, errors.Join(err, st.tearDown())
	}
	return st, nil
}

// tearDown ends what was started, relays first, and removes the folder.
func (st *stand) tearDown() (err error) {
	if st.relays != nil {
		err = st.relays.stop()
	}
	if st.redis != nil {
		err = errors.Join(err, st.redis.stop(5*time.Second))
	}
	if st.sink != nil {
		err = errors.Join(err, st.sink.stop(5*time.Second))
	}
	return errors.Join(err, os.RemoveAll(st.dir))
}

// ownCommand is this program with another command; tests, whose program is
// another, give the variable that their main looks for.
func ownCommand(args ...string) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, args...)
	cmd.Env = append(os.Environ(), "LOADTEST_MAIN=1")
	return cmd, nil
}

func (st *stand) certificate() string { return filepath.Join(st.dir, "ses.pem") }

func (st *stand) startSink(ctx context.Context) (err error) {
	st.sink, st.addrs, err = startSink(ctx, st.dir, sinkOptions{
		SESTLS: st.opts.SESTLS, Certificate: st.certificate(),
		Records: min(500_000, 2*st.plan.total()+1000), IDs: st.plan.total() + 1000,
	})
	st.control = sinkClient{st.addrs.Control}
	return err
}

// startSink starts a sink process and reads its addresses.
func startSink(ctx context.Context, dir string, o sinkOptions) (*process, sinkAddresses, error) {
	var a sinkAddresses
	cmd, err := ownCommand("sink", fmt.Sprintf("--ses-tls=%t", o.SESTLS), "--certificate", o.Certificate,
		"--records", fmt.Sprint(o.Records), "--ids", fmt.Sprint(o.IDs))
	if err != nil {
		return nil, a, err
	}
	read, write, err := os.Pipe() // and not StdoutPipe, which Wait closes
	if err != nil {
		return nil, a, err
	}
	defer read.Close()
	cmd.Stdout = write
	p, err := startProcess("sink", dir, cmd)
	write.Close()
	if err != nil {
		return nil, a, err
	}
	read.SetReadDeadline(time.Now().Add(15 * time.Second))
	line, err := bufio.NewReader(read).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &a)
	}
	if err != nil {
		p.stop(time.Second)
		return nil, a, fmt.Errorf("sink: it did not say its addresses: %w: %s", err, lastLines(filepath.Join(dir, "sink.log")))
	}
	return p, a, nil
}

// prepareHops sets latencies and quota.
func (st *stand) prepareHops(ctx context.Context) error {
	if st.sink == nil {
		return nil
	}
	ses, err := parseLatency(st.opts.SESLatency)
	if err != nil {
		return err
	}
	cuenote, err := parseLatency(st.opts.CuenoteLatency)
	if err != nil {
		return err
	}
	account := st.sc.account(st.opts)
	return errors.Join(
		st.control.set(ctx, "ses", sinkState{Latency: &ses, Account: &account}),
		st.control.set(ctx, "cuenote", sinkState{Latency: &cuenote}))
}

// startRelays starts the relay, or several, and makes the generator that will
// send to them.
func (st *stand) startRelays(ctx context.Context) error {
	o := st.opts
	l, err := o.load()
	if err != nil {
		return err
	}
	ro := relayOptions{Binary: o.Relay, Percent: o.Percent, LMTP: o.Protocol == "lmtp", TLS: o.TLS, Keys: st.dir,
		SES: st.addrs.SES, Cuenote: st.addrs.Cuenote}
	if o.Instances > 1 || o.Shared {
		if st.redis, err = startRedis(ctx, st.dir); err != nil {
			return err
		}
		ro.Redis = st.redis.URL
	}
	if o.SESTLS {
		ro.CAFile = st.certificate()
	}
	l.Schedule = st.plan
	l.Target = &target{LMTP: ro.LMTP, TLS: o.TLS, Hello: "mta1." + senderDomain, Probe: o.Probe, Timeout: 130 * time.Second}
	if o.TLS != "none" {
		if l.Target.TLSOwn, err = writeCertificate(st.dir); err != nil {
			return err
		}
	}
	if o.Auth {
		l.Target.User, l.Target.Password = clientUser, clientPassword
		if ro.Users, err = writeUsers(st.dir); err != nil {
			return err
		}
	}
	if st.relays, err = startFleet(ctx, st.dir, o.Instances, ro); err != nil {
		return err
	}
	l.Target.Addresses = st.relays.addresses()
	l.Mail.run = fmt.Sprintf("lt%x", time.Now().UnixMilli())
	st.gen = newGenerator(l)
	return nil
}

// writeCertificate makes the relay's certificate, and the client's view of it.
func writeCertificate(dir string) (*tls.Config, error) {
	certificate, roots, err := simulator.NewCertificate("relay.loadtest.example")
	if err != nil {
		return nil, err
	}
	key, err := x509.MarshalPKCS8PrivateKey(certificate.PrivateKey)
	if err != nil {
		return nil, err
	}
	crt := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Certificate[0]})
	err = errors.Join(os.WriteFile(filepath.Join(dir, "relay.crt"), crt, 0o600),
		os.WriteFile(filepath.Join(dir, "relay.key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}), 0o600))
	return &tls.Config{RootCAs: roots, ServerName: "relay.loadtest.example"}, err
}

func writeUsers(dir string) (string, error) {
	hash, err := bcrypt.GenerateFromPassword([]byte(clientPassword), bcrypt.DefaultCost)
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "users")
	return path, os.WriteFile(path, []byte(clientUser+":"+string(hash)+"\n"), 0o600)
}

// sleepUntil waits for a time since the start of the load; false when the load
// ended before.
func (st *stand) sleepUntil(ctx context.Context, at time.Duration) bool {
	select {
	case <-time.After(time.Until(st.gen.start.Add(at))):
		return true
	case <-ctx.Done():
		return false
	}
}

// mark notes that something happened now.
func (st *stand) mark(text string) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.marks = append(st.marks, mark{time.Since(st.gen.start).Seconds(), text})
}
