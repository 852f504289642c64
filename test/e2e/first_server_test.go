package e2e

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"sesrelay/internal/simulator"
)

// mailServer is one Postfix of several that share a fleet of relays.
type mailServer struct {
	*postfix
	name, address string
	says          []string // what names it to relay route test
}

// TestOneServerFirst has three real Postfix in front of two relays, as the
// runbook's "One server first": all mail of one takes SES and none of the
// others, whichever relay they use, and one command takes it back.
func TestOneServerFirst(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		set  settings
		helo bool // the servers are known by their EHLO only
		rule bool // the share stays at 0
	}{
		{"by client", settings{"split.by": "client"}, false, false},
		{"by client behind NAT", settings{"split.by": "client", "split.client_from": "helo"}, true, false},
		{"by a rule", settings{"split.rules": "[{name: first-server, client: 127.0.10.11/32, route: split, percent: 100}]"}, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			redis := startRedis(t)
			f := startFleet(t, fleetOptions{relayOptions: relayOptions{plain: true, set: c.set}, size: 2, redis: at(redis)})
			var servers []mailServer
			for _, n := range []string{"11", "12", "13"} {
				s := mailServer{name: "mx" + n + ".goo.ne.jp", address: "127.0.10." + n}
				lines := []string{"smtp_helo_name = " + s.name, "smtp_connection_cache_destinations = 127.0.0.1"}
				if s.says = []string{"--client", s.address}; c.helo {
					s.says = []string{"--client", "127.0.0.1", "--helo", s.name}
				} else {
					lines = append(lines, "smtp_bind_address = "+s.address)
				}
				s.postfix = startPostfix(t, bracketed(f.all[0].smtp)+", "+bracketed(f.all[1].smtp), lines...)
				servers = append(servers, s)
			}
			first := servers[0]
			if !c.rule {
				first = f.lowest(t, servers)
			}
			t.Logf("%s goes first", first.name)
			f.deliverAll(t, servers, "first", map[string]bool{first.name: true})
			if c.rule {
				f.all[1].cli(t, "brake", "--reason", "the rule goes back, too")
			} else {
				f.all[1].split(t, "0")
			}
			f.deliverAll(t, servers, "back", nil)
		})
	}
}

var fromShare = regexp.MustCompile(`\(on ses from ([0-9.]+) %\)`)

// lowest asks relay route test for each server at which share it takes SES, and
// sets the least: only that server is there then.
func (f *fleet) lowest(t *testing.T, servers []mailServer) mailServer {
	t.Helper()
	shares := map[string]float64{}
	for _, s := range servers {
		out := f.all[0].cli(t, append([]string{"route", "test", "--from", "news@goo.ne.jp", "--to", "taro@example.jp", "--want", "cuenote"}, s.says...)...)
		m := fromShare.FindStringSubmatch(out)
		if m == nil {
			t.Fatalf("relay route test does not say at which share %s takes SES:\n%s", s.name, out)
		}
		shares[s.name], _ = strconv.ParseFloat(m[1], 64)
	}
	t.Logf("on SES from %v", shares)
	slices.SortFunc(servers, func(a, b mailServer) int { return int(100 * (shares[a.name] - shares[b.name])) })
	f.all[0].split(t, strconv.FormatFloat(shares[servers[0].name], 'f', 2, 64))
	f.apply(t, shares[servers[0].name])
	for i, s := range servers {
		want := "cuenote"
		if i == 0 {
			want = "ses"
		}
		f.all[1].cli(t, append([]string{"route", "test", "--from", "news@goo.ne.jp", "--to", "taro@example.jp", "--want", want}, s.says...)...)
	}
	return servers[0]
}

// deliverAll sends mail through every server and looks where it went.
func (f *fleet) deliverAll(t *testing.T, servers []mailServer, prefix string, onSES map[string]bool) {
	t.Helper()
	const each = 60
	for i, s := range servers {
		submit(t, s.addr, numbered(fmt.Sprintf("%s%d-", prefix, i), each))
	}
	eventually(t, time.Minute, "all mail", func() error {
		if n := len(f.of(prefix)); n != each*len(servers) {
			return fmt.Errorf("%d of %d arrived", n, each*len(servers))
		}
		return nil
	})
	for i, s := range servers {
		ses := 0
		for _, r := range f.of(fmt.Sprintf("%s%d-", prefix, i)) {
			if r.Upstream == simulator.UpstreamSES {
				ses++
			}
		}
		want := 0
		if onSES[s.name] {
			want = each
		}
		t.Logf("%s: %s: %d of %d mails took SES", prefix, s.name, ses, each)
		if ses != want {
			t.Errorf("%s: %d of %d mails took SES, want %d", s.name, ses, each, want)
		}
		if n := s.statuses(t); n["deferred"]+n["bounced"] > 0 {
			t.Errorf("%s: statuses %v", s.name, n)
		}
	}
}

// of is the mail that arrived whose id begins with prefix.
func (h *hops) of(prefix string) []simulator.Record {
	return slices.DeleteFunc(h.store.All(), func(r simulator.Record) bool { return !strings.HasPrefix(r.TestID, prefix) })
}
