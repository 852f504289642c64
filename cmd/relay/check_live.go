package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"

	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/smithy-go/logging"

	"sesrelay/cmd/relay/internal/config"
	"sesrelay/internal/cuenote"
	"sesrelay/internal/relay"
	"sesrelay/internal/ses"
)

// liveTimeout bounds each live check. SES allows one question a second.
const liveTimeout = 30 * time.Second

// checkLive asks what the configuration points at.
func checkLive(ctx context.Context, cfg *config.Config) []finding {
	found := checkAdmin(ctx, cfg.Admin.Address)
	running := found[0].Level == levelOK && !strings.Contains(found[0].Detail, "free")
	for _, l := range cfg.Listeners {
		found = append(found, checkListener(ctx, l, running))
	}
	found = append(found, checkRedis(ctx, cfg)...)
	cuenote := make(chan finding, 1)
	go func() { cuenote <- checkCuenote(ctx, cfg) }() // beside SES: both may keep the operator waiting
	found = append(found, checkSES(ctx, cfg)...)
	return append(found, <-cuenote)
}

func checkSES(ctx context.Context, cfg *config.Config) []finding {
	ctx, cancel := context.WithTimeout(ctx, liveTimeout)
	defer cancel()
	sdk, err := awsconfig.LoadDefaultConfig(ctx, awsconfig.WithRegion(cfg.SES.Region), awsconfig.WithLogger(logging.Nop{}))
	if err == nil {
		_, err = sdk.Credentials.Retrieve(ctx) // once, instead of with every question
	}
	if err != nil {
		return []finding{{levelFail, "ses credentials", err.Error(),
			"give the relay a role, a profile (~/.aws) or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; see aws sts get-caller-identity"}}
	}
	client, err := ses.New(ses.Config{
		Region: cfg.SES.Region, Endpoint: cfg.SES.Endpoint, Credentials: sdk.Credentials, ConfigurationSet: cfg.SES.ConfigurationSet,
	})
	if err != nil {
		return []finding{{levelFail, "ses", err.Error(), ""}}
	}
	defer client.Close()
	var found []finding
	for _, r := range client.Check(ctx, cfg.SES.Identities) {
		level := levelOK
		if !r.OK {
			level = levelFail
		} else if r.Remedy != "" {
			level = levelWarning
		}
		found = append(found, finding{level, r.Name, r.Detail, r.Remedy})
	}
	if len(cfg.SES.Identities) == 0 {
		found = append(found, checkIdentityList(ctx, client))
	}
	return append(found, checkAlarms(ctx, cfg, sdk)...)
}

// checkIdentityList asks what the relay asks at its start when the
// configuration names no identity.
func checkIdentityList(ctx context.Context, client *ses.Client) finding {
	const name, fix = "ses identities", "allow ses:ListEmailIdentities in the IAM policy, or list the domains in ses.identities: until then all mail takes Cuenote"
	list, err := client.ListIdentities(ctx)
	if err != nil {
		return finding{levelFail, name, err.Error(), fix}
	}
	names := verifiedNames(list)
	if len(names) == 0 {
		return finding{levelFail, name, "none of this account and region is verified", "verify a domain (aws sesv2 create-email-identity), and look at ses.region: until then all mail takes Cuenote"}
	}
	return finding{Level: levelOK, Name: name, Detail: fmt.Sprintf("%d verified: %s", len(names), cut(strings.Join(names, ", "), 200))}
}

func checkCuenote(ctx context.Context, cfg *config.Config) finding {
	ctx, cancel := context.WithTimeout(ctx, liveTimeout)
	defer cancel()
	client, err := cuenote.New(cuenote.Config{
		Address: cfg.Cuenote.Address, TLS: cuenote.TLSMode(cfg.Cuenote.TLS), CAFile: cfg.Cuenote.CAFile,
		ServerName: cfg.Cuenote.ServerName, Username: cfg.Cuenote.Username, Password: cfg.CuenotePassword, Hostname: cfg.Hostname,
	})
	if err != nil {
		return finding{levelFail, "cuenote", err.Error(), "look at cuenote.tls, cuenote.ca_file and cuenote.password_file"}
	}
	defer client.Close(ctx)
	report, err := client.Check(ctx)
	if err != nil {
		return finding{levelFail, "cuenote", err.Error(), cuenoteFix(cfg, relay.AsError(err).Class)}
	}
	return finding{Level: levelOK, Name: "cuenote", Detail: cfg.Cuenote.Address + ": " + report.String()}
}

// cuenoteFix is the command that shows a failure of this class without the
// relay, and what puts it right.
func cuenoteFix(cfg *config.Config, class string) string {
	address := cfg.Cuenote.Address
	host, port, _ := net.SplitHostPort(address) // config has checked it
	switch class {
	case "dial":
		return fmt.Sprintf("open the firewall from here to there, or correct cuenote.address: nc -vz %s %s", host, port)
	case "tls":
		start := " -starttls smtp"
		if cfg.Cuenote.TLS == "implicit" {
			start = ""
		}
		return fmt.Sprintf("look at the certificate, then at cuenote.tls, cuenote.ca_file and cuenote.server_name: openssl s_client -connect %s%s -verify_return_error </dev/null", address, start)
	case "auth":
		return fmt.Sprintf("correct cuenote.username and the password in cuenote.password_file: swaks --server %s --tls --auth-user %s --quit-after AUTH", address, cfg.Cuenote.Username)
	case "greeting", "shutdown", "deferred", "rejected", "config":
		return fmt.Sprintf("Cuenote turns this host away: ask its operators to admit the address that it sees; swaks --server %s --quit-after EHLO shows its words", address)
	case "timeout", "connection", "protocol":
		return fmt.Sprintf("something in between or no SMTP server: swaks --server %s --quit-after EHLO; cuenote.tls: implicit is for port 465", address)
	}
	return "look at cuenote.address, cuenote.tls and the credentials: swaks --server " + address + " --quit-after EHLO"
}

// checkAdmin looks who listens at the API's address: nobody, or a relay.
func checkAdmin(ctx context.Context, address string) []finding {
	const name = "admin.address"
	if f, taken := bindable(name, address); !taken {
		return []finding{f}
	}
	host, port, _ := net.SplitHostPort(address) // config has checked it
	if host == "" || host == "0.0.0.0" || host == "::" {
		host = "localhost"
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+"/readyz", nil)
	if err != nil {
		return []finding{{levelFail, name, err.Error(), ""}}
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return []finding{{levelFail, name, fmt.Sprintf("%s is taken, and does not answer HTTP: %v", address, err), "stop what listens there, or write another port"}}
	}
	defer res.Body.Close()
	switch res.StatusCode {
	case http.StatusOK:
		return []finding{{Level: levelOK, Name: name, Detail: address + ": a relay runs and is ready"}}
	case http.StatusServiceUnavailable:
		return []finding{{levelWarning, name, address + ": a relay runs, and starts or drains", "wait, then check again"}}
	}
	return []finding{{levelFail, name, fmt.Sprintf("%s is taken by something that is no relay (%s)", address, res.Status), "stop what listens there, or write another port"}}
}

// checkListener tries the address of a listener; running: a relay runs here, so
// that the address is rightly taken.
func checkListener(ctx context.Context, l config.Listener, running bool) finding {
	f, taken := bindable("listener", l.Address)
	switch {
	case !taken:
		return f
	case !running:
		f.Level, f.Detail = levelFail, l.Address+" is taken, and no relay runs at admin.address"
		f.Fix = "stop what listens there (ss -ltnp), or write another address"
	case l.TLS == "implicit" || len(l.ProxyProtocolFrom) > 0:
		f.Detail = l.Address + " is taken, as it should be while the relay runs"
	default:
		f.Detail = l.Address + " " + greeting(ctx, l.Address)
	}
	return f
}

// greeting is the first line that a listener says.
func greeting(ctx context.Context, address string) string {
	conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "tcp", address)
	if err != nil {
		return "is taken: " + err.Error()
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err.Error()
	}
	line, err := bufio.NewReader(io.LimitReader(conn, 1024)).ReadString('\n')
	if err != nil {
		return "is taken, and says nothing"
	}
	return "answers " + strings.TrimSpace(line)
}

// bindable tries to listen. When the address is taken, the second result is true.
func bindable(name, address string) (finding, bool) {
	l, err := net.Listen("tcp", address)
	switch {
	case err == nil:
		l.Close()
		return finding{Level: levelOK, Name: name, Detail: address + " is free"}, false
	case errors.Is(err, syscall.EADDRINUSE):
		return finding{Level: levelOK, Name: name, Detail: address + " is taken"}, true
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return finding{levelFail, name, address + " is no address of this machine", "write one of this machine's addresses (ip address)"}, false
	case errors.Is(err, syscall.EACCES):
		return finding{levelFail, name, address + " is not allowed for this user", "write a port above 1023, or give the relay CAP_NET_BIND_SERVICE"}, false
	}
	return finding{levelFail, name, err.Error(), ""}, false
}
