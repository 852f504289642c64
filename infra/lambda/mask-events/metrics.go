package main

import (
	"io"
	"time"
)

// counts is what one invocation reports.
type counts struct {
	records, failures, reduced, lines, copies int
}

// writeMetrics writes one line of CloudWatch's embedded metric format, which the
// function's log group turns into metrics. Zeros are written too: silence of the
// pipeline and health of the pipeline must differ.
func writeMetrics(w io.Writer, namespace, function string, now time.Time, c counts) {
	if namespace == "" {
		return
	}
	metric := func(name string) map[string]string { return map[string]string{"Name": name, "Unit": "Count"} }
	row := compact(map[string]any{
		"_aws": map[string]any{
			"Timestamp": now.UnixMilli(),
			"CloudWatchMetrics": []any{map[string]any{
				"Namespace": namespace, "Dimensions": [][]string{{"FunctionName"}},
				"Metrics": []any{metric("MaskingRecords"), metric("MaskingFailures"), metric("MaskingReduced"), metric("LogLinesFailed"), metric("ErrorCopiesFailed")},
			}},
		},
		"FunctionName":   function,
		"MaskingRecords": c.records, "MaskingFailures": c.failures, "MaskingReduced": c.reduced,
		"LogLinesFailed": c.lines, "ErrorCopiesFailed": c.copies,
	})
	_, _ = w.Write(append(row, '\n')) // standard output; nowhere to tell that it failed
}
