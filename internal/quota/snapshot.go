package quota

import (
	"encoding/json"
	"fmt"
	"time"
)

// snapshot is the layout of what outlives a restart.
type snapshot struct {
	Format   int        `json:"format"`
	Account  account    `json:"account"`
	Minutes  [][2]int64 `json:"minutes"` // minute since 1970 and recipients, oldest first
	Others   float64    `json:"others"`
	OthersAt time.Time  `json:"others_at"`
}

const snapshotFormat = 1

// Snapshot returns the day's count and the account's quota as JSON, for a file
// beside state.file.
func (l *Limiter) Snapshot() ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := &l.window
	w.advance(time.Now())
	s := snapshot{Format: snapshotFormat, Account: l.account, Others: w.others, OthersAt: w.othersAt, Minutes: [][2]int64{}}
	for minute := w.last - slots + 1; minute <= w.last; minute++ {
		if n := w.minutes[minute%slots]; n > 0 {
			s.Minutes = append(s.Minutes, [2]int64{minute, n})
		}
	}
	return json.Marshal(s)
}

// Restore adds what Snapshot returned before a restart. Minutes that are over
// are left out; minutes of the future, from a clock that was wrong, count as
// now. With an error nothing is restored: the day then starts from GetAccount.
func (l *Limiter) Restore(b []byte) error {
	var s snapshot
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("quota: the saved count is damaged and not used: %w", err)
	}
	if err := s.check(); err != nil {
		return fmt.Errorf("quota: the saved count is not used: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	w := &l.window
	w.advance(now)
	for _, m := range s.Minutes {
		if minute := min(m[0], w.last); minute > w.last-slots {
			w.minutes[minute%slots] += m[1]
			w.own += m[1]
		}
	}
	if s.Others > w.othersLeft(now) {
		w.others, w.othersAt = s.Others, s.OthersAt
	}
	if !l.account.Known {
		l.account = s.Account
	}
	l.resize(now)
	return nil
}

func (s *snapshot) check() error {
	if s.Format != snapshotFormat {
		return fmt.Errorf("its format is %d, not %d", s.Format, snapshotFormat)
	}
	if a := s.Account; a.Known && (!(a.Rate > 0) || !(a.Day > 0 || a.Day == Unlimited)) || !(s.Others >= 0) {
		return fmt.Errorf("rate %v, day %v or others %v is out of range", a.Rate, a.Day, s.Others)
	}
	if len(s.Minutes) > slots {
		return fmt.Errorf("%d minutes are more than a day has", len(s.Minutes))
	}
	const most = 1 << 40 // recipients a minute: a sum of a day cannot overflow
	for _, m := range s.Minutes {
		if m[0] < slots || m[1] < 0 || m[1] > most {
			return fmt.Errorf("minute %d with %d recipients is out of range", m[0], m[1])
		}
	}
	return nil
}
