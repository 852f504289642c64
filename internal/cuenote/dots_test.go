package cuenote

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// undot decodes the data of a mail, byte by byte as RFC 5321 section 4.5.2
// describes the receiver, and demands that it ends with the final dot and
// nothing behind it. It shares no code with dotWriter.
func undot(wire []byte) ([]byte, error) {
	var content []byte
	for len(wire) > 0 {
		n := bytes.Index(wire, []byte("\r\n"))
		if n < 0 {
			return nil, fmt.Errorf("the data ends in the middle of a line: %q", wire)
		}
		line, rest := wire[:n], wire[n+2:]
		if bytes.ContainsAny(line, "\r\n") {
			return nil, fmt.Errorf("bare line end in %q", line)
		}
		if len(line) == 1 && line[0] == '.' {
			if len(rest) > 0 {
				return nil, fmt.Errorf("%q behind the final dot", rest)
			}
			return content, nil
		}
		if len(line) > 1 && line[0] == '.' {
			line = line[1:]
		}
		content = append(append(content, line...), '\r', '\n')
		wire = rest
	}
	return nil, errors.New("no final dot")
}

// encode runs the parts through a dotWriter with a buffer of size bytes.
func encode(parts []string, size int) (wire []byte, flushes int, err error) {
	w := &dotWriter{buf: make([]byte, 0, size), start: true}
	w.flush = func(b []byte) error {
		flushes++
		wire = append(wire, b...)
		return nil
	}
	for _, p := range parts {
		if err := w.add([]byte(p)); err != nil {
			return wire, flushes, err
		}
	}
	last, err := w.end()
	return append(wire, last...), flushes, err
}

var dotCases = []string{
	"", "\r\n", ".\r\n", "..\r\n", ".", "..", "a", "a\r\n", ".a\r\n", "a.\r\n", "a\r\n.\r\n", "a\r\n.\r\nb\r\n", "a\r\n..\r\n.b", "\r\n.\r\n",
	"\r\n\r\n.\r\n\r\n", "a\r\n.b\r\n.c\r\n..d\r\n...", "." + strings.Repeat("\r\n.", 20), "x\r\n.\r\nMAIL FROM:<evil@example.jp>\r\n",
}

// TestDotStuffing cuts every case at every pair of places, with buffers of
// every size that can split something.
func TestDotStuffing(t *testing.T) {
	t.Parallel()
	for _, c := range dotCases {
		want := c
		if !strings.HasSuffix(want, "\r\n") && want != "" {
			want += "\r\n"
		}
		for i := 0; i <= len(c); i++ {
			for j := i; j <= len(c); j++ {
				for _, size := range []int{1, 2, 3, 4, 5, 6, 7, 64} {
					wire, _, err := encode([]string{c[:i], c[i:j], c[j:]}, size)
					if err != nil {
						t.Fatalf("%q cut at %d, %d: %v", c, i, j, err)
					}
					if got, err := undot(wire); err != nil || string(got) != want {
						t.Fatalf("%q cut at %d, %d, buffer %d: wire %q decodes to %q, %v", c, i, j, size, wire, got, err)
					}
				}
			}
		}
	}
}

// TestBareLineEnds: content with a line end that is not CRLF is never sent
// whole, however it is cut.
func TestBareLineEnds(t *testing.T) {
	t.Parallel()
	for _, c := range []string{
		"\n", "\r", "a\n", "a\r", "a\nb\r\n", "a\rb\r\n", "a\r\n\nb\r\n", "a\r\r\n", "a\n\r\n", "\n.\n", "\r.\r", "a\r\n.\nb\r\n", "a\n.\r\nb\r\n",
		"a\r.\r\nb\r\n", "a\r\n.\rb\r\n", "\r\n\r", "a\n\rb\r\n", "\r\r", "\n\n", "a\r\n\r\r\nb",
	} {
		for i := 0; i <= len(c); i++ {
			for j := i; j <= len(c); j++ {
				wire, _, err := encode([]string{c[:i], c[i:j], c[j:]}, 4)
				if !errors.Is(err, errBareLF) && !errors.Is(err, errBareCR) {
					t.Errorf("%q cut at %d, %d: %v", c, i, j, err)
				}
				// A CR at the end of a part may have left before what follows showed it to be bare.
				for _, end := range []string{"\n.\n", "\n.\r\n", "\r.\r", "\r\n.\n", "\r\n.\r", "\r.\r\n"} {
					if bytes.Contains(bytes.ReplaceAll(wire, []byte("\r\n"), []byte("|")), []byte(end)) {
						t.Errorf("%q cut at %d, %d: %q has left", c, i, j, wire)
					}
				}
			}
		}
	}
}

func FuzzDots(f *testing.F) {
	for _, c := range dotCases {
		f.Add(c, 1, 2)
	}
	f.Fuzz(func(t *testing.T, c string, i, j int) {
		i, j = min(max(i, 0), len(c)), min(max(j, 0), len(c))
		if i > j {
			i, j = j, i
		}
		wire, _, err := encode([]string{c[:i], c[i:j], c[j:]}, 7)
		crlf := strings.ReplaceAll(c, "\r\n", "")
		if bare := strings.ContainsAny(crlf, "\r\n"); bare != (err != nil) {
			t.Fatalf("%q: bare line end %v, error %v", c, bare, err)
		}
		if err != nil {
			return
		}
		want := c
		if want != "" && !strings.HasSuffix(want, "\r\n") {
			want += "\r\n"
		}
		if got, err := undot(wire); err != nil || string(got) != want {
			t.Fatalf("%q: wire %q decodes to %q, %v", c, wire, got, err)
		}
	})
}

// TestSmallMailIsOneWrite: up to 32 KiB nothing leaves before the end.
func TestSmallMailIsOneWrite(t *testing.T) {
	t.Parallel()
	mail := strings.Repeat(".", 1) + strings.Repeat("x\r\n.", 8<<10)
	if wire, flushes, err := encode([]string{mail[:100], mail[100:]}, bufferSize); flushes != 0 || err != nil || len(wire) > bufferSize {
		t.Errorf("%d flushes, %d bytes, %v", flushes, len(wire), err)
	}
}
