package main

import (
	"context"
	"os"
	"time"

	"sesrelay/internal/tracing"
)

// lastTraces is how long the end waits for traces that are not exported yet.
const lastTraces = 5 * time.Second

// newTracing makes the tracer where the variables OTEL_* ask for one. Mail
// flows without it: a mistake there is told and changes nothing else.
func (a *app) newTracing(ctx context.Context, instance string) {
	a.stopTracing = func() {}
	if !tracing.Wanted(os.Getenv) {
		return
	}
	t, err := tracing.New(ctx, os.Getenv, instance, version, a.log)
	if err != nil {
		a.log.Warn("no traces", "error", err.Error())
		return
	}
	a.tracer = t
	a.stopTracing = func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastTraces)
		defer cancel()
		if err := t.Shutdown(ctx); err != nil {
			a.log.Warn("the last traces could not be exported", "error", err.Error())
		}
	}
}
