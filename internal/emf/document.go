package emf

import (
	"bytes"
	"encoding/json"
	"math"
	"time"
)

// Target says where a document belongs.
type Target struct {
	Namespace string // such as ses-migration/production/SES
	Instance  string // of the fleet: the host name
}

// The dimensions. Every metric of the relay has at least Source, because the
// same names without a dimension belong to the metrics of SES's events.
const (
	dimensionSource   = "Source"
	dimensionInstance = "Instance"
	source            = "relay"
)

// value is one metric of a document.
type value struct {
	name   string
	unit   string
	number float64
}

// metadata is the member _aws of the specification.
type metadata struct {
	Timestamp int64       // milliseconds since 1970
	Metrics   []directive `json:"CloudWatchMetrics"`
}

type directive struct {
	Namespace  string
	Dimensions [][]string
	Metrics    []definition
}

type definition struct {
	Name string
	Unit string
}

// document returns the line, its line end included. Values that are no number
// are left out: CloudWatch refuses them.
func document(t Target, at time.Time, values []value) ([]byte, error) {
	d := directive{Namespace: t.Namespace, Dimensions: [][]string{{dimensionSource}, {dimensionSource, dimensionInstance}}}
	members := []member{{dimensionSource, source}, {dimensionInstance, t.Instance}}
	for _, v := range values {
		if math.IsNaN(v.number) || math.IsInf(v.number, 0) {
			continue
		}
		d.Metrics = append(d.Metrics, definition{v.name, v.unit})
		members = append(members, member{v.name, v.number})
	}
	aws := metadata{Timestamp: at.UnixMilli(), Metrics: []directive{d}}
	return object(append([]member{{"_aws", aws}}, members...))
}

type member struct {
	name  string
	value any
}

// object writes the members in their order, which encoding/json has no type for.
func object(members []member) ([]byte, error) {
	var b bytes.Buffer
	for i, m := range members {
		name, err := json.Marshal(m.name)
		if err != nil {
			return nil, err
		}
		text, err := json.Marshal(m.value)
		if err != nil {
			return nil, err
		}
		b.WriteByte("{,"[min(i, 1)])
		b.Write(name)
		b.WriteByte(':')
		b.Write(text)
	}
	b.WriteString("}\n")
	return b.Bytes(), nil
}
