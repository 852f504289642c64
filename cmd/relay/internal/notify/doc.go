// Package notify tells people and their tools what a rollout has decided: a
// webhook, an SNS topic, annotations in Grafana. Nothing waits for it: the
// queue is bounded, and what cannot be delivered is logged and dropped.
package notify
