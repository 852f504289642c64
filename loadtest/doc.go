// Loadtest offers mail to a relay at a constant rate, whatever the relay does,
// and reconciles every single mail with what arrived at the next hops.
//
//	go run ./loadtest 100k --relay bin/relay
//
// Three kinds of process take part, so that each one's CPU time is its own:
// this one, which generates the load; "relay serve", the one under test; and
// "loadtest sink", which runs the simulated SES and Cuenote of
// internal/simulator and is watched and disturbed over HTTP on loopback.
//
// # Open loop
//
// Each mail has a scheduled start (schedule.go). Its latency counts from there,
// also when no client was free then, so that a relay that stalls shows in the
// percentiles of every mail that it held up ("no coordinated omission"). Starts
// that find the waiting room full are dropped, counted, and fail the test.
//
// # Reading order
//
// commands.go (what can be run), scenario.go (what each scenario does), run.go
// (how a run goes), openloop.go and generator.go (the load), session.go and
// pool.go (the client, which behaves as Postfix does), sink.go and reconcile.go
// (what arrived), result.go, threshold.go and report.go (what comes out). The
// bench beside other relays has files of its own, from bench.go on: it is a closed
// loop that counts CPU time, and no scenario.
package main
