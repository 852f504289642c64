package config

import (
	"net/netip"
	"time"
)

const (
	kib = 1 << 10
	mib = 1 << 20
)

// Default returns the configuration of an empty file.
func Default() *Config {
	loopback4 := netip.MustParsePrefix("127.0.0.0/8")
	loopback6 := netip.MustParsePrefix("::1/128")
	c := &Config{
		Listeners: []Listener{{Address: "127.0.0.1:2525", Protocol: "smtp", TLS: "none"}},
		Access:    Access{Networks: []netip.Prefix{loopback4, loopback6}},
		Limits: Limits{
			MessageSize: 40 * mib, Recipients: 50, Connections: 5000,
			ConnectionsPerClient: 5000, Memory: 512 * mib,
		},
		Split:   Split{By: "message", ClientFrom: "address"},
		Quota:   Quota{Headroom: 0.9, MaxWait: 2 * time.Second, OnExhausted: "cuenote"},
		State:   State{Prefix: "relay:", LedgerTTL: 6 * time.Hour},
		Traffic: Traffic{RecipientsPerMessage: 1},
		Breaker: Breaker{FailureRatio: 0.5, MinRequests: 20, OpenFor: 10 * time.Second},
		Drain:   Drain{Grace: 5 * time.Second, Deadline: 115 * time.Second},
		Admin: Admin{
			Address: "127.0.0.1:8025",
			Networks: Networks{
				Admin:      []netip.Prefix{loopback4},
				ReadOnly:   []netip.Prefix{loopback4},
				Monitoring: []netip.Prefix{loopback4},
			},
		},
		CloudWatch: CloudWatch{Project: "ses-migration", Environment: "production"},
		Log:        Log{Format: "json", Level: "info", Addresses: "masked"},
	}
	c.SES, c.Cuenote = defaultUpstreams()
	c.Rollout = defaultRollout()
	return c
}

func defaultUpstreams() (SES, Cuenote) {
	return SES{
			Region:           "ap-northeast-1",
			ConfigurationSet: "ses-migration-production-config-set",
			Identities:       []string{"goo.ne.jp"},
			MaxInFlight:      1000,
			MessageSize:      28 * mib,
			Timeout:          30 * time.Second,
			OnUnavailable:    "cuenote",
			OnRejected:       "cuenote",
		}, Cuenote{
			Address:       "127.0.0.1:2526",
			TLS:           "none",
			Connections:   200,
			Timeout:       110 * time.Second,
			OnUnavailable: "defer",
		}
}

func defaultRollout() Rollout {
	const week = 7 * 24 * time.Hour
	set := func(percent int) Step { h := percent * 100; return Step{SetPercent: &h} }
	return Rollout{
		Events:     "none",
		Steps:      []Step{set(10), {Pause: week}, set(50), {Pause: week}, set(100)},
		Gate:       Gate{SuccessMin: 9950, DelayMax: time.Minute, BounceMax: 50},
		RollbackTo: "previous",
		Guard: Guard{
			Enabled: true, SuccessMin: 9500, DelayMax: 5 * time.Minute, BounceMax: 500,
			ComplaintMax: 50, MinMessages: 200, Window: 5 * time.Minute, NoDataMax: 10 * time.Minute,
		},
	}
}

// setDefaults fills an item of listeners before its keys are read.
func (l *Listener) setDefaults() { l.Protocol, l.TLS = "smtp", "none" }
