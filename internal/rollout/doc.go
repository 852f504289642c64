// Package rollout moves the share of SES step by step, and pulls it back by
// itself.
//
// [Gate.Judge] and [Guard.Judge] are pure: figures in, a [Judgement] out, with
// its reasons in words and numbers. [State] is what a rollout is, and its
// methods in state.go say what becomes of it. [Controller] does the I/O around
// them: figures from a [Meter], state in a [Store], the split by [split.Live].
//
// # Words that others build on
//
// Phases, which are also the label of relay_rollout_phase{phase} (1 for the
// one that holds, 0 for the others):
//
//	idle         no rollout was ever started
//	running      a step's share is in force, and its timed pause runs
//	gating       the pause is over, and the gate has not passed
//	paused       somebody paused it, or a step's pause has no end: waits for promote or resume
//	held         it stopped by itself: the split or the brake was changed by hand; waits for resume
//	rolled_back  the guard has put the split back; waits for resume
//	aborted      somebody gave it up: SES gets nothing; start begins anew
//	completed    the last step's gate has passed
//
// Verdicts, of a criterion, a gate and a guard: pass, hold, rollback.
//
// Criteria. The same names are the reasons of relay_guard_trips_total{reason}:
//
//	acceptance   percent of the mail meant for SES that SES accepted, as the relay sees it at once
//	delay        95th percentile of the seconds since the first hop's Received
//	success      percent delivered of delivered and failed, as SES reports it later
//	bounce       percent bounced of delivered and bounced
//	complaint    percent complained of delivered
//	no_data      seconds for which SES accepted mail and reported nothing
//
// Actions of a decision, which are also the events of a notification:
//
//	start, pause, resume, promote, advance, hold, rollback, abort, complete
//
// Other metrics: relay_rollout_step_percent, relay_rollout_decisions_total{action},
// relay_guard_armed, relay_guard_blind, relay_guard_value{criterion},
// relay_guard_limit{criterion}, relay_gate_value{criterion}, relay_gate_limit{criterion},
// relay_rollout_controller (1 where the lease is held).
package rollout
