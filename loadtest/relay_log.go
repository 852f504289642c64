package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// transactionLine marks the line of a transaction.
var transactionLine = []byte(`"msg":"transaction"`)

// addedTimes reads from the relay's log, one line per transaction, how much
// time it added: its own duration minus what it waited for upstreams. Lines
// before the given time are warm-up; lines counts them, too.
func addedTimes(path string, from time.Time) (h *hdrhistogram.Histogram, lines int, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	h = newHistogram()
	for r := bufio.NewReaderSize(f, 1<<20); ; {
		line, err := r.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			continue // no transaction's line is so long
		}
		if err == io.EOF {
			return h, lines, nil
		}
		if err != nil {
			return nil, 0, err
		}
		if bytes.Contains(line, transactionLine) {
			lines++
		}
		if added, ok := addedBy(line, from); ok {
			record(h, added)
		}
	}
}

// addedBy reads one line of the log. It is no full parse, which would take
// longer than the test: the fields are looked for as the relay's JSON handler
// writes them, and every text in the line is the generator's own.
func addedBy(line []byte, from time.Time) (time.Duration, bool) {
	if !bytes.Contains(line, transactionLine) {
		return 0, false
	}
	if stamp := field(line, `"time":"`, '"'); stamp != "" {
		if at, err := time.Parse(time.RFC3339Nano, stamp); err == nil && at.Before(from) {
			return 0, false
		}
	}
	all, err1 := strconv.ParseFloat(field(line, `"duration_ms":`, ','), 64)
	upstream, err2 := strconv.ParseFloat(field(line, `"upstream_ms":`, ','), 64)
	if err1 != nil || err2 != nil {
		return 0, false
	}
	return time.Duration((all - upstream) * float64(time.Millisecond)), true
}

func field(line []byte, key string, end byte) string {
	_, rest, ok := bytes.Cut(line, []byte(key))
	if !ok {
		return ""
	}
	value, _, _ := bytes.Cut(rest, []byte{end})
	return string(value)
}
