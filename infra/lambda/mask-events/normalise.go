package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
)

// normalise gives an SES event the flat fields that the saved queries use, beside
// the original members, which stay (bounce.bounceType among them):
//
//	eventType    in lower case ("bounce", "deliverydelay"; SES writes "Bounce")
//	destination  one string, several recipients joined by ", " (from mail.destination)
//	sourceIp     from the tag ses:source-ip
//	recordId     Firehose's, by which a line written twice is recognised
//
// Fields that are there already are kept.
func normalise(data []byte, recordID string) ([]byte, error) {
	var event map[string]json.RawMessage
	if err := json.Unmarshal(data, &event); err != nil || event == nil {
		return nil, errors.New("not a JSON object") // the decoder's text would quote the data
	}
	var mail map[string]json.RawMessage
	_ = json.Unmarshal(event["mail"], &mail) // no mail: nothing to take from it
	kind := text(event["eventType"])
	if kind == "" {
		kind = text(event["notificationType"])
	}
	if kind != "" {
		event["eventType"] = quote(strings.ToLower(kind))
	}
	destination := texts(event["destination"])
	if len(destination) == 0 {
		destination = texts(mail["destination"])
	}
	if len(destination) > 0 {
		event["destination"] = quote(strings.Join(destination, ", "))
	}
	if _, ok := event["sourceIp"]; !ok {
		var tags map[string]json.RawMessage
		_ = json.Unmarshal(mail["tags"], &tags)
		if ip := texts(tags["ses:source-ip"]); len(ip) > 0 {
			event["sourceIp"] = quote(ip[0])
		}
	}
	if recordID != "" {
		event["recordId"] = quote(recordID)
	}
	return compact(event), nil
}

// text returns a JSON string's value; "" for anything else.
func text(value json.RawMessage) string {
	var s string
	_ = json.Unmarshal(value, &s)
	return s
}

// texts returns the strings of a list, or a string as a list of one.
func texts(value json.RawMessage) []string {
	if s := text(value); s != "" {
		return []string{s}
	}
	var list []string
	_ = json.Unmarshal(value, &list)
	return list
}

func quote(s string) json.RawMessage { return compact(s) }

// compact writes v, made of strings, numbers and JSON already valid, without
// escaping HTML: a log line full of \u003c cannot be searched.
func compact(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // only unsupported types fail
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
