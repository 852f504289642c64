package admin

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"

	"sesrelay/internal/rollout"
	"sesrelay/internal/split"
)

type callerKey struct{}

func withCaller(ctx context.Context, c caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

func callerOf(r *http.Request) caller {
	c, _ := r.Context().Value(callerKey{}).(caller)
	return c
}

// handle turns a handler with an error into a plain one: the refusal is
// written, and audited when the request was to change something.
func (a *API) handle(f func(http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := f(w, r)
		if err == nil {
			return
		}
		p := asProblem(err)
		if errors.Is(err, split.ErrStale) && p.Version == nil {
			v := a.Split.Current().Version
			p.Version = &v
			w.Header().Set("ETag", etag(v))
		}
		if p.Status == http.StatusInternalServerError {
			a.Log.Error("admin: a request failed", "path", r.URL.Path, "error", err.Error())
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			a.auditRefusal(r, callerOf(r), p)
		}
		writeJSON(w, p.Status, p)
	})
}

// auditRefusal writes the line of an attempt that was refused, or counts it
// when its caller has had too many.
func (a *API) auditRefusal(r *http.Request, who caller, p *problem) {
	if !a.refused.allow(cmp.Or(who.name, who.addr.String())) {
		return
	}
	a.Log.Warn("audit", "event", "refused", "who", who.name, "role", roleOf(who), "address", who.addr.String(),
		"method", cut(r.Method), "path", cut(r.URL.Path), "status", p.Status, "why", p.Detail)
}

// auditChange writes the line of a change that was made.
func (a *API) auditChange(r *http.Request, action split.Action, before *split.Snapshot, now *split.Snapshot, saved error) {
	who := callerOf(r)
	level := slog.LevelInfo
	if saved != nil {
		level = slog.LevelError
	}
	reason := now.Reason
	if action == split.ActionBrake && now.Brake != nil {
		reason = now.Brake.Reason
	}
	a.Log.Log(r.Context(), level, "audit", "event", "changed", "action", string(action), "who", who.name, "role", roleOf(who),
		"address", who.addr.String(), "reason", reason, "version", now.Version,
		"requested_before", before.SESPercent.Float(), "requested", now.SESPercent.Float(),
		"applied_before", before.Applied().Float(), "applied", now.Applied().Float(), "saved", saved == nil)
}

// auditOrder writes the line of what was done with the rollout.
func (a *API) auditOrder(r *http.Request, action rollout.Action, o rollout.Order, before *split.Snapshot) {
	who, now := callerOf(r), a.Split.Current()
	a.Log.Info("audit", "event", "changed", "action", "rollout "+string(action), "who", who.name, "role", roleOf(who), "address", who.addr.String(),
		"reason", cut(o.Reason), "full", o.Full, "force", o.Force, "version", now.Version,
		"applied_before", before.Applied().Float(), "applied", now.Applied().Float())
}

func roleOf(c caller) string {
	if c.role < Monitoring {
		return ""
	}
	return c.role.String()
}

// cut bounds what a caller can put into a log line.
func cut(s string) string {
	if len(s) > 200 {
		return s[:200] + "..."
	}
	return s
}
