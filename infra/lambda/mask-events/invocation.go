package main

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"strconv"
	"time"
)

// record is one record of an invocation.
type record struct {
	id   string
	at   time.Time // arrival, zero if not said
	data string    // base64
}

// invocation is what the function was called with, whatever its shape.
type invocation struct {
	stream  string
	kinesis bool
	records []record
}

// payload has the members of both shapes: Firehose's transformation event and
// the event of a Kinesis stream.
type payload struct {
	DeliveryStreamArn string `json:"deliveryStreamArn"`
	Firehose          []struct {
		RecordID string          `json:"recordId"`
		Arrival  json.RawMessage `json:"approximateArrivalTimestamp"` // milliseconds
		Data     string          `json:"data"`
	} `json:"records"`
	Kinesis []struct {
		EventID   string `json:"eventID"`
		SourceARN string `json:"eventSourceARN"`
		Kinesis   struct {
			Sequence string          `json:"sequenceNumber"`
			Arrival  json.RawMessage `json:"approximateArrivalTimestamp"` // seconds
			Data     string          `json:"data"`
		} `json:"kinesis"`
	} `json:"Records"`
}

// UnmarshalJSON tells "records" from "Records": encoding/json takes the one for
// the other, and the two hold different things.
func (p *payload) UnmarshalJSON(data []byte) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(data, &members); err != nil {
		return err
	}
	for name, into := range map[string]any{"deliveryStreamArn": &p.DeliveryStreamArn, "records": &p.Firehose, "Records": &p.Kinesis} {
		if value, ok := members[name]; ok {
			if err := json.Unmarshal(value, into); err != nil {
				return err
			}
		}
	}
	return nil
}

// readInvocation understands either shape. Its error quotes nothing.
func readInvocation(data []byte) (invocation, error) {
	var p payload
	if err := json.Unmarshal(data, &p); err != nil {
		return invocation{}, errors.New("the invocation is neither a Firehose transformation nor a Kinesis event: it is not JSON of that shape")
	}
	if p.Firehose == nil && p.Kinesis == nil {
		return invocation{}, errors.New(`the invocation has neither "records" (Firehose) nor "Records" (Kinesis)`)
	}
	in := invocation{stream: p.DeliveryStreamArn, kinesis: p.Firehose == nil}
	for _, r := range p.Firehose {
		in.records = append(in.records, record{id: r.RecordID, at: arrival(r.Arrival, time.Millisecond), data: r.Data})
	}
	for i, r := range p.Kinesis {
		id := r.EventID
		if id == "" {
			id = r.Kinesis.Sequence
		}
		if id == "" {
			id = strconv.Itoa(i) // called by hand
		}
		in.stream = r.SourceARN
		in.records = append(in.records, record{id: id, at: arrival(r.Kinesis.Arrival, time.Second), data: r.Kinesis.Data})
	}
	return in, nil
}

// arrival reads a time since 1970 in the given unit; zero when there is none.
func arrival(number json.RawMessage, unit time.Duration) time.Time {
	n, err := strconv.ParseFloat(string(number), 64)
	if err != nil || n <= 0 || n > float64(1<<62)/float64(unit) {
		return time.Time{}
	}
	return time.Unix(0, int64(n*float64(unit))).Round(time.Millisecond)
}

// Answer is what Firehose expects, and what a Kinesis event source does not mind.
type Answer struct {
	Records []AnsweredRecord  `json:"records"`
	Event   json.RawMessage   `json:"event,omitempty"`             // the masked event, for who calls by hand
	Failed  *[]map[string]any `json:"batchItemFailures,omitempty"` // Kinesis: nothing to repeat
}

// AnsweredRecord answers one record. Result is "Ok" or "Dropped".
type AnsweredRecord struct {
	RecordID string `json:"recordId"`
	Result   string `json:"result"`
	Data     string `json:"data,omitempty"` // base64
}

const (
	ok      = "Ok"
	dropped = "Dropped"
)

// frame is what a record costs in an answer besides its id and data, in bytes:
// {"recordId":"","result":"Dropped","data":""}, and a comma.
const frame = 48

// size is the length of r in the answer, or a little more.
func (r AnsweredRecord) size() int { return len(r.RecordID) + len(r.Data) + frame }

// encode makes the answer's data: one line of JSON, so that objects in the bucket
// have one event a line.
func encode(event []byte) string {
	return base64.StdEncoding.EncodeToString(append(event[:len(event):len(event)], '\n'))
}
