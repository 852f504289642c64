// Package emf writes the relay's metrics in CloudWatch's embedded metric
// format: one JSON document on one line, from which CloudWatch Logs makes
// metrics. docs/cloudwatch.md has the names.
//
// The figures come from the Prometheus registry and are differences between
// two of its states, so that nothing is counted twice and the way of a message
// costs no more for it.
package emf
