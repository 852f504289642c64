package admin

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"net/http"
	"time"
)

// The page stands alone; what it loads lies beside it, and nothing comes from
// another host.
var (
	//go:embed console/index.html
	consolePage []byte
	//go:embed console/*.js console/*.css console/uplot/*.js console/uplot/*.css
	console embed.FS
)

// consoleIndex serves the page. Like its files it holds no data: what it shows
// it asks the API for, with the token that the operator gives it.
func consoleIndex() http.Handler { return consoleFile("index.html", consolePage) }

// consoleFiles serves what the page loads, by name.
func consoleFiles() http.Handler {
	files := map[string]http.Handler{}
	for _, dir := range []string{"console", "console/uplot"} {
		entries, err := console.ReadDir(dir)
		if err != nil {
			panic(err) // it is part of the program
		}
		for _, e := range entries {
			if b, err := console.ReadFile(dir + "/" + e.Name()); err == nil { // not a directory
				files[e.Name()] = consoleFile(e.Name(), b)
			}
		}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := files[r.PathValue("file")]
		if h == nil {
			writeJSON(w, http.StatusNotFound, refuse(http.StatusNotFound, "the console has no such file"))
			return
		}
		h.ServeHTTP(w, r)
	})
}

// consoleFile serves one file. It is asked for again every time, so that page
// and relay are of one version after an upgrade, and answered with 304.
func consoleFile(name string, b []byte) http.Handler {
	sum := sha256.Sum256(b)
	tag := `"` + hex.EncodeToString(sum[:8]) + `"`
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-cache")
		w.Header().Set("ETag", tag)
		http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(b))
	})
}
