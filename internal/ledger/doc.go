// Package ledger is the duplicate ledger of a fleet: [Ledger] is the
// relay.Ledger whose claims, receipts and failover memory every instance
// shares, in Redis. relay.MemoryLedger is its twin for one instance, and part
// of it: what Redis cannot answer in time, the twin answers.
//
// # What is stored
//
// All keys of a fleet stand in one hash slot, {prefix}ledger:...
//
//	f:<fingerprint>  "c"+owner: an attempt runs; "u"+owner: its outcome is unknown;
//	                 "a"+receipt: accepted. A claim lives 150 s, a receipt ledger_ttl.
//	n:<fingerprint>  how often SES left the mail unanswered
//	remembered       sorted set: failover memory by the time it was learned
//
// # What a mail costs
//
// One round trip before it is sent (the claim, 100 ms at most) and one command
// that nobody waits for (the settlement). Both are pipelined: what comes while
// a pipeline is on its way leaves with the next. Failover memory is read from
// this process: every instance asks for news once a second.
//
// # What can be lost, and what it costs
//
//   - Redis does not answer a claim in time: this instance's twin decides alone.
//     A retry that reaches another instance meanwhile is not recognised.
//   - The settlement is lost because the process died after SES's answer: the
//     claim stays for the rest of its 150 s, then a retry is sent again. A
//     client that has read our 250 does not retry.
//   - The settlement waits because Redis is away: it is kept, up to a bound,
//     and written when Redis is back. Beyond the bound it is dropped and
//     counted: a lost release or unknown only makes a retry wait for the rest
//     of the 150 s, a lost receipt leaves the same gap as a death.
//   - Redis comes back empty: receipts stay known to the instance that made
//     them, and to nobody else.
//   - A claim that Redis executed and whose answer was too late is settled as
//     if it had been answered.
package ledger
