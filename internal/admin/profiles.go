package admin

import (
	"context"
	"net/http"
	"net/http/pprof" // its handlers; what it registers on http.DefaultServeMux is served by nobody
	"strconv"
	"time"
)

// maxProfileTime bounds a profile over time. Each costs CPU time that mail could
// need, so there is one at a time.
const maxProfileTime = 2 * time.Minute

// profiles are those of runtime/pprof that say something about a relay; the
// flag tells whether they are taken over a time even when none is asked for.
var profiles = map[string]bool{
	"profile": true, "trace": true,
	"allocs": false, "block": false, "goroutine": false, "heap": false, "mutex": false, "threadcreate": false,
}

// profile serves net/http/pprof: for go tool pprof, whose header is set with
// curl. Profiles hold names of functions and counts, never what a mail says.
func (a *API) profile(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("profile")
	timed, ok := profiles[name]
	if !ok {
		return refuse(http.StatusNotFound, "there is no such profile: GET /debug/pprof/ lists them")
	}
	seconds := r.FormValue("seconds")
	if n, err := strconv.ParseFloat(seconds, 64); seconds != "" && (err != nil || !(n > 0 && n <= maxProfileTime.Seconds())) {
		return refuse(http.StatusUnprocessableEntity, "seconds: more than 0, at most "+strconv.Itoa(int(maxProfileTime.Seconds())))
	}
	select {
	case a.profiler <- struct{}{}:
		defer func() { <-a.profiler }()
	default:
		return refuse(http.StatusServiceUnavailable, "another profile is being taken")
	}
	if !timed && seconds == "" {
		pprof.Handler(name).ServeHTTP(w, r)
		return nil
	}
	return a.profileOverTime(name, w, r)
}

// profileOverTime lets a profile take its time: the server's read timeout would
// end it as if the client had left, and a server that shuts down does not wait
// for it. The write timeout is moved by net/http/pprof.
func (a *API) profileOverTime(name string, w http.ResponseWriter, r *http.Request) error {
	if err := http.NewResponseController(w).SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	go func() {
		select {
		case <-a.closing:
			cancel()
		case <-ctx.Done():
		}
	}()
	r = r.WithContext(ctx)
	switch name {
	case "profile":
		pprof.Profile(w, r)
	case "trace":
		pprof.Trace(w, r)
	default:
		pprof.Handler(name).ServeHTTP(w, r)
	}
	return nil
}

// profileIndex is the list of profiles, for a person.
func (a *API) profileIndex(w http.ResponseWriter, r *http.Request) error {
	pprof.Index(w, r)
	return nil
}
