package main

import (
	"errors"
	"strings"
	"testing"

	"sesrelay/cmd/relay/internal/config"
	"sesrelay/cmd/relay/internal/finding"
	"sesrelay/internal/redistest"
)

func TestCheckRedis(t *testing.T) {
	t.Parallel()
	server, err := redistest.Start(t.TempDir())
	if errors.Is(err, redistest.ErrMissing) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Kill)
	cfg := config.Default()
	check := func(url string, want ...string) []finding.Finding {
		t.Helper()
		cfg.State.Redis = url
		found := checkRedis(t.Context(), cfg)
		expect(t, found, want...)
		for _, f := range found {
			if strings.Contains(f.Detail()+f.Fix(), "hunter2") {
				t.Errorf("the password is shown: %+v", f)
			}
		}
		return found
	}
	do := func(command string) {
		t.Helper()
		if _, err := server.Do(command); err != nil {
			t.Fatal(err)
		}
	}
	if found := checkRedis(t.Context(), config.Default()); found != nil {
		t.Errorf("without state.redis: %+v", found)
	}
	check("redis://"+server.Addr, "ok redis", "ok redis maxmemory-policy")
	do("CONFIG SET maxmemory-policy allkeys-lru")
	check("redis://"+server.Addr, "ok redis", "warning redis maxmemory-policy")
	do("ACL SETUSER other on >hunter2 ~{other:}* &{other:}* +@all")
	check("redis://other:hunter2@"+server.Addr, "fail redis scripts")
	do("ACL SETUSER nochannel on >hunter2 ~{relay:}* resetchannels +@all")
	check("redis://nochannel:hunter2@"+server.Addr, "fail redis messages")
	check("redis://other:wrong@"+server.Addr, "fail redis")
	server.Kill()
	check("redis://"+server.Addr, "fail redis")
}
