package main

import (
	"strings"
	"testing"

	"sesrelay/cmd/relay/internal/apiclient"
)

// The guard's brake leaves SES the last good step: nobody may read "nothing".
func TestBrakeTextSaysWhatSESGets(t *testing.T) {
	t.Parallel()
	for ceiling, want := range map[float64]string{0: "SES gets nothing since", 10: "SES gets no more than 10 % since"} {
		if text := brakeText(&apiclient.Brake{By: "guard", Reason: "r", Ceiling: ceiling}); !strings.Contains(text, want) {
			t.Errorf("%v: %s", ceiling, text)
		}
	}
}

// Without Redis an instance can have the brake and not the change before it.
func TestBrakedByCountsTheBrake(t *testing.T) {
	t.Parallel()
	share := func(p float64) *float64 { return &p }
	s := &apiclient.Split{Version: 2, Applied: share(0), Brake: &apiclient.Brake{}, Instances: []apiclient.Instance{
		{ID: "a", Version: 2, Applied: share(0)}, {ID: "b", Version: 1, Applied: share(0)}, {ID: "c", Version: 2, Applied: share(10)}, {ID: "d", Version: 1}}}
	if got := appliedWhere(s, s.BrakedAt); s.BrakedBy() != 2 || !strings.HasPrefix(got, "by 2 of 4 instances: c gives SES 10 %, d is at version 1") {
		t.Errorf("%d, %s", s.BrakedBy(), got)
	}
	if s.AppliedBy() != 1 {
		t.Errorf("applied by %d", s.AppliedBy())
	}
}
