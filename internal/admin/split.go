package admin

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"sesrelay/internal/split"
)

// SplitView is the answer of every path that shows or moves the split.
type SplitView struct {
	Version    int64         `json:"version"`
	SESPercent split.Percent `json:"ses_percent"`
	By         split.By      `json:"by"`
	Reason     string        `json:"reason"`
	ChangedBy  string        `json:"changed_by"`
	ChangedAt  time.Time     `json:"changed_at"`
	Requested  split.Percent `json:"requested"`         // what the operator set
	Applied    split.Percent `json:"applied"`           // requested, under the brake
	Eligible   *float64      `json:"eligible"`          // percent that the requested split and the rules left to SES; null without mail
	Effective  *float64      `json:"effective"`         // percent that SES accepted; both over five minutes
	Brake      *split.Brake  `json:"brake"`             // null: not on
	Brakes     []string      `json:"brakes"`            // names of all brakes that are on, for DELETE /v1/brake
	Unsaved    bool          `json:"unsaved"`           // a restart would forget it
	Warning    string        `json:"warning,omitempty"` // of the change just made: in force, but not saved or not told to everybody
	Instances  []Instance    `json:"instances"`
}

func (a *API) splitView(s *split.Snapshot, shares Shares) SplitView {
	v := SplitView{Version: s.Version, SESPercent: s.SESPercent, By: a.Router.By(), Reason: s.Reason, ChangedBy: s.ChangedBy, ChangedAt: s.ChangedAt,
		Requested: s.SESPercent, Applied: s.Applied(), Eligible: shares.Eligible, Effective: shares.Effective, Brake: s.Brake, Brakes: s.Brakes(), Unsaved: s.Unsaved}
	v.Instances = []Instance{{ID: a.Instance, Version: s.Version, Applied: s.Applied()}}
	if a.Fleet != nil {
		v.Instances = a.Fleet.Instances()
	}
	return v
}

// writeSplit answers with the split. saved is the error of a change that is in
// force and not kept, or not known everywhere; nil otherwise.
func (a *API) writeSplit(w http.ResponseWriter, r *http.Request, s *split.Snapshot, saved error) error {
	w.Header().Set("ETag", etag(s.Version))
	f := a.fleetFigures(a.others())
	v := a.splitView(s, f.shares())
	if a.Fleet != nil {
		v.Instances = a.Fleet.Look(r.Context())
	}
	if saved != nil {
		v.Warning = saved.Error()
	}
	writeJSON(w, http.StatusOK, v)
	return nil
}

func (a *API) getSplit(w http.ResponseWriter, r *http.Request) error {
	return a.writeSplit(w, r, a.Split.Current(), nil)
}

// change is the body of what moves the split.
type change struct {
	SESPercent *split.Percent `json:"ses_percent"`
	Reason     string         `json:"reason"`
	Force      bool           `json:"force"` // pass over what plan finds missing
}

// release is the body of what takes the brake off.
type release struct {
	change
	Brakes []string `json:"brakes"` // names of those that the caller has seen; null: not said
}

// readChange reads a body and If-Match. "?force=1" is the same as in the body.
func readChange(r *http.Request) (c change, version int64, err error) {
	if version, err = ifVersion(r); err != nil {
		return c, 0, err
	}
	if err = readBody(r, &c); err != nil {
		return c, 0, err
	}
	if force, err := strconv.ParseBool(r.URL.Query().Get("force")); err == nil && force {
		c.Force = true
	}
	return c, version, nil
}

func (a *API) putSplit(w http.ResponseWriter, r *http.Request) error {
	c, version, err := readChange(r)
	if err != nil {
		return err
	}
	if c.SESPercent == nil {
		return refuse(http.StatusUnprocessableEntity, "ses_percent is required: "+split.ErrRange.Error())
	}
	if err := a.carries(*c.SESPercent, version, c.Force); err != nil {
		return err
	}
	return a.moved(w, r, split.ActionSet, func(ctx context.Context) (*split.Snapshot, error) {
		return a.Split.Set(ctx, version, *c.SESPercent, c.Reason, callerOf(r).name)
	})
}

// undo goes back from the version that its author has seen, or without If-Match
// from the one in force. It says itself what it does: a reason is not asked for.
func (a *API) undo(w http.ResponseWriter, r *http.Request) error {
	if r.Header.Get("If-Match") == "" {
		r.Header.Set("If-Match", strconv.FormatInt(a.Split.Current().Version, 10))
	}
	c, version, err := readChange(r)
	if err != nil {
		return err
	}
	if strings.TrimSpace(c.Reason) == "" {
		c.Reason = "undo"
	}
	if err := noPercent(c); err != nil {
		return err
	}
	if back := a.Split.Current().Previous; back != nil {
		if err := a.carries(*back, version, c.Force); err != nil {
			return err
		}
	}
	return a.moved(w, r, split.ActionUndo, func(ctx context.Context) (*split.Snapshot, error) {
		return a.Split.Undo(ctx, version, c.Reason, callerOf(r).name)
	})
}

// brake needs no version and no body.
func (a *API) brake(w http.ResponseWriter, r *http.Request) error {
	var c change
	// The brake is pulled even when its reason cannot be read.
	_ = readBody(r, &c)
	return a.moved(w, r, split.ActionBrake, func(context.Context) (*split.Snapshot, error) {
		return a.Split.Brake(callerOf(r).name, c.Reason)
	})
}

// release takes off what its author has seen: the ETag is the version, which a
// brake does not change, so that brakes has the names. Without them it takes off
// what this instance knows of.
func (a *API) release(w http.ResponseWriter, r *http.Request) error {
	version, err := ifVersion(r)
	if err != nil {
		return err
	}
	var c release
	if err := readBody(r, &c); err != nil {
		return err
	}
	if err := noPercent(c.change); err != nil {
		return err
	}
	return a.moved(w, r, split.ActionRelease, func(ctx context.Context) (*split.Snapshot, error) {
		if c.Brakes != nil {
			return a.Split.ReleaseKnown(ctx, version, c.Brakes, c.Reason, callerOf(r).name)
		}
		return a.Split.Release(ctx, version, c.Reason, callerOf(r).name)
	})
}

func noPercent(c change) error {
	if c.SESPercent != nil {
		return refuse(http.StatusUnprocessableEntity, "ses_percent is set by PUT /v1/split only")
	}
	return nil
}

// moved makes a change, audits it and answers with the split. A change that is
// in force but not saved is a success: the answer says "unsaved".
func (a *API) moved(w http.ResponseWriter, r *http.Request, action split.Action, move func(context.Context) (*split.Snapshot, error)) error {
	ctx, cancel := context.WithTimeout(r.Context(), ioTime/2)
	defer cancel()
	before := a.Split.Current()
	now, err := move(ctx)
	if err != nil && !errors.Is(err, split.ErrNotSaved) {
		return err
	}
	a.auditChange(r, action, before, now, err)
	return a.writeSplit(w, r, now, err)
}

func (a *API) getHistory(w http.ResponseWriter, r *http.Request) error {
	h, err := a.Split.History(r.Context())
	if err != nil {
		return err
	}
	if h == nil {
		h = []split.Change{}
	}
	writeJSON(w, http.StatusOK, struct {
		Changes []split.Change `json:"changes"` // newest first
	}{h})
	return nil
}
