package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sesrelay/internal/redistest"
	"sesrelay/internal/simulator"
)

// keyTest shows that a key does something: two configurations that differ in
// its value only, and what can be seen of each.
type keyTest struct {
	key          string
	a, b         string                 // values; "-" leaves the key out
	wantA, wantB string                 // regular expressions for what see returns
	base         settings               // the same for both
	hop          simulator.SMTPConfig   // Cuenote
	see          func(*keyStage) string // nil: what "relay check" says
}

// keyStage is the relay of one value of a row.
type keyStage struct {
	*stage
	t    *testing.T
	vars map[string]string // {NAME} in values
	more *hops             // a second pair of next hops

	redis *redistest.Server // where the row's values name {REDIS}
	told  chan string       // what came to {HOOK}
	quiet bool              // nothing names {HOOK}
}

// TestEveryKeyDoesSomething walks the keys that the relay itself lists, so
// that a new key without a row fails.
func TestEveryKeyDoesSomething(t *testing.T) {
	t.Parallel()
	rows := map[string]bool{"rollout.steps[].set_percent": true, "rollout.steps[].pause": true} // rollout.steps shows both
	for _, k := range keyTests {
		rows[k.key] = true
	}
	known := listedKeys(t)
	for _, key := range known {
		if !rows[key] {
			t.Errorf("%s has no row: what does its change alter?", key)
		}
	}
	for key := range rows {
		if !slices.Contains(known, key) && key != "rollout.steps" {
			t.Errorf("%s has a row and is no key", key)
		}
	}
	for _, k := range keyTests {
		t.Run(k.key, func(t *testing.T) {
			t.Parallel()
			for _, v := range []struct{ name, value, want string }{{"a", k.a, k.wantA}, {"b", k.b, k.wantB}} {
				t.Run(v.name, func(t *testing.T) {
					t.Parallel()
					if got := k.saw(t, v.value); !regexp.MustCompile(`^(?:` + v.want + `)`).MatchString(got) {
						t.Errorf("%s: %s: saw %q, want %s", k.key, v.value, got, v.want)
					}
				})
			}
			if k.wantA == k.wantB || k.a == k.b {
				t.Error("the row shows no difference")
			}
		})
	}
}

// listedKeys are the leaves of the schema that the relay prints.
func listedKeys(t *testing.T) []string {
	t.Helper()
	out, err := exec.Command(binary(t, true), "config", "schema").Output()
	if err != nil {
		t.Fatal(err)
	}
	type node struct {
		Properties map[string]json.RawMessage
		Items      json.RawMessage
	}
	var keys []string
	var walk func(raw json.RawMessage, path string)
	walk = func(raw json.RawMessage, path string) {
		var n, item node
		if err := json.Unmarshal(raw, &n); err != nil {
			t.Fatal(err)
		}
		if n.Items != nil {
			json.Unmarshal(n.Items, &item)
		}
		switch {
		case len(n.Properties) > 0:
			for _, name := range slices.Sorted(maps.Keys(n.Properties)) {
				walk(n.Properties[name], strings.TrimPrefix(path+"."+name, "."))
			}
		case len(item.Properties) > 0:
			walk(n.Items, path+"[]")
		default:
			keys = append(keys, path)
		}
	}
	walk(out, "")
	if len(keys) < 70 {
		t.Fatalf("the schema has %d keys only: %v", len(keys), keys)
	}
	return keys
}

// saw returns what can be seen with one value of the row.
func (k *keyTest) saw(t *testing.T, value string) string {
	t.Helper()
	s := &keyStage{t: t, more: startHops(t)}
	h := startHopsWith(t, simulator.StoreConfig{}, k.hop)
	h.mayAbort, s.more.mayAbort = true, true
	o := relayOptions{ses: h.ses.URL(), cuenote: h.cuenote.Addr(), smtp: freePort(t), admin: freePort(t), plain: true, set: settings{}}
	s.vars = s.variables(h)
	if strings.Contains(fmt.Sprint(value, k.base), "{REDIS}") {
		s.redis = startRedis(t)
		s.vars["REDIS"] = s.redis.Addr
	}
	if strings.HasPrefix(k.key, "rollout.notify.") {
		s.vars["HOOK"] = s.startHook()
		s.quiet = value == `""` && !strings.Contains(fmt.Sprint(k.base), "{HOOK}")
		o.env = append(o.env, "AWS_ENDPOINT_URL_SNS=http://"+s.vars["HOOK"])
	}
	maps.Copy(o.set, k.base)
	if k.key == "admin.address" {
		o.admin = s.fill(value, &o)
	} else {
		s.place(&o, k.key, value)
	}
	for key, v := range o.set {
		o.set[key] = s.fill(v, &o)
	}
	if k.see == nil {
		return checked(t, &o)
	}
	s.stage = &stage{hops: h, relay: startRelay(t, o)}
	return k.see(s)
}

// checked is what "relay check" says.
func checked(t *testing.T, o *relayOptions) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "relay.yaml")
	write(t, path, o.settings().yaml())
	out, err := exec.Command(binary(t, true), "check", "--config", path).CombinedOutput()
	if err != nil {
		return "refused " + string(out)
	}
	return "passed"
}

// place puts a value where its key stands: items of lists are written in the
// base as {VALUE}.
func (s *keyStage) place(o *relayOptions, key, value string) {
	if list, name, ok := strings.Cut(key, "[]."); ok {
		item := ""
		if value != "-" {
			item = name + ": " + value
		}
		o.set[list] = strings.ReplaceAll(strings.ReplaceAll(o.set[list], "{VALUE}", item), ", ,", ",")
		return
	}
	if value != "-" {
		o.set[key] = value
	}
}

func (s *keyStage) fill(v string, o *relayOptions) string {
	for name, text := range s.vars {
		v = strings.ReplaceAll(v, "{"+name+"}", text)
	}
	return strings.NewReplacer("{SMTP}", o.smtp, "{ADMIN}", o.admin).Replace(v)
}
