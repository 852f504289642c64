package main

import (
	"context"
	"errors"
	"time"

	"sesrelay/internal/ses"
)

// Times of what is asked of SES beside sending. All of it shares one request a
// second of the whole account.
const (
	identitiesEvery = time.Hour
	identitiesRetry = time.Minute
	firstAnswers    = 3 * time.Second // that the start waits for
)

// poll keeps the quota and, when the configuration names none, the identities
// equal to what SES says, until the upstreams are replaced. It returns when
// the first answers are there, or after a short time without them.
func (a *app) poll(up *upstreams) {
	ctx, cancel := context.WithCancel(context.Background())
	up.stop = cancel
	account := make(chan struct{}, 1)
	go up.ses.PollAccount(ctx, ses.AccountPoll{
		Turn: func() bool { return a.pollsAccount(account) },
		Report: func(acc ses.Account, err error) {
			a.reportAccount(acc, err)
			offer(account)
		}})
	identities := make(chan struct{}, 1)
	a.identityTrouble.note(nil, time.Time{}) // the configuration may name them now
	if len(a.cfg.Load().SES.Identities) == 0 && !a.extra.anySender {
		go a.pollIdentities(ctx, up.ses, identities)
	} else {
		offer(identities)
	}
	wait := time.After(firstAnswers)
	for _, answered := range []chan struct{}{account, identities} {
		select {
		case <-answered:
		case <-wait:
			return
		}
	}
}

// pollsAccount reports whether this instance asks for its fleet. If another one
// does, the quota comes from there, and nobody has to wait for the answer here.
func (a *app) pollsAccount(answered chan<- struct{}) bool {
	if a.shared == nil || a.shared.quota.Turn() {
		return true
	}
	if acc, ok := a.shared.account(); ok {
		a.account.Store(&acc)
	}
	offer(answered)
	return false
}

func offer(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// reportAccount takes GetAccount's answer.
func (a *app) reportAccount(acc ses.Account, err error) {
	if errors.Is(err, ses.ErrNotOffered) {
		a.accountTrouble.note(nil, time.Time{})
	} else {
		a.accountTrouble.note(err, time.Now())
	}
	switch {
	case errors.Is(err, ses.ErrNotOffered):
		a.log.Warn("the SES endpoint has no GetAccount: with quota.rate or quota.daily set to auto the quota is not known, so set numbers")
	case err != nil:
		a.log.Warn("SES account could not be read; the last known quota stays in force", "error", err.Error())
	}
	if !acc.Known() {
		return
	}
	previous := a.account.Swap(&acc)
	if err == nil && a.shared != nil {
		a.shared.tellAccount(acc)
	}
	a.quota.SetAccount(acc.Max24HourSend, acc.MaxSendRate, acc.SentLast24Hours)
	if !acc.SendingEnabled && (previous == nil || previous.SendingEnabled) {
		a.log.Error("SES has disabled sending for this account", "enforcement", acc.EnforcementStatus)
	}
}

// pollIdentities asks SES which domains and addresses may send.
func (a *app) pollIdentities(ctx context.Context, client *ses.Client, answered chan<- struct{}) {
	for ctx.Err() == nil {
		next := identitiesEvery
		err := a.readIdentities(ctx, client)
		if ctx.Err() != nil {
			return
		}
		a.identityTrouble.note(err, time.Now())
		if err != nil {
			a.log.Warn("SES identities could not be read; until they are, unknown sender domains take Cuenote", "error", err.Error())
			next = identitiesRetry
		}
		offer(answered)
		select {
		case <-ctx.Done():
		case <-time.After(next):
		}
	}
}

func (a *app) readIdentities(ctx context.Context, client *ses.Client) error {
	list, err := client.ListIdentities(ctx)
	if err != nil {
		return err
	}
	names := verifiedNames(list)
	if err := a.router.SetIdentities(names); err != nil {
		return err
	}
	a.identitiesRead.Store(len(names) > 0)
	if len(names) == 0 {
		return errNoIdentity
	}
	return nil
}

func verifiedNames(list []ses.Identity) (names []string) {
	for _, i := range list {
		if i.Verified {
			names = append(names, i.Name)
		}
	}
	return names
}
