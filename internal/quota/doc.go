// Package quota keeps the mail for SES within the account's sending quota:
// recipients a second (MaxSendRate, with headroom) and recipients in a rolling
// 24 hours (Max24HourSend, without).
//
// [Limiter] is what the relay asks, and [Fleet] its twin for many instances
// that share a Redis. Limiter stands on two pieces of plain
// arithmetic: pace, the rate after SES has said "too fast", and window, the 24
// hours in minutes.
//
// One day's count, by example: we counted 900 in the last 24 hours, and
// GetAccount says SentLast24Hours = 1000. The larger wins, so 100 were sent by
// somebody else on the account, or before this relay kept count. They leave the
// window evenly over the following 24 hours: after 6 hours without another
// answer 75 of them still count. Each answer of GetAccount computes them anew.
//
// # A fleet
//
// The fleet's bucket is a number in Redis (see leaseScript). An instance borrows
// tokens for the mail that waits, and while there are plenty a few for mail to
// come; those live 250 ms. Where tokens are scarce Redis lends tokens that only
// come to be within the next fractions of a second, to one instance after the
// other, so that nobody has to ask twice. The bucket is half a second deep: with
// tokens that are used 250 ms late, and the moment when Redis goes away, no
// second sees more than rate + burst (one second's worth, as with Limiter).
//
// While Redis is away (no answer within 100 ms) an instance sends its share:
// rate / instances last seen, and of the day what was left / instances. When
// Redis is back after an outage, the shares of those who have not come back are
// kept back for 3 s. One case stays open: a single instance that loses its way
// to a Redis that the others still reach goes on with its share, while the
// others have the whole rate; SES's throttling then slows both.
package quota
