package fleet

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"sesrelay/internal/redistest"
	"sesrelay/internal/split"
)

const secret = "0123456789abcdef0123456789abcdef"

// member is one instance with its API.
type member struct {
	mux *http.ServeMux
	*Fleet
	store *split.RedisStore
	api   *httptest.Server
	stop  func()
}

func startRedis(t testing.TB) *redistest.Server {
	t.Helper()
	s, err := redistest.Start(t.TempDir())
	return running(t, s, err)
}

func running(t testing.TB, s *redistest.Server, err error) *redistest.Server {
	t.Helper()
	if errors.Is(err, redistest.ErrMissing) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Kill)
	return s
}

func dial(t testing.TB, url string) redis.UniversalClient {
	t.Helper()
	c, err := Dial(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// join starts an instance with connections of its own.
func join(t testing.TB, url, id, key string) *member {
	t.Helper()
	client := dial(t, url)
	store, err := split.NewRedisStore(client, "test:", "")
	if err != nil {
		t.Fatal(err)
	}
	store.Settle = time.Millisecond
	live, err := split.NewLive(context.Background(), store, split.LiveConfig{})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	m := &member{store: store, mux: mux, api: httptest.NewServer(mux)}
	m.Fleet = New(client, "test:", Config{ID: id, Admin: m.api.URL, Build: "test", Live: live, Key: []byte(key),
		Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	mux.Handle("POST "+Path, m.Handler())
	store.Tell = m.Tell
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{}, 2)
	go func() { store.Run(ctx); ended <- struct{}{} }()
	go func() { m.Run(ctx); ended <- struct{}{} }()
	m.stop = func() {
		if ctx.Err() != nil {
			return
		}
		cancel()
		<-ended
		<-ended
		m.api.Close()
		store.Close()
	}
	t.Cleanup(m.stop)
	return m
}

func joinAll(t testing.TB, n int, url string) []*member {
	t.Helper()
	all := make([]*member, n)
	for i := range all {
		all[i] = join(t, url, fmt.Sprintf("relay-%d", i+1), secret)
	}
	for _, m := range all {
		sees(t, m, n)
	}
	return all
}

func eventually(t testing.TB, within time.Duration, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(within); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %s", what, within)
		}
	}
}

func sees(t testing.TB, m *member, n int) {
	t.Helper()
	eventually(t, 5*time.Second, fmt.Sprintf("%s sees %d", m.ID, n), func() bool { return len(m.Instances()) == n })
}

func set(t testing.TB, m *member, p split.Percent) *split.Snapshot {
	t.Helper()
	s, err := m.Live.Set(context.Background(), m.Live.Current().Version, p, "test", "ops")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestInstancesComeAndGo(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	url := "redis://" + server.Addr
	all := joinAll(t, 2, url)
	twin := join(t, url, "relay-2", secret)
	sees(t, all[0], 3)
	if names := names(all[0].Instances()); names[0] != "relay-1" || !strings.HasPrefix(names[1], "relay-2#") || names[1] == names[2] {
		t.Errorf("%v", names)
	}
	begun := time.Now()
	twin.stop()
	sees(t, all[0], 2)
	if took := time.Since(begun); took > 2*time.Second {
		t.Errorf("an instance that left was listed for %s", took)
	}
	sees(t, all[1], 2)
	// One that dies says nothing more.
	dead := all[0].self
	dead.ID, dead.Run = "dead", "dead"
	if _, err := all[0].registry.say(t.Context(), "dead", encode(t, dead)); err != nil {
		t.Fatal(err)
	}
	sees(t, all[1], 3)
	sees(t, all[1], 2)
	// So does one that died before Redis's clock was set back by an hour.
	if _, err := all[0].registry.say(t.Context(), "dead", encode(t, dead)); err != nil {
		t.Fatal(err)
	}
	if err := all[0].registry.client.ZIncrBy(t.Context(), all[0].registry.keys[1], 3600e6, "dead").Err(); err != nil {
		t.Fatal(err)
	}
	sees(t, all[1], 3)
	sees(t, all[1], 2)
	// What others write there is left out.
	for i, bad := range []string{"x", `{"id":"a"}`, `{"id":"a\nb","run":"r","build":"b","ceiling":100}`, `{"id":"a","run":"r","build":"b","admin":"file:///etc","ceiling":100}`} {
		if _, err := all[0].registry.say(t.Context(), fmt.Sprint("bad", i), bad); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := all[0].registry.say(t.Context(), "", ""); err != nil || len(got) != 2 {
		t.Errorf("%+v, %v", got, err)
	}
}

func names(all []Instance) (out []string) {
	for _, i := range all {
		out = append(out, i.ID)
	}
	return out
}

func TestApplied(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	all := joinAll(t, 3, "redis://"+server.Addr)
	v := set(t, all[0], 1000).Version
	begun := time.Now()
	if behind, err := all[0].Applied(t.Context(), v); err != nil || len(behind) > 0 {
		t.Fatalf("%v, %v", names(behind), err)
	}
	t.Logf("it took %s until all were known to apply it", time.Since(begun))
	// The setter itself is known to apply it before its heartbeat says so.
	eventually(t, 5*time.Second, "all in Redis's list apply it", func() bool {
		return !slices.ContainsFunc(all[1].Look(t.Context()), func(i Instance) bool { return i.Version != v || i.Applied != 1000 })
	})
	stuck := all[0].self
	stuck.ID, stuck.Run, stuck.Version = "stuck", "stuck", v
	if _, err := all[0].registry.say(t.Context(), "stuck", encode(t, stuck)); err != nil {
		t.Fatal(err)
	}
	v = set(t, all[0], 2000).Version
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if behind, _ := all[0].Applied(ctx, v); len(behind) != 1 || behind[0].ID != "stuck" {
		t.Fatalf("behind: %v", names(behind))
	}
	server.Kill()
	ctx, cancel = context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if behind, err := all[0].Applied(ctx, v); err == nil || len(behind) != 1 {
		t.Fatalf("without Redis: %v, %v", names(behind), err)
	}
}

// The brake with Redis killed and frozen: on everywhere within two seconds, off
// by one versioned release afterwards.
func TestBrakeWithoutRedis(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"killed", "frozen"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			server := startRedis(t)
			all := joinAll(t, 5, "redis://"+server.Addr)
			v := set(t, all[0], 5000).Version
			for _, m := range all {
				eventually(t, 2*time.Second, "50 %", func() bool { return m.Live.Current().Applied() == 5000 })
			}
			back := server.Run
			if how == "killed" {
				server.Kill()
			} else {
				if err := server.Freeze(); err != nil {
					t.Fatal(err)
				}
				back = server.Thaw
			}
			eventually(t, 3*time.Second, "Redis is seen to be away", func() bool { up, _ := all[3].Up(); return !up })
			begun := time.Now()
			_, err := all[3].Live.Brake("guard", "bounces")
			if !errors.Is(err, split.ErrNotSaved) || strings.Contains(err.Error(), "not reached") {
				t.Errorf("%v", err)
			}
			for _, m := range all {
				eventually(t, 2*time.Second, "0 %", func() bool { return m.Live.Current().Applied() == 0 })
			}
			if took := time.Since(begun); took > 2*time.Second {
				t.Errorf("all at 0 after %s", took)
			} else {
				t.Logf("all at 0 after %s", took)
			}
			if len(all[0].Instances()) != 5 {
				t.Errorf("the others are forgotten: %v", names(all[0].Instances()))
			}
			for _, i := range all[3].Instances() { // as they answered, without Redis
				if i.Version != v || i.Applied != 0 || i.Ceiling != 0 {
					t.Errorf("the braking instance shows %+v", i)
				}
			}
			if err := back(); err != nil {
				t.Fatal(err)
			}
			eventually(t, 5*time.Second, "saved", func() bool {
				s := all[0].Live.Current()
				_, err := all[0].Live.Release(t.Context(), s.Version, "fixed", "ops")
				return err == nil
			})
			for _, m := range all {
				eventually(t, 3*time.Second, "50 % again", func() bool { s := m.Live.Current(); return s.Version == v+1 && s.Applied() == 5000 })
			}
		})
	}
}

// fix gives an instance another secret while it runs.
func (s *keyring) fix(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fixed, s.now, s.before = []byte(key), nil, nil
}

// An instance that is gone is named; an impostor at its address is not believed
// and gets nothing that it could use.
func TestTellNamesWhomItDidNotReach(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	all := joinAll(t, 3, "redis://"+server.Addr)
	server.Kill()
	all[1].api.Close()
	all[2].secrets.fix("another key")
	err := all[0].Tell(t.Context(), split.Pull{Origin: "x", Number: 1, Brake: split.Brake{By: "ops", Reason: "r", At: time.Now()}}, 0)
	if err == nil || !strings.Contains(err.Error(), "relay-2 (") || !strings.Contains(err.Error(), "relay-3 (answered 403") {
		t.Fatal(err)
	}
	if strings.Contains(err.Error(), secret) {
		t.Error("the secret is in the error")
	}
	liar := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if strings.Contains(string(body)+fmt.Sprint(r.Header), secret) {
			t.Error("the secret was sent")
		}
		w.Header().Set(signature, r.Header.Get(signature))
	}))
	defer liar.Close()
	if _, err := all[0].post(t.Context(), liar.URL, []byte(secret), "n", []byte("x")); err == nil {
		t.Error("an answer without signature was believed")
	}
	all[0].secrets.fix("")
	if err := all[0].Tell(t.Context(), split.Pull{}, 0); err == nil {
		t.Error("told without a key")
	}
}

// Every instance says that it is to be found at 127.0.0.1: what answers there is
// this one itself, and nobody else was told.
func TestTellDoesNotBelieveItself(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	all := joinAll(t, 3, "redis://"+server.Addr)
	server.Kill()
	f := all[0]
	f.mu.Lock()
	for run, p := range f.peers {
		p.Admin = f.self.Admin
		f.peers[run] = p
	}
	f.mu.Unlock()
	err := f.Tell(t.Context(), split.Pull{Origin: "x", Number: 1, Brake: split.Brake{By: "ops", Reason: "r", At: time.Now()}}, 0)
	if err == nil || !strings.Contains(err.Error(), "relay-2 (another instance answers at ") || !strings.Contains(err.Error(), "relay-3 (another") {
		t.Errorf("%v", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, i := range f.known {
		if i.Run != f.self.Run && i.Ceiling == 0 {
			t.Errorf("%s counts as braked", i.ID)
		}
	}
}

// Without state.secret_file the instances share a secret in Redis, and give it
// back when Redis was emptied; an instance that came meanwhile is understood.
func TestSecretOfTheFleet(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	url := "redis://" + server.Addr
	all := []*member{join(t, url, "a", ""), join(t, url, "b", "")}
	for _, m := range all {
		sees(t, m, 2)
	}
	if _, err := server.Do("FLUSHALL"); err != nil {
		t.Fatal(err)
	}
	all = append(all, join(t, url, "c", ""))
	for _, m := range all {
		sees(t, m, 3)
		eventually(t, 5*time.Second, "one secret", func() bool {
			mine, first := m.secrets.all(), all[0].secrets.all()
			return len(mine) > 0 && string(mine[0]) == string(first[0])
		})
	}
	server.Kill()
	for _, m := range all {
		if err := m.Tell(t.Context(), split.Pull{Origin: "x", Number: 1, Brake: split.Brake{By: "ops", Reason: "r", At: time.Now()}}, 0); err != nil {
			t.Error(err)
		}
	}
	for _, m := range all {
		if m.Live.Current().Brake == nil {
			t.Errorf("%s was not told", m.ID)
		}
	}
}

func TestFleetInCluster(t *testing.T) {
	t.Parallel()
	s, err := redistest.StartCluster(t.TempDir())
	server := running(t, s, err)
	all := joinAll(t, 2, "redis://"+server.Addr+"?cluster=true")
	v := set(t, all[0], 1000).Version
	if behind, err := all[0].Applied(t.Context(), v); err != nil {
		t.Fatal(behind, err)
	}
}

// The master dies, Sentinel makes the replica the new one, and the fleet goes on
// with what it holds.
func TestFleetThroughFailover(t *testing.T) {
	t.Parallel()
	master := startRedis(t)
	host, port, _ := net.SplitHostPort(master.Addr)
	replica, err := redistest.Start(t.TempDir(), "--replicaof", host, port)
	running(t, replica, err)
	sentinel, err := redistest.StartSentinel(t.TempDir(), "relay", master.Addr)
	running(t, sentinel, err)
	if err := replica.Until("INFO replication", "master_link_status:up"); err != nil {
		t.Fatal(err)
	}
	if err := sentinel.Until("SENTINEL REPLICAS relay", replica.Addr); err != nil {
		t.Fatal(err)
	}
	all := joinAll(t, 2, "redis://"+sentinel.Addr+"?master_name=relay")
	v := set(t, all[0], 5000).Version
	master.Kill()
	if err := replica.Until("INFO replication", "role:master"); err != nil {
		t.Fatal(err)
	}
	var s *split.Snapshot
	eventually(t, 15*time.Second, "an increase", func() bool {
		var err error
		s, err = all[1].Live.Set(t.Context(), v, 6000, "after the failover", "ops")
		return err == nil
	})
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if behind, err := all[1].Applied(ctx, s.Version); err != nil || len(behind) > 0 {
		t.Fatal(names(behind), err)
	}
}

// A user of Redis with the rights that the documentation names, and no more.
func TestFleetWithACLUser(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	if _, err := server.Do("ACL SETUSER relay on >pa:ss resetchannels ~{test:}* &{test:}* +@read +@write +@scripting +@connection +@pubsub +time -@dangerous"); err != nil {
		t.Fatal(err)
	}
	all := joinAll(t, 2, "redis://relay:pa%3Ass@"+server.Addr+"/0")
	v := set(t, all[0], 1000).Version
	if behind, err := all[0].Applied(t.Context(), v); err != nil {
		t.Fatal(behind, err)
	}
	if err := dial(t, "redis://relay:pa%3Ass@"+server.Addr).Set(t.Context(), "other", "x", 0).Err(); err == nil || !strings.Contains(err.Error(), "NOPERM") {
		t.Errorf("outside its keys: %v", err)
	}
}

// Redis with TLS alone: ca_file names whom to trust, and without it nobody is.
func TestFleetWithTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	certificate(t, dir)
	s, err := redistest.StartTLS(dir, dir+"/cert.pem", dir+"/key.pem")
	server := running(t, s, err)
	all := joinAll(t, 2, "rediss://"+server.TLSAddr+"?ca_file="+dir+"/cert.pem")
	v := set(t, all[0], 1000).Version
	if behind, err := all[0].Applied(t.Context(), v); err != nil {
		t.Fatal(behind, err)
	}
	stranger := dial(t, "rediss://"+server.TLSAddr)
	eventually(t, 10*time.Second, "a certificate that nobody knows is refused", func() bool { // not for want of time
		err := stranger.Ping(t.Context()).Err()
		if err == nil {
			t.Fatal("a certificate that nobody knows is believed")
		}
		return strings.Contains(err.Error(), "certificate")
	})
}

// certificate makes one for 127.0.0.1 that signs itself.
func certificate(t *testing.T, dir string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDialRefuses(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"http://u:hunter2@h", "redis://u:hunter2@h:1/x", "redis://u:hunter2@h\x00", "redis://u:hunter2@h?cluster=true&nonsense=1",
		"redis://u:hunter2@h?master_name=m&db=x", "redis://u:hunter2@h?nonsense=1", "rediss://u:hunter2@h?ca_file=/nonexistent", "rediss://u:hunter2@h?ca_file=/dev/null"} {
		if c, err := Dial(bad); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v, %v", bad, c, err)
		}
	}
	for _, good := range []string{"redis://h", "rediss://u:p@h:6380/2", "redis://h?cluster=true&addr=h2:6379", "redis://h:26379?master_name=m&addr=h2:26379"} {
		c, err := Dial(good)
		if err != nil {
			t.Errorf("%s: %v", good, err)
			continue
		}
		c.Close()
	}
}

// What is no secret of a fleet is replaced by one.
func TestOddSecret(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	url := "redis://" + server.Addr
	client := dial(t, url)
	for name, put := range map[string]func() error{
		"a list": func() error { return client.RPush(t.Context(), "{test:}secret", "x").Err() },
		"empty":  func() error { return client.Set(t.Context(), "{test:}secret", "", 0).Err() },
		"short":  func() error { return client.Set(t.Context(), "{test:}secret", "x", 0).Err() },
	} {
		client.Del(t.Context(), "{test:}secret")
		if err := put(); err != nil {
			t.Fatal(err)
		}
		r := New(client, "test:", Config{Live: alone(t).Live}).registry
		var s keyring
		if err := r.share(t.Context(), &s); err != nil || len(s.all()) != 1 || len(s.all()[0]) < 16 {
			t.Errorf("%s: %v, %d secrets", name, err, len(s.all()))
		}
	}
}
