package admin

import (
	"encoding/json"
	"errors"
	"net/http"

	"sesrelay/internal/rollout"
	"sesrelay/internal/split"
)

// problem is a refusal: application/problem+json of RFC 9457. Plan and Version
// are extension members.
type problem struct {
	Type    string      `json:"type"`
	Title   string      `json:"title"`
	Status  int         `json:"status"`
	Detail  string      `json:"detail,omitempty"`
	Version *int64      `json:"version,omitempty"` // in force, of 412
	Plan    *split.Plan `json:"plan,omitempty"`    // of 409
}

func (p *problem) Error() string { return p.Detail }

func refuse(status int, detail string) *problem {
	return &problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: detail}
}

// asProblem turns any error into what the caller reads.
func asProblem(err error) *problem {
	if p, ok := errors.AsType[*problem](err); ok {
		return p
	}
	for cause, status := range map[error]int{
		split.ErrStale:   http.StatusPreconditionFailed,
		split.ErrReason:  http.StatusUnprocessableEntity,
		split.ErrRange:   http.StatusUnprocessableEntity,
		split.ErrWho:     http.StatusUnprocessableEntity,
		split.ErrNoUndo:  http.StatusConflict,
		split.ErrNoBrake: http.StatusConflict,
		split.ErrRefused: http.StatusServiceUnavailable,

		rollout.ErrPhase: http.StatusConflict,
		rollout.ErrBrake: http.StatusConflict,
		rollout.ErrGuard: http.StatusConflict,
		rollout.ErrBusy:  http.StatusConflict,
		rollout.ErrStore: http.StatusServiceUnavailable,
	} {
		if errors.Is(err, cause) {
			return refuse(status, err.Error())
		}
	}
	return refuse(http.StatusInternalServerError, "a fault of the relay: see its log")
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		status, b = http.StatusInternalServerError, []byte(`{"title":"Internal Server Error","status":500}`)
	}
	w.Header().Set("Content-Type", "application/json")
	if _, is := v.(*problem); is || err != nil {
		w.Header().Set("Content-Type", "application/problem+json")
	}
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write(append(b, '\n'))
}
