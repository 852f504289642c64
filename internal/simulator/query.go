package simulator

import (
	"context"
	"fmt"
	"strings"
)

// All returns the records kept, oldest first.
func (s *Store) All() []Record { return s.filter(func(*Record) bool { return true }) }

// Of returns the records kept of one upstream, oldest first.
func (s *Store) Of(upstream string) []Record {
	return s.filter(func(r *Record) bool { return r.Upstream == upstream })
}

// ByHeader returns the records whose header section has the named field with exactly this value, oldest first.
// When bodies are discarded only the IDHeader is known.
func (s *Store) ByHeader(name, value string) []Record {
	id := strings.EqualFold(name, s.cfg.IDHeader)
	return s.filter(func(r *Record) bool {
		if id && r.TestID == value {
			return true
		}
		for _, v := range headerValues(r.Raw, name) {
			if v == value {
				return true
			}
		}
		return false
	})
}

// ByRecipient returns the records with this envelope recipient, compared without regard to case, oldest first.
func (s *Store) ByRecipient(address string) []Record {
	return s.filter(func(r *Record) bool {
		for _, to := range r.To {
			if strings.EqualFold(to, address) {
				return true
			}
		}
		return false
	})
}

// Find returns the record with this SES message id or queue id.
func (s *Store) Find(id string) (Record, bool) {
	found := s.filter(func(r *Record) bool { return r.ID == id })
	if len(found) == 0 {
		return Record{}, false
	}
	return found[0], true
}

func (s *Store) filter(keep func(*Record) bool) []Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []Record
	for i := range s.kept {
		if r := s.at(i); keep(r) {
			list = append(list, *r)
		}
	}
	return list
}

// Summaries returns the newest records, at most limit (0 = all kept), newest first.
func (s *Store) Summaries(limit int) []Summary {
	s.mu.Lock()
	n := s.kept
	if limit > 0 {
		n = min(n, limit)
	}
	newest := make([]Record, 0, n)
	for i := range n {
		newest = append(newest, *s.at(s.kept - 1 - i))
	}
	s.mu.Unlock()
	list := make([]Summary, 0, n)
	for _, r := range newest {
		list = append(list, r.Summary())
	}
	return list
}

// Count returns how many mails both upstreams accepted, kept or not.
func (s *Store) Count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return int(s.total())
}

// total is Count with mu held.
func (s *Store) total() (n int64) {
	for _, t := range s.totals {
		n += t.messages
	}
	return n
}

// Wait returns as soon as at least n mails were accepted since the start or the last Reset. Its error names the
// count reached when ctx ended first.
func (s *Store) Wait(ctx context.Context, n int) error {
	for {
		s.mu.Lock()
		have, change := int(s.total()), s.change()
		s.mu.Unlock()
		if have >= n {
			return nil
		}
		select {
		case <-change:
		case <-ctx.Done():
			return fmt.Errorf("simulator: %d of %d mails arrived: %w", have, n, context.Cause(ctx))
		}
	}
}

// WaitFor returns the first kept record that matches, as soon as there is one.
func (s *Store) WaitFor(ctx context.Context, match func(Record) bool) (Record, error) {
	for {
		s.mu.Lock()
		change := s.change()
		s.mu.Unlock()
		for _, r := range s.All() { // match is not called under the lock: it may ask the store
			if match(r) {
				return r, nil
			}
		}
		select {
		case <-change:
		case <-ctx.Done():
			return Record{}, fmt.Errorf("simulator: no such mail arrived: %w", context.Cause(ctx))
		}
	}
}

// Duplicate is a mail that somebody would receive more than once.
type Duplicate struct {
	Value     string   // of the header
	Recipient string   // who got the copies
	Records   []Record // two or more, oldest first
}

// Duplicates returns every kept mail that was accepted more than once for one recipient, by either upstream, where
// the value of the named header says which mails are the same. Copies of one mail for different recipients are none.
func (s *Store) Duplicates(header string) []Duplicate {
	type key struct{ value, recipient string }
	groups, order := map[key][]Record{}, []key{}
	for _, r := range s.All() {
		value := r.Header(header)
		if strings.EqualFold(header, s.cfg.IDHeader) {
			value = r.TestID
		}
		if value == "" {
			continue
		}
		for _, to := range r.To {
			k := key{value, strings.ToLower(to)}
			if groups[k] = append(groups[k], r); len(groups[k]) == 2 {
				order = append(order, k)
			}
		}
	}
	list := make([]Duplicate, 0, len(order))
	for _, k := range order {
		list = append(list, Duplicate{Value: k.value, Recipient: k.recipient, Records: groups[k]})
	}
	return list
}

// IDs tells about the values of the IDHeader over everything accepted, kept or not: how many different ones were
// seen, how many copies beyond the first, and how many mails could not be counted since MaxIDs was reached.
func (s *Store) IDs() (unique, extra int, lost int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, copies := range s.ids {
		extra += copies - 1
	}
	return len(s.ids), extra, s.idsLost
}

// Copies returns how many mails with this value of the IDHeader were accepted, kept or not.
func (s *Store) Copies(id string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ids[id]
}
