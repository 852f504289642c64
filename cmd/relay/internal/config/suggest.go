package config

import (
	"reflect"
	"strings"
	"sync"
)

// suggest says what an unknown key was probably meant to be: a key of the same
// section that is spelled alike, or the same key of another section.
func suggest(name, path string, fields []field) string {
	keys := make([]string, len(fields))
	for i, f := range fields {
		keys[i] = f.key
	}
	if near := nearest(name, keys); near != "" {
		return "did you mean " + near + "?"
	}
	if others := homes()[name]; len(others) > 0 && len(others) < 5 {
		return "did you mean " + strings.Join(others, " or ") + "?"
	}
	where := "at the top"
	if path != "" {
		where = "in " + path
	}
	return "the keys " + where + " are " + strings.Join(keys, ", ")
}

// homes holds the full paths of the keys by their last word.
var homes = sync.OnceValue(func() map[string][]string {
	out := map[string][]string{}
	walk(reflect.TypeFor[Config](), "", func(path string, f field) { out[f.key] = append(out[f.key], path) })
	return out
})

// nearest returns the word that is at most a third of its letters away from
// name, or "".
func nearest(name string, words []string) string {
	plain := func(s string) string { return strings.NewReplacer("-", "", "_", "").Replace(strings.ToLower(s)) }
	best, bestAt := "", 0
	for _, w := range words {
		at := distance(plain(name), plain(w))
		if at <= max(1, len(w)/3) && (best == "" || at < bestAt) {
			best, bestAt = w, at
		}
	}
	return best
}

// distance is Levenshtein's edit distance in bytes; long words are not compared.
func distance(a, b string) int {
	if len(a) > 64 {
		return len(a)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
