package admin

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"sesrelay/internal/rollout"
	"sesrelay/internal/split"
)

type document struct {
	Paths map[string]map[string]struct {
		Role      string                     `json:"x-role"`
		Security  []map[string][]string      `json:"security"`
		Responses map[string]json.RawMessage `json:"responses"`
	} `json:"paths"`
	Components struct {
		Schemas map[string]struct {
			Properties map[string]json.RawMessage `json:"properties"`
			Required   []string                   `json:"required"`
		} `json:"schemas"`
	} `json:"components"`
}

func readDocument(t *testing.T) document {
	t.Helper()
	var d document
	f := newFixture(t)
	res := f.ask("GET", "/v1/openapi.json", "")
	if err := json.NewDecoder(res.Body).Decode(&d); err != nil {
		t.Fatal(err)
	}
	return d
}

// Every route that is served is described, with its role, and nothing else.
func TestDescriptionAgainstRoutes(t *testing.T) {
	t.Parallel()
	d := readDocument(t)
	described := map[string]string{}
	for path, methods := range d.Paths {
		for method, op := range methods {
			described[strings.ToUpper(method)+" "+path] = op.Role
			if needs := op.Role != "anyone" && op.Role != "network"; needs != (len(op.Security) == 1) || needs && (op.Responses["401"] == nil || op.Responses["403"] == nil) {
				t.Errorf("%s %s: role %s with security %v and responses %v", method, path, op.Role, op.Security, slices.Collect(maps.Keys(op.Responses)))
			}
		}
	}
	for _, r := range newFixture(t).routes() {
		name := strings.Replace(r.Pattern, "/{$}", "/", 1)
		role, ok := described[name]
		if !ok || role != r.Role.String() {
			t.Errorf("%s has role %s, and is described with %q", name, r.Role, role)
		}
		delete(described, name)
	}
	for name := range described {
		t.Errorf("%s is described and not served", name)
	}
}

// Every field that an answer has is described, and the other way round.
func TestDescriptionAgainstTypes(t *testing.T) {
	t.Parallel()
	d := readDocument(t)
	for name, v := range map[string]any{
		"Split": SplitView{}, "Status": Status{}, "Upstream": UpstreamView{}, "Quota": QuotaView{}, "Alarm": Alarm{}, "ReasonCount": ReasonCount{}, "Instance": Instance{},
		"Record": TraceRecord{}, "Attempt": TraceAttempt{}, "Refusal": TraceRefusal{}, "RouteQuestion": question{}, "RouteAnswer": answer{}, "Problem": problem{},
		"Rollout": rollout.View{}, "RolloutStep": rollout.StepView{}, "RolloutHold": rollout.HoldView{}, "Interval": rollout.Interval{}, "Criterion": rollout.Criterion{}, "Gate": rollout.GateView{}, "Guard": rollout.GuardView{}, "Trip": rollout.Trip{},
		"RolloutEvents": rollout.EventsView{}, "Rehearsal": rollout.RehearsalView{}, "RolloutController": rollout.ControllerView{}, "Decision": rollout.Decision{}, "RolloutReport": rollout.Report{}, "Stage": rollout.StageReport{},
		"StageHop": rollout.HopReport{}, "Quantiles": rollout.Quantiles{}, "StageEvents": rollout.EventsReport{}, "StageQuota": rollout.QuotaReport{},
		"Plan": split.Plan{}, "Shortfall": split.Shortfall{}, "Change": split.Change{}, "Brake": split.Brake{},
	} {
		var fields []string
		for _, field := range reflect.VisibleFields(reflect.TypeOf(v)) {
			if tag, _, _ := strings.Cut(field.Tag.Get("json"), ","); !field.Anonymous && field.IsExported() {
				fields = append(fields, tag)
			}
		}
		slices.Sort(fields)
		if got := slices.Sorted(maps.Keys(d.Components.Schemas[name].Properties)); !slices.Equal(got, fields) {
			t.Errorf("%s: described %v, written %v", name, got, fields)
		}
	}
}
