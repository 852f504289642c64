package apiclient

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func client(t *testing.T, token string, h http.HandlerFunc) *Client {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	c, err := New(s.URL+"/", token)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestNewRefusesWhatLeaksTheToken(t *testing.T) {
	t.Parallel()
	for base, ok := range map[string]bool{
		"http://127.0.0.1:8025": true, "http://localhost": true, "http://[::1]:8025": true, "https://relay.example.jp": true,
		"http://10.0.0.1:8025": true, "http://[fd00::1]:8025": true, "http://203.0.113.1:8025": false, "http://localhost.example.jp": false, "http://user:pass@127.0.0.1": false, "127.0.0.1:8025": false, "": false,
	} {
		if _, err := New(base, "secret"); (err == nil) != ok {
			t.Errorf("New(%q): %v", base, err)
		} else if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("New(%q) repeats the token", base)
		}
	}
	if _, err := New("http://203.0.113.1:8025", ""); err != nil {
		t.Errorf("without a token: %v", err)
	}
	for base, clear := range map[string]bool{"http://127.0.0.1:8025": false, "http://10.0.0.1:8025": true, "https://10.0.0.1:8025": false} {
		if c, err := New(base, "secret"); err != nil || c.InTheClear() != clear {
			t.Errorf("%s: %v", base, err)
		}
	}
}

// TestRedirectIsNotFollowed: the token is for the address that was given.
func TestRedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	var asked bool
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	t.Cleanup(other.Close)
	c := client(t, "secret", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
	})
	_, _, err := c.Split(t.Context())
	if p, ok := errors.AsType[*Problem](err); !ok || p.Status != http.StatusTemporaryRedirect || asked {
		t.Errorf("error %v, asked %v", err, asked)
	}
}

func TestAnswersThatAreNoneOfTheAPI(t *testing.T) {
	t.Parallel()
	for name, h := range map[string]http.HandlerFunc{
		"html": func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>") },
		"cut": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "10")
			io.WriteString(w, "{")
		},
		"not json":  func(w http.ResponseWriter, _ *http.Request) { jsonType(w); io.WriteString(w, "{") },
		"wrong":     func(w http.ResponseWriter, _ *http.Request) { jsonType(w); io.WriteString(w, `{"version":"7"}`) },
		"html 502":  func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(502); io.WriteString(w, "<html>bad") },
		"empty 500": func(w http.ResponseWriter, _ *http.Request) { jsonType(w); w.WriteHeader(500) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, _, err := client(t, "", h).Split(t.Context()); err == nil || strings.Contains(err.Error(), "<html>") {
				t.Errorf("error is %v", err)
			}
		})
	}
}

func jsonType(w http.ResponseWriter) { w.Header().Set("Content-Type", "application/json") }

func TestETagWithoutHeaderIsTheVersion(t *testing.T) {
	t.Parallel()
	s, _, err := client(t, "", func(w http.ResponseWriter, _ *http.Request) { jsonType(w); io.WriteString(w, `{"version":7}`) }).Split(t.Context())
	if err != nil || s.ETag != `"7"` {
		t.Errorf("%+v, %v", s, err)
	}
}
