// Package observability holds what Prometheus and Grafana are given, and the
// tests of it that need no relay. That its metrics exist is tested in cmd/relay.
package observability
