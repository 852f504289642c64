package admin

import (
	"strings"
	"testing"
)

func TestNewToken(t *testing.T) {
	t.Parallel()
	secret, line, err := NewToken(Readonly, "grafana")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(secret, "relay_") || len(secret) < 6+43 || !strings.HasPrefix(line, "readonly:grafana:") || strings.Contains(line, secret[6:]) {
		t.Fatalf("%q, %q", secret, line)
	}
	tokens, err := ParseTokens(strings.NewReader("# who\n\n  " + line + "  \r\n"))
	if err != nil {
		t.Fatal(err)
	}
	if e, ok := tokens.find(secret); !ok || e.name != "grafana" || e.role != Readonly {
		t.Fatalf("%+v, %v", e, ok)
	}
	for _, wrong := range []string{"", secret[:len(secret)-1], secret + "a", strings.ToUpper(secret), line} {
		if _, ok := tokens.find(wrong); ok {
			t.Errorf("%q was taken", wrong)
		}
	}
	if other, _, _ := NewToken(Readonly, "grafana"); other == secret {
		t.Error("the same token twice")
	}
	for _, name := range []string{"", "a:b", "a b", "a\n", strings.Repeat("x", 65)} {
		if _, _, err := NewToken(Admin, name); err == nil {
			t.Errorf("name %q was taken", name)
		}
	}
	for _, role := range []Role{Anyone, Network, Admin + 1} {
		if _, _, err := NewToken(role, "x"); err == nil {
			t.Errorf("role %d was taken", role)
		}
	}
}

func TestParseTokensMistakes(t *testing.T) {
	t.Parallel()
	good := strings.Repeat("ab", 32)
	file := "admin:ops:" + good + "\nroot:x:" + good + "\nadmin:two words:" + good + "\nadmin:plain:relay_SECRETSECRET\nadmin\nreadonly:ops:" + good + "\nadmin:short:abcd\n"
	_, err := ParseTokens(strings.NewReader(file))
	if err == nil {
		t.Fatal("taken")
	}
	for _, want := range []string{"line 2: role \"root\"", "line 3: name", "line 4: the third part", "line 5: write role:name:hash", "line 6: name \"ops\" stands in line 1 too", "line 7: the third part"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "SECRET") {
		t.Errorf("a token written in the clear is in the error: %v", err)
	}
}

func FuzzParseTokens(f *testing.F) {
	f.Add("admin:ops:" + strings.Repeat("ab", 32))
	f.Add("# comment\n::\nadmin:x:y")
	f.Fuzz(func(t *testing.T, s string) {
		tokens, err := ParseTokens(strings.NewReader(s))
		if err != nil {
			return
		}
		for _, e := range tokens.list {
			if e.role < Monitoring || e.role > Admin || checkName(e.name) != nil {
				t.Fatalf("%q gives %+v", s, e)
			}
		}
	})
}
