package main

import (
	"cmp"
	"encoding/json"
	"slices"
)

// reduce takes from an event what is largest and least missed: the headers.
func reduce(event []byte) []byte {
	var members map[string]json.RawMessage
	if json.Unmarshal(event, &members) != nil || members == nil {
		return event
	}
	var mail map[string]json.RawMessage
	if json.Unmarshal(members["mail"], &mail) == nil && mail != nil {
		delete(mail, "headers")
		delete(mail, "commonHeaders")
		members["mail"] = compact(mail)
	}
	members["reduced"] = json.RawMessage("true")
	return compact(members)
}

// stub keeps of an event its type, its ids and its length.
func stub(event []byte) []byte {
	var e struct {
		EventType string `json:"eventType"`
		RecordID  string `json:"recordId"`
		Mail      struct {
			MessageID string `json:"messageId"`
		} `json:"mail"`
	}
	_ = json.Unmarshal(event, &e) // what is missing stays empty
	return compact(map[string]any{
		"eventType": cut(e.EventType), "recordId": cut(e.RecordID), "mail": map[string]any{"messageId": cut(e.Mail.MessageID)},
		"reduced": true, "length": len(event),
	})
}

// cut bounds the members of a stub. Masked events have none so long.
func cut(s string) string { return s[:min(len(s), 200)] }

// maxAnswer is the largest answer, in bytes. Lambda's limit is 6,291,456, for
// requests as well, so that "Dropped" for each record always fits.
const maxAnswer = 6_000_000

// fit shortens answers, the largest first, until all together fit into limit. It
// returns how many it shortened.
func fit(answers []AnsweredRecord, events [][]byte, limit int) (reduced int) {
	total := 2 * frame
	order := make([]int, len(answers))
	for i, a := range answers {
		total += a.size()
		order[i] = i
	}
	if total <= limit {
		return 0
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(answers[b].size(), answers[a].size()) })
	touched := make([]bool, len(answers))
	for _, shorten := range []func(event []byte) (result string, data string){
		func(e []byte) (string, string) { return ok, encode(reduce(e)) },
		func(e []byte) (string, string) { return ok, encode(stub(e)) },
		func([]byte) (string, string) { return dropped, "" },
	} {
		for _, i := range order {
			if total <= limit {
				return reduced
			}
			shorter := answers[i]
			shorter.Result, shorter.Data = shorten(events[i])
			if shorter.size() >= answers[i].size() {
				continue
			}
			total -= answers[i].size() - shorter.size()
			answers[i] = shorter
			if !touched[i] {
				touched[i] = true
				reduced++
			}
		}
	}
	return reduced
}
