package main

import (
	"bufio"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
)

// claim is what the client side was told about a mail.
type claim struct {
	ID       string
	Accepted []string // recipients for whom it got 250
	Open     []string // the others
}

// writeClaims writes one claim a line: id, accepted, open, between tabs.
func writeClaims(w io.Writer, claims iter.Seq[claim]) error {
	b := bufio.NewWriter(w)
	for c := range claims {
		fmt.Fprintf(b, "%s\t%s\t%s\n", c.ID, strings.Join(c.Accepted, ","), strings.Join(c.Open, ","))
	}
	return b.Flush()
}

// readClaims reads what writeClaims wrote, one after the other: an hour's claims
// are hundreds of megabytes.
func readClaims(r io.Reader, each func(claim)) error {
	n := 0
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		n++
		part := strings.Split(lines.Text(), "\t")
		if len(part) != 3 {
			return fmt.Errorf("claims: line %d has %d fields, not 3", n, len(part))
		}
		each(claim{part[0], addresses(part[1]), addresses(part[2])})
	}
	return lines.Err()
}

func addresses(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, ",")
}

// reconciliation compares what clients were told with what arrived, one by one.
type reconciliation struct {
	By          string   `json:"by"`          // "recipient": every copy was looked at; "mail": copies were counted by id
	Mails       int      `json:"mails"`       // started by the generator
	Accepted    int      `json:"accepted"`    // recipients for whom the client got 250
	Delivered   int      `json:"delivered"`   // different recipients that got the mail, over all mails
	Lost        int      `json:"lost"`        // 250, and never arrived
	Duplicated  int      `json:"duplicated"`  // arrived more than once
	Unconfirmed int      `json:"unconfirmed"` // arrived, and the client was never told: it would send again
	Unexpected  int      `json:"unexpected"`  // arrived, and nobody sent it
	Examples    []string `json:"examples,omitempty"`
}

// clean says whether nothing is wrong but what the client could not know.
func (r *reconciliation) clean() bool { return r.Lost+r.Duplicated+r.Unexpected == 0 }

// maxExamples bounds the mails that are named.
const maxExamples = 20

func (r *reconciliation) example(what, id, recipient string) {
	if len(r.Examples) < maxExamples {
		r.Examples = append(r.Examples, strings.TrimSpace(what+" "+id+" "+recipient))
	}
}

// delivery is one mail and one recipient.
type delivery struct{ ID, Recipient string }

// reconciler compares claims with what arrived.
type reconciler struct {
	reconciliation
	arrived map[delivery]int    // copies of every delivery; claimed ones are taken out
	copies  func(id string) int // instead: copies of every mail
	seen    int                 // mails claimed of which copies has some
}

// byRecipient compares every delivery. arrived counts the copies, and is used up.
func byRecipient(arrived map[delivery]int) *reconciler {
	return &reconciler{reconciliation: reconciliation{By: "recipient"}, arrived: arrived}
}

// byMail counts the copies of each mail only, for tests too long to keep a
// record of every delivery. It needs mails that travel whole: one recipient, or
// SMTP, not LMTP.
func byMail(copies func(id string) int) *reconciler {
	return &reconciler{reconciliation: reconciliation{By: "mail"}, copies: copies}
}

// add compares one claim.
func (r *reconciler) add(c claim) {
	r.Mails++
	if r.copies != nil {
		n := r.copies(c.ID)
		if n > 0 {
			r.seen++
		}
		r.Accepted += min(len(c.Accepted), 1)
		r.judge(delivery{ID: c.ID}, n, len(c.Accepted) > 0)
		return
	}
	r.Accepted += len(c.Accepted)
	for i, address := range slices.Concat(c.Accepted, c.Open) {
		d := delivery{c.ID, address}
		r.judge(d, r.arrived[d], i < len(c.Accepted))
		delete(r.arrived, d)
	}
}

// result is the comparison, after the last claim. unique is how many different
// ids arrived.
func (r *reconciler) result(unique int) *reconciliation {
	if r.copies != nil {
		r.Unexpected = unique - r.seen
		return &r.reconciliation
	}
	for d := range r.arrived {
		r.Unexpected++
		r.example("unexpected", d.ID, d.Recipient)
	}
	return &r.reconciliation
}

// judge weighs the copies of one delivery.
func (r *reconciliation) judge(d delivery, copies int, accepted bool) {
	if copies > 0 {
		r.Delivered++
	}
	switch {
	case copies == 0 && accepted:
		r.Lost++
		r.example("lost", d.ID, d.Recipient)
	case copies > 1:
		r.Duplicated++
		r.example("duplicated", d.ID, d.Recipient)
	}
	if copies > 0 && !accepted {
		r.Unconfirmed++
		r.example("unconfirmed", d.ID, d.Recipient)
	}
}
