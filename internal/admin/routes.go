package admin

import "net/http"

// Route is one line of the table that says who may call what.
type Route struct {
	Pattern string // of http.ServeMux, with its method
	Role    Role   // the lowest that may
	Handler http.Handler
}

// routes is the whole API: what is not in it does not exist.
func (a *API) routes() []Route {
	h := func(pattern string, role Role, f func(http.ResponseWriter, *http.Request) error) Route {
		return Route{pattern, role, a.handle(f)}
	}
	return append([]Route{
		h("GET /healthz", Anyone, a.health),
		h("GET /readyz", Anyone, a.readiness),

		{"GET /{$}", Network, consoleIndex()},
		{"GET /console/{file}", Network, consoleFiles()},

		{"GET /metrics", Monitoring, a.metrics},
		h("GET /v1/openapi.json", Monitoring, describe),
		h("GET /v1/status", Monitoring, a.getStatus),

		h("GET /v1/split", Readonly, a.getSplit),
		h("GET /v1/split/plan", Readonly, a.getPlan),
		h("GET /v1/split/history", Readonly, a.getHistory),
		h("GET /v1/trace/{id}", Readonly, a.getTrace),
		h("GET /v1/events", Readonly, a.events),
		h("POST /v1/route-test", Readonly, a.testRoute), // changes nothing

		h("PUT /v1/split", Admin, a.putSplit),
		h("POST /v1/split/undo", Admin, a.undo),
		h("POST /v1/brake", Admin, a.brake),
		h("DELETE /v1/brake", Admin, a.release),

		h("GET /debug/pprof/{$}", Admin, a.profileIndex),
		h("GET /debug/pprof/{profile}", Admin, a.profile),
	}, a.rolloutRoutes()...)
}
