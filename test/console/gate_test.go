package console

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"
)

// gate stands between browser and relay, and cuts what a test tells it to.
type gate struct {
	*httptest.Server

	mu    sync.Mutex              // guards what follows
	shut  func(path string) bool  // those are cut without an answer
	other map[string]http.Handler // answers instead of the relay, by "METHOD path"
	open  map[int]context.CancelFunc
	next  int
}

func newGate(t *testing.T, r *instance) *gate {
	t.Helper()
	g := &gate{other: map[string]http.Handler{}, open: map[int]context.CancelFunc{}}
	target := &url.URL{Scheme: "http", Host: r.http}
	proxy := &httputil.ReverseProxy{FlushInterval: -1, Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(target) }, // without X-Forwarded-For
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }}
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		ctx, done, other, shut := g.enter(req)
		defer done()
		switch {
		case shut:
			panic(http.ErrAbortHandler) // the connection is closed
		case other != nil:
			other.ServeHTTP(w, req)
		default:
			proxy.ServeHTTP(w, req.WithContext(ctx))
		}
	}))
	t.Cleanup(func() { g.cut(func(string) bool { return true }); g.Close() })
	return g
}

func (g *gate) enter(req *http.Request) (context.Context, func(), http.Handler, bool) {
	ctx, cancel := context.WithCancel(req.Context())
	g.mu.Lock()
	defer g.mu.Unlock()
	n := g.next
	g.next++
	g.open[n] = cancel
	done := func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.open, n)
		cancel()
	}
	return ctx, done, g.other[req.Method+" "+req.URL.Path], g.shut != nil && g.shut(req.URL.Path)
}

// cut closes every connection that is open, and from now on those of the paths
// that shut names; nil opens all again.
func (g *gate) cut(shut func(path string) bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = shut
	for _, cancel := range g.open {
		cancel()
	}
}

// instead answers one path in the relay's place; nil gives it back.
func (g *gate) instead(pattern string, h http.Handler) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.other[pattern] = h
}

// only lets one path through.
func only(paths ...string) func(string) bool {
	return func(path string) bool {
		for _, p := range paths {
			if p == path {
				return false
			}
		}
		return true
	}
}

func without(paths ...string) func(string) bool {
	return func(path string) bool { return !only(paths...)(path) }
}
