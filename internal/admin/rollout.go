package admin

import (
	"context"
	"net/http"

	"sesrelay/internal/rollout"
)

// Rollout is the rollout and its guard (rollout.Controller).
type Rollout interface {
	View(ctx context.Context) rollout.View
	Report(ctx context.Context) rollout.Report
	// Do carries out start, pause, resume, promote or abort.
	Do(ctx context.Context, action rollout.Action, o rollout.Order) error
}

// rolloutRoutes is the part of the table that is about the rollout.
func (a *API) rolloutRoutes() []Route {
	h := func(pattern string, role Role, f func(http.ResponseWriter, *http.Request) error) Route {
		return Route{pattern, role, a.handle(f)}
	}
	routes := []Route{
		h("GET /v1/rollout", Readonly, a.getRollout),
		h("GET /v1/rollout/report", Readonly, a.getReport),
	}
	for _, action := range []rollout.Action{rollout.ActionStart, rollout.ActionPause, rollout.ActionResume, rollout.ActionPromote, rollout.ActionAbort} {
		routes = append(routes, h("POST /v1/rollout/"+string(action), Admin, a.order(action)))
	}
	return routes
}

// noRollout answers for a relay that was built without one.
func (a *API) noRollout() error {
	if a.Rollout == nil {
		return refuse(http.StatusNotFound, "this relay has no rollout")
	}
	return nil
}

func (a *API) getRollout(w http.ResponseWriter, r *http.Request) error {
	if err := a.noRollout(); err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, a.Rollout.View(r.Context()))
	return nil
}

func (a *API) getReport(w http.ResponseWriter, r *http.Request) error {
	if err := a.noRollout(); err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, a.Rollout.Report(r.Context()))
	return nil
}

// order carries out one action. An abort whose body cannot be read is carried
// out all the same.
func (a *API) order(action rollout.Action) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		if err := a.noRollout(); err != nil {
			return err
		}
		var o rollout.Order
		if err := readBody(r, &o); err != nil && action != rollout.ActionAbort {
			return err
		}
		o.Who = callerOf(r).name
		ctx, cancel := context.WithTimeout(r.Context(), ioTime)
		defer cancel()
		before := a.Split.Current()
		if err := a.Rollout.Do(ctx, action, o); err != nil {
			return err
		}
		a.auditOrder(r, action, o, before)
		writeJSON(w, http.StatusOK, a.Rollout.View(ctx))
		return nil
	}
}
