package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"sesrelay/internal/simulator"
)

func logSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	schema, err := jsonschema.NewCompiler().Compile("../../docs/log.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// validLog holds every line against the schema and returns the lines.
func validLog(t *testing.T, text string) []map[string]any {
	t.Helper()
	schema := logSchema(t)
	for line := range strings.Lines(text) {
		doc, err := jsonschema.UnmarshalJSON(strings.NewReader(line))
		if err == nil {
			err = schema.Validate(doc)
		}
		if err != nil {
			t.Errorf("%v\nin %s", err, line)
		}
	}
	return logLines(t, text)
}

// everyOtherEnding sends mail that fails over, is unknown, deferred, rejected
// and a duplicate, and one with a refused recipient. The split is at 100 %.
func (c *contract) everyOtherEnding(received string) {
	c.t.Helper()
	n := 0
	send := func(want int, ses, cuenote simulator.Fault, more ...string) {
		c.t.Helper()
		var err error
		if ses.Name != "" {
			err = c.ses.Faults().Set(ses)
		}
		if cuenote.Name != "" && err == nil {
			err = c.cuenote.Faults().Set(cuenote)
		}
		if err != nil {
			c.t.Fatal(err)
		}
		n++
		c.submit(want, "taro@goo.ne.jp", received+fmt.Sprintf("From: <taro@goo.ne.jp>\r\nMessage-ID: <%d@goo.ne.jp>\r\n\r\nhi\r\n", n), more...)
		c.ses.Faults().Clear()
		c.cuenote.Faults().Clear()
	}
	none := simulator.Fault{}
	send(250, simulator.Fault{Name: simulator.FaultThrottled}, none) // takes Cuenote
	send(451, simulator.Fault{Name: simulator.FaultCutAfterRecord}, none)
	send(4, simulator.Fault{Name: simulator.FaultThrottled}, simulator.Fault{Name: simulator.FaultReply})
	send(250, none, none)
	n--
	send(250, none, none) // the same again
	c.want(200, "POST", "/v1/brake", "", nil)
	send(5, none, simulator.Fault{Name: simulator.FaultReply, Code: 554})
	send(250, none, simulator.Fault{Name: simulator.FaultReply, At: simulator.AtRCPT, Address: "jiro@docomo.ne.jp", Code: 550}, "jiro@docomo.ne.jp")
}

// Every line of a run in which mail ends in every way is as documented, and its
// ids are those that the neighbours' logs have.
func TestLogOfARunIsAsDocumented(t *testing.T) {
	t.Parallel()
	c := newContractOf(t, simulator.Account{MaxSendRate: 1000, Max24HourSend: 1e6})
	received := "Received: from web by mta01.goo.ne.jp (Postfix) with ESMTP id 4dFxYz0Abc; " + time.Now().Format(time.RFC1123Z) + "\r\n"
	cuenote := c.mail("taro@goo.ne.jp", received)
	c.want(200, "PUT", "/v1/split", `{"ses_percent":100,"reason":"r","force":true}`, []string{`If-Match: "0"`})
	ses := c.mail("taro@goo.ne.jp", received)
	c.everyOtherEnding(received)
	c.write("  - address: not an address")
	c.hangup(func() error { return c.reload(t.Context(), c.path) })
	c.api("PUT", "/v1/split", `{"ses_percent":0}`)
	c.stop()
	waitFor(t, "the drain ends", func() bool { return strings.Contains(c.log.String(), `"drained"`) })

	lines := validLog(t, c.log.String())
	seen, endings, fields := map[string]map[string]any{}, map[string]bool{}, map[string]bool{}
	for _, line := range lines {
		kind := fmt.Sprintf("%v %v", line["msg"], line["upstream"])
		if seen[kind] == nil {
			seen[kind] = line
		}
		endings[fmt.Sprintf("%v %v", line["level"], line["outcome"])] = true
		for field := range line {
			fields[field] = true
		}
	}
	for _, ending := range []string{"INFO accepted", "INFO duplicate", "WARN deferred", "WARN rejected", "ERROR unknown"} {
		if !endings[ending] {
			t.Errorf("no transaction ended %s: this run shows too little", ending)
		}
	}
	for _, field := range []string{"attempts", "refused", "error", "first_id", "fingerprint"} {
		if !fields[field] {
			t.Errorf("no line has %s: this run shows too little", field)
		}
	}
	for _, msg := range []string{"ready", "draining", "drained", "audit", "reload refused: the old configuration stays in force"} {
		if seen[msg+" <nil>"] == nil {
			t.Errorf("no line %q", msg)
		}
	}
	for upstream, reply := range map[string]string{"ses": ses, "cuenote": cuenote} {
		line := seen["transaction "+upstream]
		if line == nil {
			t.Fatalf("no transaction with %s", upstream)
		}
		if line["queue_id"] != "4dFxYz0Abc" || line["reply"] != reply || !strings.Contains(reply, fmt.Sprint(line["id"])) ||
			line["upstream_id"] == nil || !strings.Contains(reply, fmt.Sprint(line["upstream_id"])) || line["delay_ms"] == nil {
			t.Errorf("%s: %v\nwas answered %q", upstream, line, reply)
		}
	}
}

// An event that is documented exists with this text: whoever filters by it is
// not left with a filter that matches nothing.
func TestDocumentedEventsExist(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/logging.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "## Events")
	texts := stringLiterals(t, "../..")
	found := 0
	for _, row := range regexp.MustCompile("(?m)^\\| (`[^|]+`) \\| (?:DEBUG|INFO|WARN|ERROR)").FindAllStringSubmatch(table, -1) {
		for name := range strings.SplitSeq(row[1], ", `") {
			found++
			if name = strings.Trim(name, "`"); !slices.Contains(texts, name) {
				t.Errorf("no event %q in the code", name)
			}
		}
	}
	if found < 15 {
		t.Errorf("only %d events in the table", found)
	}
}

// stringLiterals are those of the program's own files.
func stringLiterals(t *testing.T, root string) (out []string) {
	t.Helper()
	for _, dir := range []string{"cmd", "internal"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
					if s, err := strconv.Unquote(lit.Value); err == nil {
						out = append(out, s)
					}
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}
