package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestParsePercent(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{
		"0": 0, "100": 10000, "25": 2500, "0.01": 1, "0.5": 50, "99.99": 9999, "007": 700, "100.00": 10000,
	} {
		if got, err := ParsePercent(text); err != nil || got != want {
			t.Errorf("ParsePercent(%q) = %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", ".", "5.", ".5", "-1", "+1", "1e1", "100.01", "101", "0.001", "12.250", "25%", "1,5", " 1", "99999999999999999999", "٢"} {
		if got, err := ParsePercent(text); err == nil {
			t.Errorf("ParsePercent(%q) = %d, want an error", text, got)
		}
	}
	for hundredths := range 10001 {
		if got, err := ParsePercent(FormatPercent(hundredths)); err != nil || got != hundredths {
			t.Fatalf("%d became %q, %d, %v", hundredths, FormatPercent(hundredths), got, err)
		}
	}
}

func TestExpand(t *testing.T) {
	t.Parallel()
	lookup := func(name string) (string, bool) { return "<" + name + "$$>", name != "ABSENT" }
	for text, want := range map[string]string{
		"plain": "plain", "${A}": "<A$$>", "x${A_1}y${b}": "x<A_1$$>y<b$$>", "$${A}": "${A}", "$$": "$", "$A": "$A", "$": "$",
	} {
		if got, err := expand(text, lookup); err != nil || got != want {
			t.Errorf("expand(%q) = %q, %v; want %q", text, got, err, want)
		}
	}
	for _, text := range []string{"${ABSENT}", "${", "${}", "${A", "${A B}", "${1A}", "${A:-x}"} {
		if got, err := expand(text, lookup); err == nil {
			t.Errorf("expand(%q) = %q, want an error", text, got)
		}
	}
}

// TestMessagesLeakNoSecret gives wrong values that come from the environment or
// stand at a secret key.
func TestMessagesLeakNoSecret(t *testing.T) {
	t.Parallel()
	lookup := func(string) (string, bool) { return "hunter2 hunter2", true }
	file := "hostname: ${SECRET}\nlimits: {recipients: \"${SECRET}\"}\nstate: {redis: \"redis//:hunter2@h\"}\nrollout: {notify: {webhook: \"ftp://hunter2\"}}\n"
	_, _, err := parse("f", []byte(file), lookup)
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("error is %v", err)
	}
	if got := len(err.(*Error).Mistakes); got != 4 {
		t.Errorf("%d mistakes, want 4:\n%v", got, err)
	}
}

func TestReadSecret(t *testing.T) {
	t.Parallel()
	for content, want := range map[string]string{"s3cret\n": "s3cret", "s3cret": "s3cret", " s p \r\n": " s p "} {
		if got, err := ReadSecret(secretFile(t, content)); err != nil || got != want {
			t.Errorf("ReadSecret of %q = %q, %v; want %q", content, got, err, want)
		}
	}
	for _, content := range []string{"", "\n", "a\nb\n", strings.Repeat("x", maxSecret+1)} {
		got, err := ReadSecret(secretFile(t, content))
		if err == nil || got != "" || strings.Contains(err.Error(), "a\nb") {
			t.Errorf("ReadSecret of %.10q = %q, %v; want an error without the secret", content, got, err)
		}
	}
	c := Default()
	if got, err := c.CuenotePassword(); got != "" || err != nil {
		t.Errorf("no file: %q, %v", got, err)
	}
	c.Cuenote.PasswordFile = filepath.Join(t.TempDir(), "absent")
	if _, err := c.CuenotePassword(); err == nil || !strings.HasPrefix(err.Error(), "cuenote.password_file: ") {
		t.Errorf("absent file: %v", err)
	}
}

func secretFile(t *testing.T, content string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*/*.yaml")
	if err != nil || len(files) == 0 {
		f.Fatal("no seeds", err)
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(strings.Repeat("[", 100000)))
	f.Add([]byte(strings.Repeat("- ", 100000)))
	f.Add([]byte(strings.Repeat("{a: ", 100000)))
	f.Add([]byte("a: &a [*a]\n<<: *a\n? [x]\n: y\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, warnings, err := parse("f", data, environment)
		if (c == nil) == (err == nil) {
			t.Fatal("configuration and error must exclude each other")
		}
		text := strings.ReplaceAll(string(data), "\r\n", "\n") // editors count a lone CR as a line end, too
		lines := strings.Count(text, "\n") + strings.Count(text, "\r") + 1
		mistakes := warnings
		if err != nil {
			mistakes = append(mistakes, err.(*Error).Mistakes...)
		}
		for _, m := range mistakes {
			if m.Line < 1 || m.Line > lines || m.Col < 1 || m.Text == "" {
				t.Fatalf("%s: not inside a file of %d lines", m, lines)
			}
		}
	})
}
