package main

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// typed is a command of relay as a document has it.
type typed struct {
	page, line string
	prose      bool // a mention in a sentence, which may leave values out
}

var (
	inCode  = regexp.MustCompile("`((?:(?:\\./)?bin/)?relay [a-z][^`]*)`")
	alone   = regexp.MustCompile(`^(?: {4,}|)(?:\$ )?((?:(?:\./)?bin/)?relay [a-z].*)$`)
	remarks = regexp.MustCompile(`  +#.*$| \.\.\.$`)

	optionalFlag = regexp.MustCompile(`\[(--[^]]*)\]`)
)

// typedCommands are those of all Markdown pages of the repository, each once a page.
func typedCommands(t *testing.T) (out []typed) {
	t.Helper()
	seen := map[typed]bool{}
	add := func(c typed) {
		c.line = strings.TrimPrefix(strings.TrimPrefix(remarks.ReplaceAllString(c.line, ""), "./"), "bin/")
		if c.prose {
			c.line = optionalFlag.ReplaceAllString(c.line, "$1")
		}
		if !seen[c] {
			seen[c], out = true, append(out, c)
		}
	}
	err := fs.WalkDir(os.DirFS("../.."), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			if name := d.Name(); err == nil && path != "." && (strings.HasPrefix(name, ".") || name == "node_modules" || name == "dist") {
				return fs.SkipDir
			}
			return err
		}
		if filepath.Ext(path) != ".md" {
			return nil
		}
		text, err := os.ReadFile(filepath.Join("../..", path))
		if err != nil {
			return err
		}
		fenced := false
		for line := range strings.Lines(string(text)) {
			line = strings.TrimRight(line, "\n")
			if strings.HasPrefix(strings.TrimSpace(line), "```") {
				fenced = !fenced
			}
			if m := alone.FindStringSubmatch(line); m != nil && (fenced || strings.HasPrefix(line, "    ")) {
				add(typed{page: path, line: m[1]})
				continue
			}
			for _, m := range inCode.FindAllStringSubmatch(line, -1) {
				add(typed{page: path, line: m[1], prose: true})
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// shellWords lets a real shell take a line apart: quotes, redirections and pipes are
// its business. Of the line only relay is run, and it is this function.
func shellWords(t *testing.T, line string) []string {
	t.Helper()
	dir := t.TempDir()
	script := "relay() { printf '%s\\0' \"$@\" >argv; }\n" + line + "\n"
	cmd := exec.Command("sh", "-c", script)
	cmd.Dir, cmd.Env = dir, []string{"PATH=/nonexistent"}
	if out, err := exec.Command("sh", "-n", "-c", script).CombinedOutput(); err != nil {
		t.Errorf("the shell does not read %q: %s", line, out)
		return nil
	}
	cmd.Run() // what stands behind a pipe is not found
	argv, err := os.ReadFile(filepath.Join(dir, "argv"))
	if err != nil {
		t.Errorf("%q runs no relay: %v", line, err)
		return nil
	}
	return strings.Split(string(bytes.TrimSuffix(argv, []byte{0})), "\x00")
}

// understood says whether the command line is one that relay would begin to do.
func understood(args []string, prose bool) error {
	root := newRoot(&cli{in: strings.NewReader(""), out: new(bytes.Buffer), err: new(bytes.Buffer), getenv: func(string) string { return "" }})
	cmd, rest, err := root.Find(args)
	if err != nil {
		return err
	}
	if err := cmd.ParseFlags(rest); err != nil {
		if prose && strings.HasPrefix(err.Error(), "flag needs an argument") {
			return nil
		}
		return err
	}
	left := cmd.Flags().Args()
	if cmd.HasSubCommands() && len(left) > 0 {
		return errors.New("no such command: " + left[0])
	}
	if prose && len(left) == 0 {
		return nil
	}
	return errors.Join(cmd.ValidateArgs(left), cmd.ValidateRequiredFlags())
}

// Every relay command in every document is one that relay takes: the command, its
// options, and where it can be pasted the number of its arguments.
func TestDocumentsHaveCommandsThatExist(t *testing.T) {
	t.Parallel()
	all := typedCommands(t)
	pasted := 0
	for _, c := range all {
		if !c.prose {
			pasted++
		}
		if args := shellWords(t, c.line); args != nil {
			if err := understood(args, c.prose); err != nil {
				t.Errorf("%s: %q: %v", c.page, c.line, err)
			}
		}
	}
	if len(all) < 140 || pasted < 40 {
		t.Errorf("only %d commands were found, %d of them to paste", len(all), pasted)
	}
	for _, wrong := range []string{"splt set 10", "split set 10 --raeson x", "split sett 10", "brake --percent 5", "suppression import", "rollout promotte"} {
		if understood(strings.Fields(wrong), false) == nil {
			t.Errorf("relay %s passed", wrong)
		}
	}
}
