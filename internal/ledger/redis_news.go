package ledger

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"sesrelay/internal/relay"
)

const (
	newsTimeout = time.Second
	newsLength  = 1000             // keys in one answer
	newsOverlap = 10 * time.Second // read again: after a failover Redis's clock may be behind
)

// readNews brings what other instances remember, from start to ctx's end.
func (l *Ledger) readNews(ctx context.Context) {
	var last int64
	ticker := time.NewTicker(l.cfg.News)
	defer ticker.Stop()
	for {
		since := last - newsOverlap.Milliseconds()
		for more := true; more && ctx.Err() == nil; last = max(last, since) {
			var err error
			if since, more, err = l.news(ctx, since); err != nil {
				break // the next time
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// news reads what was remembered after since (Redis's clock, ms) and returns
// the time of the last, and whether there is more.
func (l *Ledger) news(ctx context.Context, since int64) (last int64, more bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, newsTimeout)
	defer cancel()
	asked := l.cfg.Now()
	cmd := evalAll(ctx, l.cfg.Client, []call{{newsScript, []string{l.keys.remembered},
		[]any{rememberLife.Milliseconds(), max(0, since), newsLength}}})[0]
	words, err := cmd.StringSlice()
	if err != nil || len(words)%2 != 1 {
		return since, false, fmt.Errorf("ledger: failover memory: %w", err)
	}
	now, err := strconv.ParseInt(words[0], 10, 64)
	if err != nil {
		return since, false, fmt.Errorf("ledger: failover memory: %w", err)
	}
	last = since
	for rest := words[1:]; len(rest) > 0; rest = rest[2:] {
		at, err := strconv.ParseInt(rest[1], 10, 64)
		if err != nil || len(rest[0]) != len(relay.Fingerprint{}) {
			continue // not ours
		}
		age := max(0, time.Duration(now-at)*time.Millisecond)
		l.remembered.put(relay.Fingerprint([]byte(rest[0])), asked.Add(rememberLife-age))
		last = max(last, at)
	}
	return last, len(words)/2 == newsLength && last > since, nil
}
