package config

import (
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write what is found as what is wanted")

// environment of the testdata files.
func environment(name string) (string, bool) {
	v, ok := map[string]string{
		"CUENOTE_HOST": "smtp.cuenote.example.jp", "CUENOTE_CONNECTIONS": "40", "NUMBER": "secret value",
	}[name]
	return v, ok
}

const wantMark = "# want\n"

// TestTestdata reads every file and compares its mistakes and warnings with the
// block of comments at its end.
func TestTestdata(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*/*.yaml")
	if err != nil || len(files) < 50 {
		t.Fatalf("found %d files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimPrefix(file, "testdata/"), func(t *testing.T) {
			t.Parallel()
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			body, want, _ := strings.Cut(string(data), wantMark)
			_, warnings, err := parse("f", []byte(body), environment)
			if bad := strings.HasPrefix(file, "testdata/bad/"); bad != (err != nil) {
				t.Errorf("error is %v", err)
			}
			got := found(warnings, err)
			if *update {
				if got != "" {
					body += wantMark + got
				}
				if err := os.WriteFile(file, []byte(body), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// found writes mistakes and warnings as comments.
func found(warnings []Warning, err error) string {
	var b strings.Builder
	if err != nil {
		for line := range strings.SplitSeq(err.Error(), "\n") {
			b.WriteString("# " + strings.TrimPrefix(line, "f:") + "\n")
		}
	}
	for _, w := range warnings {
		b.WriteString("# warning " + strings.TrimPrefix(w.String(), "f:") + "\n")
	}
	return b.String()
}

func TestContractFileIsTheDefault(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/good/contract.yaml")
	if err != nil {
		t.Fatal(err)
	}
	got, warnings, err := Parse("contract.yaml", data)
	if err != nil || len(warnings) > 0 {
		t.Fatal(err, warnings)
	}
	want := Default()
	want.Hostname = "relay-1.goo.ne.jp"
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
}

func TestExampleIsTheDefault(t *testing.T) {
	t.Parallel()
	got, warnings, err := Parse("example.yaml", []byte(Example()))
	if err != nil || len(warnings) > 0 {
		t.Fatal(err, warnings)
	}
	if want := Default(); !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
}

func TestLoadFillsTheHostname(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "relay.yaml")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c, _, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	if name, _ := os.Hostname(); c.Hostname != name {
		t.Errorf("hostname %q, want %q", c.Hostname, name)
	}
	if _, _, err := Load(file + ".absent"); err == nil || !strings.Contains(err.Error(), file+".absent") {
		t.Errorf("error %v does not name the file", err)
	}
}
