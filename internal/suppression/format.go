package suppression

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// Format is how the addresses stand in a file.
type Format string

// Formats of Options.Format.
const (
	Auto  Format = "auto"
	Lines Format = "lines" // one address a line; lines that begin with "#" are comments
	CSV   Format = "csv"   // separated by comma, semicolon or tab
	JSONL Format = "jsonl" // one object a line
)

// headings are the names by which a column of addresses is known, in small letters.
var headings = []string{"emailaddress", "email", "e-mail", "email address", "email_address", "mail", "mailaddress", "mail address", "mail_address",
	"address", "recipient", "to", "メールアドレス", "メール", "アドレス", "宛先", "宛先アドレス", "エラーアドレス", "配信先", "配信先アドレス", "受信者"}

// row is a cell that should hold an address, and the line where it stands.
type row struct {
	line int
	text string
	why  string // the line cannot be read; text is ""
}

// detect looks at the first line that says something.
func detect(text []byte) Format {
	line := firstLine(text)
	switch {
	case strings.HasPrefix(line, "{"):
		return JSONL
	case strings.ContainsAny(line, ",;\t") || isHeading(strings.Trim(line, `"`)):
		return CSV
	}
	return Lines
}

func firstLine(text []byte) string {
	for line := range bytes.Lines(text) {
		if s := strings.TrimSpace(string(line)); s != "" && !strings.HasPrefix(s, "#") {
			return s
		}
	}
	return ""
}

func isHeading(s string) bool {
	return slices.Contains(headings, strings.ToLower(strings.TrimSpace(s)))
}

// rows calls each for every address of the text.
func rows(text []byte, f Format, column string, each func(row)) error {
	switch f {
	case Lines:
		plainRows(text, each)
		return nil
	case CSV:
		return csvRows(text, column, each)
	case JSONL:
		return jsonRows(text, column, each)
	}
	return fmt.Errorf("the format %q is none of auto, lines, csv, jsonl", f)
}

func plainRows(text []byte, each func(row)) {
	n := 0
	for line := range bytes.Lines(text) {
		n++
		if s := strings.TrimSpace(string(line)); s != "" && !strings.HasPrefix(s, "#") {
			each(row{line: n, text: strings.TrimSuffix(strings.TrimPrefix(s, "<"), ">")})
		}
	}
}

// separator is the one of the three that the first line has most of.
func separator(line string) rune {
	best, most := ',', 0
	for _, r := range ",;\t" {
		if n := strings.Count(line, string(r)); n > most {
			best, most = r, n
		}
	}
	return best
}

func csvRows(text []byte, column string, each func(row)) error {
	r := csv.NewReader(bytes.NewReader(text))
	r.Comma, r.FieldsPerRecord, r.ReuseRecord, r.LazyQuotes, r.Comment = separator(firstLine(text)), -1, true, true, '#'
	first, err := r.Read()
	if err == io.EOF { //nolint:errorlint // csv returns io.EOF itself
		return nil
	}
	if err != nil {
		return fmt.Errorf("the first line is no CSV: %w", err)
	}
	at, heading, err := addressColumn(first, column)
	if err != nil {
		return err
	}
	line, _ := r.FieldPos(0)
	if !heading {
		each(cell(first, at, line))
	}
	for {
		record, err := r.Read()
		if err == io.EOF { //nolint:errorlint // csv returns io.EOF itself
			return nil
		}
		if parse, ok := errors.AsType[*csv.ParseError](err); ok {
			each(row{line: parse.Line, why: "no CSV"})
			continue
		}
		line, _ := r.FieldPos(0)
		each(cell(record, at, line))
	}
}

func cell(record []string, at, line int) row {
	if at >= len(record) {
		return row{line: line, why: "has no such column"}
	}
	return row{line: line, text: strings.TrimSpace(record[at])}
}

// addressColumn finds the column from its name or number (from 1), or by
// itself: a known heading, or the only cell that holds an "@".
func addressColumn(first []string, column string) (at int, heading bool, err error) {
	if n, err := strconv.Atoi(column); err == nil {
		if n < 1 || n > len(first) {
			return 0, false, fmt.Errorf("there is no column %d: the first line has %d", n, len(first))
		}
		return n - 1, !strings.Contains(first[n-1], "@"), nil
	}
	var named, holding []int
	for i, c := range first {
		if column != "" && strings.EqualFold(strings.TrimSpace(c), column) || column == "" && isHeading(c) {
			named = append(named, i)
		}
		if strings.Contains(c, "@") {
			holding = append(holding, i)
		}
	}
	switch {
	case len(named) == 1:
		return named[0], true, nil
	case column != "":
		return 0, false, fmt.Errorf("no column, or more than one, is called %q", column)
	case len(named) == 0 && len(holding) == 1:
		return holding[0], false, nil
	case len(named) == 0 && len(first) == 1:
		return 0, true, nil
	}
	return 0, false, fmt.Errorf("which of the %d columns holds the addresses? Say it with --column", len(first))
}

// jsonRows takes one key of each object.
func jsonRows(text []byte, column string, each func(row)) error {
	n := 0
	for line := range bytes.Lines(text) {
		n++
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		var object map[string]any
		if err := json.Unmarshal(line, &object); err != nil {
			each(row{line: n, why: "no JSON object"})
			continue
		}
		each(member(object, column, n))
	}
	return nil
}

func member(object map[string]any, column string, line int) row {
	found := row{line: line, why: "has no key with an address"}
	for key, value := range object {
		s, isText := value.(string)
		if !isText || column != "" && key != column || column == "" && !isHeading(key) {
			continue
		}
		if found.why == "" {
			return row{line: line, why: "has several keys with an address"}
		}
		found = row{line: line, text: strings.TrimSpace(s)}
	}
	return found
}
