package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// directOptions are how the tools are measured without a relay.
type directOptions struct {
	Clients int
	For     time.Duration
	Size    int
}

// runDirect measures generator against sinks, closed loop: each client sends
// the next mail when it has the answer.
func runDirect(ctx context.Context, o directOptions, out io.Writer) error {
	if o.Clients < 1 || o.For < 100*time.Millisecond || o.Size < smallestMail {
		return usageError(errors.New("--clients is 1 or more, --for 100ms or more, --size 1024 or more"))
	}
	dir, err := os.MkdirTemp("", "relay-loadtest")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	fmt.Fprintf(out, "%-34s %10s %22s %22s\n", "", "mails/s", "sink CPU s / 1,000", "generator CPU s / 1,000")
	for _, secure := range []bool{true, false} {
		if err := directSink(ctx, dir, secure, o, out); err != nil {
			return err
		}
	}
	return nil
}

// directSink measures one sink process: SMTP once, and SES with or without TLS.
func directSink(ctx context.Context, dir string, secure bool, o directOptions, out io.Writer) error {
	certificate := filepath.Join(dir, "ses.pem")
	p, addrs, err := startSink(ctx, dir, sinkOptions{SESTLS: secure, Certificate: certificate, Records: 10_000, IDs: 10_000_000})
	if err != nil {
		return err
	}
	defer p.stop(5 * time.Second)
	bag := newMailbag(mailbag{run: "direct", sizes: distribution{{o.Size, 1}}, recipients: distribution{{1, 1}}, senders: 1000, senderDomain: senderDomain})
	if secure {
		smtp := &pool{target: &target{Addresses: []string{addrs.Cuenote}, Hello: "direct.example", Timeout: 10 * time.Second}, reuse: reuse{For: time.Hour}}
		err := directTo(ctx, "Cuenote by SMTP, pipelined", p, o, out, func(seq int) error {
			return smtp.deliver(bag.mail(seq, time.Now()), 1).Err
		})
		if err != nil {
			return err
		}
	}
	client, err := directClient(secure, certificate, o.Clients)
	if err != nil {
		return err
	}
	return directTo(ctx, "SES by "+strings.SplitN(addrs.SES, ":", 2)[0], p, o, out, func(seq int) error {
		return postMail(ctx, client, addrs.SES, bag.mail(1_000_000_000+seq, time.Now()))
	})
}

// directTo sends with all clients until the time is over, and prints a line.
func directTo(ctx context.Context, name string, p *process, o directOptions, out io.Writer, send func(seq int) error) error {
	var sent, seq atomic.Int64
	var failed atomic.Pointer[error]
	var clients sync.WaitGroup
	sinkBefore, err1 := readUsage(p.pid())
	selfBefore, err2 := readUsage(os.Getpid())
	begin := time.Now()
	for range o.Clients {
		clients.Go(func() {
			for time.Since(begin) < o.For && ctx.Err() == nil {
				if err := send(int(seq.Add(1))); err != nil {
					failed.Store(&err)
					return
				}
				sent.Add(1)
			}
		})
	}
	clients.Wait()
	if err := failed.Load(); err != nil {
		return fmt.Errorf("%s: %w", name, *err)
	}
	took := time.Since(begin).Seconds()
	sinkAfter, err3 := readUsage(p.pid())
	selfAfter, err4 := readUsage(os.Getpid())
	per := func(before, after usage) float64 {
		return 1000 * (after.CPU - before.CPU).Seconds() / float64(max(sent.Load(), 1))
	}
	fmt.Fprintf(out, "%-34s %10.0f %22.3f %22.3f\n", name, float64(sent.Load())/took, per(sinkBefore, sinkAfter), per(selfBefore, selfAfter))
	return errors.Join(err1, err2, err3, err4)
}

func directClient(secure bool, certificate string, connections int) (*http.Client, error) {
	t := &http.Transport{MaxIdleConnsPerHost: connections}
	if secure {
		b, err := os.ReadFile(certificate)
		if err != nil {
			return nil, err
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(b)
		t.TLSClientConfig = &tls.Config{RootCAs: roots}
	}
	return &http.Client{Transport: t, Timeout: 10 * time.Second}, nil
}

// postMail is one SendEmail. The simulated SES believes every signature, and
// only wants one to be there.
func postMail(ctx context.Context, client *http.Client, base string, m *mail) error {
	raw := bytes.Join([][]byte{m.header, m.body, []byte("\r\n")}, nil)
	body := fmt.Sprintf(`{"Destination":{"ToAddresses":[%q]},"Content":{"Raw":{"Data":%q}}}`, m.To[0], base64.StdEncoding.EncodeToString(raw))
	req, err := http.NewRequestWithContext(ctx, "POST", base+"/v2/email/outbound-emails", strings.NewReader(body))
	if err != nil {
		return err
	}
	now := time.Now().UTC()
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Amz-Date", now.Format("20060102T150405Z"))
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIDDIRECT/"+now.Format("20060102")+
		"/ap-northeast-1/ses/aws4_request, SignedHeaders=host;x-amz-date, Signature="+strings.Repeat("0", 64))
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", res.Status, text)
	}
	return err
}
