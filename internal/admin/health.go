package admin

import "net/http"

func (a *API) health(w http.ResponseWriter, _ *http.Request) error {
	writeJSON(w, http.StatusOK, map[string]string{"status": "alive"})
	return nil
}

func (a *API) readiness(w http.ResponseWriter, _ *http.Request) error {
	ready, draining := a.Ready()
	switch {
	case draining:
		return refuse(http.StatusServiceUnavailable, "draining")
	case !ready:
		return refuse(http.StatusServiceUnavailable, "starting")
	}
	writeJSON(w, http.StatusOK, map[string]string{"status": "ready"})
	return nil
}
