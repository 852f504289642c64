package main

import (
	"context"
	"fmt"
	"net"
	"strings"
	"time"

	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/smithy-go/logging"

	"sesrelay/cmd/relay/internal/config"
	"sesrelay/cmd/relay/internal/finding"
	"sesrelay/internal/cuenote"
	"sesrelay/internal/relay"
	"sesrelay/internal/ses"
)

// liveTimeout bounds each live check. SES allows one question a second.
const liveTimeout = 30 * time.Second

// checkLive asks what the configuration in the file at path points at.
func checkLive(ctx context.Context, path string, cfg *config.Config) []finding.Finding {
	admin, relay := checkAdmin(ctx, cfg.Admin.Address)
	found := one(admin)
	for _, l := range cfg.Listeners {
		found = append(found, checkListener(ctx, cfg, l, relay))
	}
	found = append(found, checkRedis(ctx, cfg)...)
	cuenote := make(chan finding.Finding, 1)
	go func() { cuenote <- checkCuenote(ctx, path, cfg) }() // beside SES: both may keep the operator waiting
	found = append(found, checkSES(ctx, path, cfg)...)
	return append(found, <-cuenote)
}

func checkSES(ctx context.Context, path string, cfg *config.Config) []finding.Finding {
	ctx, cancel := context.WithTimeout(ctx, liveTimeout)
	defer cancel()
	sdk, err := awsconfig.LoadDefaultConfig(ctx, awsconfig.WithRegion(cfg.SES.Region), awsconfig.WithLogger(logging.Nop{}))
	if err == nil {
		_, err = sdk.Credentials.Retrieve(ctx) // once, instead of with every question
	}
	if err != nil {
		return one(finding.Fail("ses credentials", err.Error(),
			finding.Run("give the relay a role, a profile (~/.aws) or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, then", "aws sts get-caller-identity")))
	}
	client, err := ses.New(ses.Config{
		Region: cfg.SES.Region, Endpoint: cfg.SES.Endpoint, Credentials: sdk.Credentials, ConfigurationSet: cfg.SES.ConfigurationSet,
	})
	if err != nil {
		return one(finding.Fail("ses", err.Error(), editFile(path, "correct ses.region, ses.endpoint and ses.configuration_set")))
	}
	defer client.Close()
	var found []finding.Finding
	for _, r := range client.Check(ctx, cfg.SES.Identities) {
		switch fix := finding.Run("", r.Remedy); {
		case !r.OK:
			found = append(found, finding.Fail(r.Name, r.Detail, fix))
		case r.Remedy != "":
			found = append(found, finding.Warning(r.Name, r.Detail, fix))
		default:
			found = append(found, finding.OK(r.Name, r.Detail))
		}
	}
	if len(cfg.SES.Identities) == 0 {
		found = append(found, checkIdentityList(ctx, client, cfg.SES.Region))
	}
	return append(found, checkAlarms(ctx, cfg, sdk)...)
}

// checkIdentityList asks what the relay asks at its start when the
// configuration names no identity.
func checkIdentityList(ctx context.Context, client *ses.Client, region string) finding.Finding {
	const name = "ses identities"
	list, err := client.ListIdentities(ctx)
	if err != nil {
		return finding.Fail(name, err.Error(), finding.Run("until then all mail takes Cuenote; list the domains in ses.identities, or allow ses:ListEmailIdentities in the IAM policy of", "aws sts get-caller-identity"))
	}
	names := verifiedNames(list)
	if len(names) == 0 {
		return finding.Fail(name, "none of this account and region is verified",
			finding.Run("until then all mail takes Cuenote; look at ses.region, or verify a domain", "aws sesv2 create-email-identity --email-identity DOMAIN --region "+region))
	}
	return finding.OK(name, fmt.Sprintf("%d verified: %s", len(names), cut(strings.Join(names, ", "), 200)))
}

func checkCuenote(ctx context.Context, path string, cfg *config.Config) finding.Finding {
	ctx, cancel := context.WithTimeout(ctx, liveTimeout)
	defer cancel()
	client, err := cuenote.New(cuenote.Config{
		Address: cfg.Cuenote.Address, TLS: cuenote.TLSMode(cfg.Cuenote.TLS), CAFile: cfg.Cuenote.CAFile,
		ServerName: cfg.Cuenote.ServerName, Username: cfg.Cuenote.Username, Password: cfg.CuenotePassword, Hostname: cfg.Hostname,
	})
	if err != nil {
		return finding.Fail("cuenote", err.Error(), editFile(path, "correct cuenote.tls, cuenote.ca_file and cuenote.password_file"))
	}
	defer client.Close(ctx)
	report, err := client.Check(ctx)
	if err != nil {
		return finding.Fail("cuenote", err.Error(), cuenoteFix(cfg, relay.AsError(err).Class))
	}
	return finding.OK("cuenote", cfg.Cuenote.Address+": "+report.String())
}

// cuenoteFix is what puts a failure of this class right, and the command that
// shows it without the relay.
func cuenoteFix(cfg *config.Config, class string) finding.Remedy {
	address := cfg.Cuenote.Address
	host, port, _ := net.SplitHostPort(address) // config has checked it
	ehlo := "swaks --server " + address + " --quit-after EHLO"
	switch class {
	case "dial":
		return finding.Run("open the firewall from here to there, or correct cuenote.address", fmt.Sprintf("nc -vz %s %s", host, port))
	case "tls":
		start := " -starttls smtp"
		if cfg.Cuenote.TLS == "implicit" {
			start = ""
		}
		return finding.Run("look at the certificate, then at cuenote.tls, cuenote.ca_file and cuenote.server_name",
			fmt.Sprintf("openssl s_client -connect %s%s -verify_return_error </dev/null", address, start))
	case "auth":
		return finding.Run("correct cuenote.username and the password in cuenote.password_file",
			fmt.Sprintf("swaks --server %s --tls --auth-user %s --quit-after AUTH", address, cfg.Cuenote.Username))
	case "greeting", "shutdown", "deferred", "rejected", "config":
		return finding.Run("Cuenote turns this host away: ask its operators to admit the address that it sees, and show them its words", ehlo)
	case "timeout", "connection", "protocol":
		return finding.Run("something in between or no SMTP server; cuenote.tls: implicit is for port 465", ehlo)
	}
	return finding.Run("look at cuenote.address, cuenote.tls and the credentials", ehlo)
}
