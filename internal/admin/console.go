package admin

import (
	"bytes"
	"embed"
	"net/http"
	"path"
	"time"
)

//go:embed console
var console embed.FS

// consoleFile serves one file of the console. It holds no data: what it shows
// it asks the API for, with the token that the operator gives it.
func consoleFile(name string) http.Handler {
	b, err := console.ReadFile(path.Join("console", name))
	if err != nil {
		panic(err) // the file is part of the program
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-cache")
		http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(b))
	})
}
