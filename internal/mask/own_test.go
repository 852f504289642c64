package mask

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestOwnWordsStay: a class of ours is not taken for a mention of the mailbox
// whose name is a part of it; a name that only looks like it is.
func TestOwnWordsStay(t *testing.T) {
	t.Parallel()
	m, err := New(Masked, []byte("0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ known, in, want string }{
		{"lost@goo.ne.jp", "ses: connection_lost: EOF", "ses: connection_lost: EOF"},
		{"connection@goo.ne.jp", "connection_lost", "connection_lost"},
		{"server@goo.ne.jp", "server_error", "server_error"},
		{"lost@goo.ne.jp", "the mailbox lost is full", "the mailbox *** is full"},
		{"lost@goo.ne.jp", "mailbox_lost is full", "mailbox_*** is full"},
		{"lost@goo.ne.jp", "connection_lost.taro", "connection_***.taro"},
		{"lost@goo.ne.jp", "x-connection_lost", "x-connection_***"},
		{"lost@goo.ne.jp", "connection_lost@evil.example", m.Text("connection_lost@evil.example")},
	} {
		if got := m.Text(tt.in, tt.known); got != tt.want {
			t.Errorf("%q about %s: %q, want %q", tt.in, tt.known, got, tt.want)
		}
	}
}

// TestOwnWordsAreComplete compares the list with the packages that name ownWords:
// this package may import none of them.
func TestOwnWordsAreComplete(t *testing.T) {
	t.Parallel()
	named := regexp.MustCompile(`(?:[cC]lass[A-Za-z]*\s*=\s*|Class:\s*|clientFault\()"([a-z]+(?:_[a-z]+)+)"`)
	var found []string
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		for _, m := range named.FindAllSubmatch(source, -1) {
			found = append(found, string(m[1]))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(found)
	found = slices.Compact(found)
	if !slices.Equal(found, ownWords) {
		t.Errorf("in the sources:\n%s\nin the list:\n%s", strings.Join(found, " "), strings.Join(ownWords, " "))
	}
}
