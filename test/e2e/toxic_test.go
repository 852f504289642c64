package e2e

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// dialPlain opens a connection without a word.
func dialPlain(addr string) (*net.TCPConn, error) {
	conn, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		return nil, err
	}
	return conn.(*net.TCPConn), nil
}

// line is a TCP connection between two processes that can be spoilt.
type line struct{ *toxiproxy.Proxy }

// startLine passes connections on to upstream until the test ends.
func startLine(t *testing.T, name, upstream string) *line {
	t.Helper()
	zerolog.SetGlobalLevel(zerolog.Disabled) // some toxics log past the server's logger
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	for range 10 { // another process may take the port first
		l := &line{toxiproxy.NewProxy(server, name, freePort(t), upstream)}
		if l.Start() == nil {
			t.Cleanup(l.Stop)
			return l
		}
	}
	t.Fatal("no port to listen on")
	return nil
}

// spoil puts a toxic on the line, in toxiproxy's JSON.
func (l *line) spoil(t *testing.T, toxic string) {
	t.Helper()
	if _, err := l.Toxics.AddToxicJson(strings.NewReader(toxic)); err != nil {
		t.Fatalf("%s: %v", toxic, err)
	}
}

// heal removes every toxic.
func (l *line) heal() { l.Toxics.ResetToxics(context.Background()) }

// What can be wrong with a line.
const (
	dead      = `{"name":"dead","type":"timeout","stream":"downstream","attributes":{"timeout":0}}` // half-open: requests arrive, answers never
	deaf      = `{"name":"deaf","type":"timeout","stream":"upstream","attributes":{"timeout":0}}`   // half-open the other way
	resets    = `{"name":"resets","type":"reset_peer","stream":"downstream","attributes":{"timeout":0}}`
	cutsEarly = `{"name":"cuts","type":"limit_data","stream":"upstream","attributes":{"bytes":700}}` // inside the request
	slowLine  = `{"name":"slow","type":"latency","stream":"downstream","attributes":{"latency":1500,"jitter":1000}}`
	thinLine  = `{"name":"thin","type":"bandwidth","stream":"upstream","attributes":{"rate":20}}`
	crumbs    = `{"name":"slices","type":"slicer","stream":"upstream","attributes":{"average_size":40,"size_variation":30,"delay":200}}`
)
