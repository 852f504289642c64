package ses

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"
)

// Account is what SES says about the account and its sending quota, counted in
// recipients ("GetAccount", SES API v2 reference).
type Account struct {
	At                      time.Time // when SES said so; zero = never, the account is not known
	Max24HourSend           float64   // over rolling 24 hours; -1 = unlimited
	MaxSendRate             float64   // a second; -1 = unlimited
	SentLast24Hours         float64   //
	SendingEnabled          bool      //
	ProductionAccessEnabled bool      // false = sandbox: only verified recipients
	EnforcementStatus       string    // HEALTHY, PROBATION or SHUTDOWN
}

// Known reports whether SES has ever answered.
func (a Account) Known() bool { return !a.At.IsZero() }

// Account asks SES. It waits for its turn among all calls but sending. An
// endpoint without the call gives ErrNotOffered.
func (c *Client) Account(ctx context.Context) (Account, error) {
	out, err := control(ctx, c, c.api.GetAccount, &sesv2.GetAccountInput{})
	if err != nil {
		return Account{}, err
	}
	q := out.SendQuota
	if q == nil {
		return Account{}, errNoQuota
	}
	return Account{
		At:                      c.cfg.Now(),
		Max24HourSend:           q.Max24HourSend,
		MaxSendRate:             q.MaxSendRate,
		SentLast24Hours:         q.SentLast24Hours,
		SendingEnabled:          out.SendingEnabled,
		ProductionAccessEnabled: out.ProductionAccessEnabled,
		EnforcementStatus:       aws.ToString(out.EnforcementStatus),
	}, nil
}

// errNoQuota keeps a 200 that says nothing from lifting the quota.
var errNoQuota = errors.New("ses: GetAccount: an answer without SendQuota")

// MinPollInterval is the shortest time between two polls of one poller.
const MinPollInterval = 30 * time.Second

// AccountPoll sets a poller of the account. One poller serves a whole fleet.
type AccountPoll struct {
	Every time.Duration // at least MinPollInterval, which is the default; up to a fifth is added at random
	// Turn reports whether this instance is the one that polls; nil = always.
	Turn func() bool
	// Report gets the account after each poll. After a failed one err says why
	// and the account is the last one known, which may be none (Account.Known).
	Report func(a Account, err error)
}

// PollAccount polls at once and then for as long as ctx lives.
func (c *Client) PollAccount(ctx context.Context, p AccountPoll) {
	var last Account
	repeat(ctx, p.Every, func() {
		if p.Turn != nil && !p.Turn() {
			return
		}
		a, err := c.Account(ctx)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			last = a
		}
		p.Report(last, err)
	})
}

// repeat calls f at once and then at intervals until ctx ends. The random part
// keeps pollers of several fleets in one account from meeting at every turn.
func repeat(ctx context.Context, every time.Duration, f func()) {
	every = max(every, MinPollInterval)
	for ctx.Err() == nil {
		f()
		wait := time.NewTimer(every + rand.N(every/5))
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
		}
	}
}
