// Package quota keeps the mail for SES within the account's sending quota:
// recipients a second (MaxSendRate, with headroom) and recipients in a rolling
// 24 hours (Max24HourSend, without).
//
// [Limiter] is what the relay asks. It stands on two pieces of plain
// arithmetic: pace, the rate after SES has said "too fast", and window, the 24
// hours in minutes.
//
// One day's count, by example: we counted 900 in the last 24 hours, and
// GetAccount says SentLast24Hours = 1000. The larger wins, so 100 were sent by
// somebody else on the account, or before this relay kept count. They leave the
// window evenly over the following 24 hours: after 6 hours without another
// answer 75 of them still count. Each answer of GetAccount computes them anew.
package quota
