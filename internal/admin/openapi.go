package admin

import (
	_ "embed"
	"net/http"
)

// description is kept by hand; a test holds it against the table of routes.
//
//go:embed openapi.json
var description []byte

func describe(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Content-Type", "application/json")
	_, err := w.Write(description)
	return err
}
