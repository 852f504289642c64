package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"runtime/debug"
	"time"

	"sesrelay/internal/simulator"
)

// sinkOptions are what the sink process is told on its command line.
type sinkOptions struct {
	SESTLS      bool
	Certificate string // file that gets the certificate of the SES endpoint
	Control     string // address of the control endpoint
	Records     int    // deliveries kept with their recipients and times
	IDs         int    // different mails counted
}

// sink is the two simulated next hops and what is asked about them.
type sink struct {
	opts    sinkOptions
	store   *simulator.Store
	ses     *simulator.SES
	cuenote *simulator.SMTP
}

// sinkAddresses is the first line that a sink prints.
type sinkAddresses struct {
	SES     string `json:"ses"`
	Cuenote string `json:"cuenote"`
	Control string `json:"control"`
}

func newSink(o sinkOptions) (*sink, error) {
	s := &sink{opts: o, store: simulator.NewStore(simulator.StoreConfig{
		DiscardBodies: true, MaxRecords: o.Records, MaxIDs: o.IDs,
	})}
	var err error
	if s.ses, err = simulator.NewSES(simulator.SESConfig{Store: s.store, TLS: o.SESTLS}); err != nil {
		return nil, fmt.Errorf("sink: ses: %w", err)
	}
	if s.cuenote, err = simulator.NewSMTP(simulator.SMTPConfig{Store: s.store}); err != nil {
		s.ses.Close()
		return nil, fmt.Errorf("sink: cuenote: %w", err)
	}
	return s, nil
}

func (s *sink) close() {
	s.ses.Close()
	s.cuenote.Close()
}

// runSink serves until ctx ends or in does: a sink whose parent has died must
// not stay.
func runSink(ctx context.Context, o sinkOptions, in io.Reader, out io.Writer) error {
	debug.SetGCPercent(400) // the sink is not what is measured: memory for less CPU time
	s, err := newSink(o)
	if err != nil {
		return err
	}
	defer s.close()
	if o.SESTLS && o.Certificate != "" {
		if err := saveCertificate(s.ses.URL(), o.Certificate); err != nil {
			return err
		}
	}
	l, err := net.Listen("tcp", o.Control)
	if err != nil {
		return fmt.Errorf("sink: control: %w", err)
	}
	server := &http.Server{Handler: s.handler(), ReadHeaderTimeout: 5 * time.Second}
	go server.Serve(l)
	defer server.Close()
	if err := json.NewEncoder(out).Encode(sinkAddresses{s.ses.URL(), s.cuenote.Addr(), "http://" + l.Addr().String()}); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() { io.Copy(io.Discard, in); close(ended) }()
	select {
	case <-ctx.Done():
	case <-ended:
	}
	return nil
}

// saveCertificate writes the endpoint's self-signed certificate where the relay
// looks for authorities (SSL_CERT_FILE). It is asked of the endpoint itself,
// on loopback and in this process.
func saveCertificate(base, path string) error {
	u, err := url.Parse(base)
	if err != nil {
		return err
	}
	conn, err := tls.Dial("tcp", u.Host, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		return fmt.Errorf("sink: certificate: %w", err)
	}
	defer conn.Close()
	block := &pem.Block{Type: "CERTIFICATE", Bytes: conn.ConnectionState().PeerCertificates[0].Raw}
	return os.WriteFile(path, pem.EncodeToMemory(block), 0o600)
}
