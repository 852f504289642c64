package e2e

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// settings is a configuration: dotted keys, values as YAML writes them in one
// line. "listeners" is a whole list: see listener.
type settings map[string]string

// with returns a copy in which more wins.
func (s settings) with(more settings) settings {
	out := maps.Clone(s)
	if out == nil {
		out = settings{}
	}
	maps.Copy(out, more)
	return out
}

// yaml writes the sections as nested blocks.
func (s settings) yaml() string {
	var b strings.Builder
	s.section(&b, "", "")
	return b.String()
}

func (s settings) section(b *strings.Builder, prefix, indent string) {
	names := map[string]bool{} // true: a section
	for key := range s {
		if rest, ok := strings.CutPrefix(key, prefix); ok {
			name, _, deeper := strings.Cut(rest, ".")
			names[name] = names[name] || deeper
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if names[name] {
			b.WriteString(indent + name + ":\n")
			s.section(b, prefix+name+".", indent+"  ")
			continue
		}
		fmt.Fprintf(b, "%s%s: %s\n", indent, name, s[prefix+name])
	}
}

// listener is one item of "listeners"; more are further keys in YAML's short form.
func listener(addr string, more ...string) string {
	return "{" + strings.Join(append([]string{fmt.Sprintf("address: %q", addr)}, more...), ", ") + "}"
}
