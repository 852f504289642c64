package config

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// maxFile bounds the file: a configuration is a few kilobytes, and on some
// nonsense the YAML parser's time grows with the square of the length.
const maxFile = 64 * kib

// Load reads and checks the file at path. Mistakes are an *Error; warnings are
// returned in either case. An empty hostname becomes the machine's name.
func Load(path string) (*Config, []Warning, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, fmt.Errorf("configuration: %w (name the file with --config; docs/configuration.md shows one with every default)", err)
	}
	c, warnings, err := Parse(path, data)
	if err != nil {
		return nil, warnings, err
	}
	return c, warnings, c.named()
}

// Examine reads the file at path for a report. The configuration comes with
// mistakes in it, too, each with its default, unless there was nothing to read;
// place says where in the file a key stands, such as "relay.yaml:7:3".
func Examine(path string) (c *Config, place func(key string) string, warnings []Warning, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("configuration: %w (name the file with --config; docs/configuration.md shows one with every default)", err)
	}
	c, r := read(path, data, os.LookupEnv)
	place = func(key string) string {
		p := r.place(key)
		return fmt.Sprintf("%s:%d:%d", path, p.line, p.col)
	}
	warnings, err = r.result()
	return c, place, warnings, errors.Join(err, c.named())
}

// named takes the machine's name where none is given.
func (c *Config) named() (err error) {
	if c.Hostname == "" {
		if c.Hostname, err = os.Hostname(); err != nil {
			return fmt.Errorf("configuration: no hostname given, and the machine has none: %w", err)
		}
	}
	return nil
}

// Parse reads and checks a configuration. name stands in the messages. It reads
// nothing but data and, for ${NAME}, the environment.
func Parse(name string, data []byte) (*Config, []Warning, error) {
	return parse(name, data, os.LookupEnv)
}

func parse(name string, data []byte, lookup func(string) (string, bool)) (*Config, []Warning, error) {
	c, r := read(name, data, lookup)
	warnings, err := r.result()
	if err != nil {
		return nil, warnings, err
	}
	return c, warnings, nil
}

// read decodes and checks what can be read.
func read(name string, data []byte, lookup func(string) (string, bool)) (*Config, *report) {
	r := &report{file: name, at: map[string]position{}}
	c := Default()
	if body := readYAML(r, data); body != nil {
		d := &decoder{report: r, lookup: lookup}
		d.section(body, reflect.ValueOf(c).Elem(), "")
		check(r, c)
	}
	return c, r
}

// readYAML returns the one document of data, or nil when there is none or when
// it is not YAML, which is then the only mistake that can be reported.
func readYAML(r *report, data []byte) ast.Node {
	if len(data) > maxFile {
		r.wrong("", fmt.Sprintf("the file is larger than %s", formatSize(maxFile)), "is this the configuration?")
		return nil
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	data = bytes.ReplaceAll(bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n")), []byte("\r"), []byte("\n"))
	if !utf8.Valid(data) || bytes.IndexByte(data, 0) >= 0 {
		r.wrongAt(badByte(data), "", "the file is not UTF-8 text", "save it as UTF-8")
		return nil
	}
	file, err := parseYAML(data)
	if err != nil {
		syntaxMistake(r, err, strings.Split(string(data), "\n"))
		return nil
	}
	return document(r, file)
}

// parseYAML keeps a panic of the parser on odd input from ending the relay at a reload.
func parseYAML(data []byte) (f *ast.File, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = errors.New("not readable as YAML")
		}
	}()
	if deepest(data) > maxDepth {
		return nil, errors.New("nested too deeply")
	}
	return parser.ParseBytes(data, 0, parser.AllowDuplicateMapKey())
}

// maxDepth bounds the nesting; the deepest key of the configuration is at 4.
const maxDepth = 200

// deepest bounds the nesting of data from above: brackets that are open, and
// block indicators at the start of one line.
func deepest(data []byte) int {
	open, line, most := 0, 0, 0
	start := true // only indicators and blanks so far in this line
	for _, b := range data {
		switch b {
		case '[', '{':
			open++
		case ']', '}':
			open = max(0, open-1)
		case '\n':
			line, start = 0, true
		case '-', '?', ':', '&', '!', '*':
			if start {
				line++
			}
		case ' ':
		default:
			start = false
		}
		most = max(most, open, line)
	}
	return most
}

// document returns the body of the only document.
func document(r *report, file *ast.File) ast.Node {
	var body ast.Node
	for _, doc := range file.Docs {
		switch n := doc.Body.(type) {
		case nil, *ast.NullNode, *ast.CommentGroupNode, *ast.DirectiveNode:
		default:
			if body != nil {
				r.wrongAt(nodeAt(n), "", "a second YAML document begins here", "keep one document in the file")
				return body
			}
			body = n
		}
	}
	if body == nil {
		return ast.Mapping(token.New("", "", &token.Position{Line: 1, Column: 1}), false)
	}
	return body
}

// syntaxMistake records the parser's error with its position, kept inside the file.
func syntaxMistake(r *report, err error, lines []string) {
	p, text := position{1, 1}, err.Error()
	if e, ok := errors.AsType[yaml.Error](err); ok {
		text = e.GetMessage()
		if e.GetToken() != nil {
			p = tokenAt(e.GetToken())
		}
	}
	p.line = min(p.line, len(lines))
	fix := "correct the YAML"
	switch {
	case strings.Contains(text, "\t"):
		text, fix = strings.ReplaceAll(text, "\t", "TAB"), "indent with spaces"
	case strings.Contains(lines[p.line-1], "${"):
		fix = `write "${NAME}" with quotes inside { } and [ ]`
	}
	r.wrongAt(p, "", "not valid YAML: "+text, fix+"; other mistakes can be seen only after that")
}

func tokenAt(t *token.Token) position {
	if t == nil || t.Position == nil {
		return position{1, 1}
	}
	return position{max(1, t.Position.Line), max(1, t.Position.Column)}
}

// badByte returns where the first byte stands that is not text.
func badByte(data []byte) position {
	p := position{1, 1}
	for len(data) > 0 {
		r, n := utf8.DecodeRune(data)
		if r == 0 || r == utf8.RuneError && n == 1 {
			return p
		}
		if p.col++; r == '\n' {
			p = position{p.line + 1, 1}
		}
		data = data[n:]
	}
	return p
}
