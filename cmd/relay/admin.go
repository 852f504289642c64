package main

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// serveAdmin opens the API.
func (a *app) serveAdmin() (stop func(), err error) {
	l, err := listenAdmin(a.cfg.Load().Admin.Address)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(a.reg, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !a.ready.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	for pattern, h := range a.routes {
		mux.Handle(pattern, h)
	}
	return serveHTTP(l, mux, a.log), nil
}
