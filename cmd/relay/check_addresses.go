package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"time"

	"sesrelay/cmd/relay/internal/config"
	"sesrelay/cmd/relay/internal/finding"
)

// addressTimeout bounds each look at an address of this machine.
const addressTimeout = 5 * time.Second

// presence is what runs at admin.address.
type presence string

const (
	absent   presence = "absent" // nobody, or no relay
	ready    presence = "ready"
	starting presence = "starting"
	draining presence = "draining"
)

// checkAdmin looks who listens at the API's address: nobody, or a relay.
func checkAdmin(ctx context.Context, address string) (finding.Finding, presence) {
	const name = "admin.address"
	f, taken := bindable(name, address)
	if !taken {
		return f, absent
	}
	status, p, err := askReady(ctx, address)
	switch {
	case err != nil:
		return finding.Fail(name, fmt.Sprintf("%s is taken, and does not answer HTTP: %v", address, err), stopOther(address)), absent
	case p == absent:
		return finding.Fail(name, fmt.Sprintf("%s is taken by something that is no relay (GET /readyz: %s)", address, status), stopOther(address)), absent
	case p == ready:
		return finding.OK(name, address+": a relay runs and is ready"), p
	}
	return finding.Warning(name, fmt.Sprintf("%s: a relay runs, and is %s", address, p), finding.Run("wait, then check again", "curl -s http://"+dialable(address)+"/readyz")), p
}

// askReady asks what relays answer at /readyz. Another server's 503 is no relay's.
func askReady(ctx context.Context, address string) (status string, p presence, err error) {
	ctx, cancel := context.WithTimeout(ctx, addressTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+dialable(address)+"/readyz", nil)
	if err != nil {
		return "", absent, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", absent, err
	}
	defer res.Body.Close()
	var body struct{ Status, Detail any }
	if json.NewDecoder(io.LimitReader(res.Body, 4096)).Decode(&body) != nil {
		return res.Status, absent, nil
	}
	switch {
	case res.StatusCode == http.StatusOK && body.Status == string(ready):
		return res.Status, ready, nil
	case res.StatusCode == http.StatusServiceUnavailable && body.Detail == string(draining):
		return res.Status, draining, nil
	case res.StatusCode == http.StatusServiceUnavailable && body.Detail == string(starting):
		return res.Status, starting, nil
	}
	return res.Status, absent, nil
}

// dialable is where a listener on every address is reached from here.
func dialable(address string) string {
	host, port, _ := net.SplitHostPort(address) // config has checked it
	if host == "" || host == "0.0.0.0" || host == "::" {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}

func stopOther(address string) finding.Remedy {
	return finding.Run("write another port, or stop what listens there", "ss -ltnp "+sport(address))
}

// checkListener tries the address of a listener. Where a relay runs, the address
// is rightly taken, and must greet as SMTP does.
func checkListener(ctx context.Context, cfg *config.Config, l config.Listener, relay presence) finding.Finding {
	const name = "listener"
	f, taken := bindable(name, l.Address)
	switch {
	case !taken && relay == ready && f.Level() == finding.LevelOK:
		return finding.Warning(name, l.Address+" is free, though a relay runs: it has not read this file", finding.Run("", "systemctl reload relay"))
	case !taken:
		return f
	case relay == absent:
		return finding.Fail(name, l.Address+" is taken, and no relay runs at admin.address", stopOther(l.Address))
	}
	line, err := greeting(ctx, l)
	code, _, _ := strings.Cut(line, " ")
	code, _, _ = strings.Cut(code, "-")
	switch {
	case err != nil:
		return finding.Fail(name, fmt.Sprintf("%s is taken, the relay is %s, and there is no greeting: %v", l.Address, relay, err), stopOther(l.Address))
	case code == "220":
		return finding.OK(name, l.Address+" answers "+line)
	case code == "554" && closedToUs(cfg, l.Address):
		return finding.OK(name, l.Address+" answers "+line+": this machine is not in access.networks")
	case code == "421" && relay != ready:
		return finding.Warning(name, fmt.Sprintf("%s answers %s: the relay is %s", l.Address, line, relay), finding.Run("wait, then check again", "systemctl status relay"))
	case code == "421":
		return finding.Fail(name, l.Address+" answers "+line, finding.Run("raise limits.connections and limits.connections_per_client, or end what holds them", "ss -tn state established "+sport(l.Address)))
	}
	return finding.Fail(name, fmt.Sprintf("%s answers %q, which is no SMTP greeting (220)", l.Address, line), stopOther(l.Address))
}

func sport(address string) string {
	_, port, _ := net.SplitHostPort(address) // config has checked it
	return "sport = :" + port
}

// closedToUs reports whether the relay turns a client of this machine away at
// the greeting: it is in no network, and there is no AUTH.
func closedToUs(cfg *config.Config, address string) bool {
	host, _, _ := net.SplitHostPort(dialable(address))
	addr, err := netip.ParseAddr(host)
	if err != nil {
		addr = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	return cfg.Access.UsersFile == "" && !within(cfg.Access.Networks, addr)
}

func within(networks []netip.Prefix, addr netip.Addr) bool {
	return slices.ContainsFunc(networks, func(p netip.Prefix) bool { return p.Contains(addr.Unmap()) })
}

// greeting is the first line that a listener says.
func greeting(ctx context.Context, l config.Listener) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, addressTimeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", dialable(l.Address))
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(addressTimeout)); err != nil {
		return "", err
	}
	if a, ok := conn.LocalAddr().(*net.TCPAddr); ok && within(l.ProxyProtocolFrom, a.AddrPort().Addr()) {
		// As a load balancer's own health check: it is greeted, whoever asks.
		if _, err := io.WriteString(conn, "PROXY UNKNOWN\r\n"); err != nil {
			return "", err
		}
	}
	if l.TLS == "implicit" {
		// The certificate is another check's: here it may belong to another name.
		conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
	}
	line, err := bufio.NewReader(io.LimitReader(conn, 1024)).ReadString('\n')
	line = printable(strings.TrimSpace(line))
	switch {
	case err == nil:
		return line, nil
	case line != "":
		return line, nil // judged by what there is
	case errors.Is(err, io.EOF):
		return "", errors.New("it closes the connection and says nothing")
	}
	if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() {
		return "", fmt.Errorf("it says nothing for %s", addressTimeout)
	}
	return "", err
}

// bindable tries to listen. When the address is taken, the second result is true.
func bindable(name, address string) (f finding.Finding, taken bool) {
	l, err := net.Listen("tcp", address)
	own := finding.Run("write one of this machine's addresses", "ip address")
	switch {
	case err == nil:
		l.Close()
		return finding.OK(name, address+" is free"), false
	case errors.Is(err, syscall.EADDRINUSE):
		return finding.Finding{}, true
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return finding.Fail(name, address+" is no address of this machine", own), false
	case errors.Is(err, syscall.EACCES):
		return finding.Fail(name, address+" is not allowed for this user", finding.Run("write a port above 1023, or AmbientCapabilities=CAP_NET_BIND_SERVICE below [Service]", "systemctl edit relay")), false
	}
	return finding.Fail(name, err.Error(), own), false
}
