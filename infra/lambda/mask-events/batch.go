package main

import (
	"cmp"
	"slices"
	"time"
	"unicode/utf8"
)

// Limits of PutLogEvents (CloudWatch Logs API reference).
const (
	maxBatchLines = 10_000
	maxBatchBytes = 1_048_576
	lineOverhead  = 26 // counted for each line
	maxBatchSpan  = 24 * time.Hour
	maxLineBytes  = 256<<10 - lineOverhead
	oldestLine    = 14*24*time.Hour - time.Hour // older ones are refused
	newestLine    = 2*time.Hour - 10*time.Minute
)

// line is one event of a log group.
type line struct {
	at       time.Time
	recordID string
	message  string
}

// placed returns at moved into the time that PutLogEvents takes; a record that
// waited too long in Firehose shall not be refused for it.
func placed(at, now time.Time) time.Time {
	if at.IsZero() {
		return now
	}
	if oldest := now.Add(-oldestLine); at.Before(oldest) {
		return oldest
	}
	if newest := now.Add(newestLine); at.After(newest) {
		return newest
	}
	return at
}

// message makes a log line of an event that may be too long for one. Events are
// valid UTF-8 after JSON decoding; raw data need not be.
func message(event []byte) string {
	if whole := event; len(whole) > maxLineBytes {
		if event = reduce(whole); len(event) > maxLineBytes {
			event = stub(whole)
		}
	}
	if utf8.Valid(event) {
		return string(event)
	}
	if s := string([]rune(string(event))); len(s) <= maxLineBytes { // U+FFFD is longer than what it stands for
		return s
	}
	return string(stub(event))
}

// batches cuts lines into calls: in the order of time, within the limits.
func batches(lines []line) [][]line {
	slices.SortStableFunc(lines, func(a, b line) int { return cmp.Compare(a.at.UnixMilli(), b.at.UnixMilli()) })
	var out [][]line
	first, bytes := 0, 0
	for i, l := range lines {
		size := len(l.message) + lineOverhead
		if i > first && (i-first == maxBatchLines || bytes+size > maxBatchBytes || l.at.Sub(lines[first].at) >= maxBatchSpan) {
			out = append(out, lines[first:i])
			first, bytes = i, 0
		}
		bytes += size
	}
	if first < len(lines) {
		out = append(out, lines[first:])
	}
	return out
}
