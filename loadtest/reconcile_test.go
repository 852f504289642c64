package main

import (
	"bytes"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestReconcileByRecipient(t *testing.T) {
	r := byRecipient(map[delivery]int{
		{"good", "a"}: 1, {"good", "b"}: 1,
		{"doubled", "a"}: 2, {"doubled", "b"}: 1,
		{"half", "a"}:        1, // b is lost
		{"unknown", "a"}:     1, // arrived, and the client was told 451
		{"stray", "a"}:       1,
		{"good", "intruder"}: 1, // a recipient that the mail does not have
	})
	for _, c := range []claim{
		{"good", []string{"a", "b"}, nil},
		{"doubled", []string{"a", "b"}, nil},
		{"half", []string{"a", "b"}, nil},
		{"unknown", nil, []string{"a"}},
		{"refused", nil, []string{"a", "b"}},
		{"lost", []string{"a"}, nil},
	} {
		r.add(c)
	}
	got := r.result(0)
	slices.Sort(got.Examples)
	want := &reconciliation{By: "recipient", Mails: 6, Accepted: 7, Delivered: 6, Lost: 2, Duplicated: 1, Unconfirmed: 1, Unexpected: 2,
		Examples: []string{"duplicated doubled a", "lost half b", "lost lost a", "unconfirmed unknown a", "unexpected good intruder", "unexpected stray a"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if got.clean() {
		t.Error("it is called clean")
	}
}

func TestReconcileByMail(t *testing.T) {
	copies := map[string]int{"good": 1, "doubled": 2, "unknown": 1}
	r := byMail(func(id string) int { return copies[id] })
	for _, c := range []claim{
		{"good", []string{"a", "b"}, nil},
		{"doubled", []string{"a"}, nil},
		{"lost", []string{"a"}, nil},
		{"unknown", nil, []string{"a"}},
	} {
		r.add(c)
	}
	got := r.result(5) // two ids that nobody claims
	got.Examples = nil
	want := &reconciliation{By: "mail", Mails: 4, Accepted: 3, Delivered: 3, Lost: 1, Duplicated: 1, Unconfirmed: 1, Unexpected: 2}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestReconcileClean(t *testing.T) {
	r := byRecipient(map[delivery]int{{"x", "a"}: 1, {"y", "a"}: 1})
	r.add(claim{"x", []string{"a"}, nil})
	r.add(claim{"y", nil, []string{"a"}})
	if got := r.result(2); !got.clean() || got.Unconfirmed != 1 {
		t.Errorf("%+v", got)
	}
}

func TestClaimsTravel(t *testing.T) {
	want := []claim{{"1", []string{"a@b", "c@d"}, nil}, {"2", nil, []string{"e@f"}}, {"3", []string{"a@b"}, []string{"c@d"}}}
	var wire bytes.Buffer
	if err := writeClaims(&wire, slices.Values(want)); err != nil {
		t.Fatal(err)
	}
	var got []claim
	if err := readClaims(&wire, func(c claim) { got = append(got, c) }); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if err := readClaims(strings.NewReader("1\ta\n"), func(claim) {}); err == nil {
		t.Error("a line with two fields was taken")
	}
}
