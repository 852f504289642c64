package config

import (
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"
)

// docsDir is docs/ of the repository.
const docsDir = "../../../../docs/"

func TestGeneratedFilesAreCurrent(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"configuration.md": Markdown(), "configuration.schema.json": Schema()} {
		got, err := os.ReadFile(docsDir + name)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != want {
			t.Errorf("docs/%s is not what the code says: run go generate ./cmd/relay/internal/config", name)
		}
	}
}

func TestEveryKeyHasItsText(t *testing.T) {
	t.Parallel()
	keys := map[string]bool{}
	walk(reflect.TypeFor[Config](), "", func(path string, f field) {
		keys[path] = true
		if text := docs[path]; !strings.HasSuffix(text, ".") {
			t.Errorf("%s has no text of whole sentences: %q", path, text)
		}
	})
	for path := range docs {
		if !keys[path] {
			t.Errorf("text for %s, which is no key", path)
		}
	}
}

// TestTagsAreReadable sets every key to its own limits and samples: a form or a
// limit that cannot be read panics.
func TestTagsAreReadable(t *testing.T) {
	t.Parallel()
	walk(reflect.TypeFor[Config](), "", func(path string, f field) {
		if isList(f.typ) {
			f = f.item()
		}
		if isSection(f.typ) {
			return
		}
		for _, limit := range []string{f.min, f.max} {
			if limit != "" {
				f.bound(limit)
			}
		}
		_ = f.set(reflect.New(f.typ).Elem(), "x")
		if sample(f) == "" || f.form != "" && f.form != "file" && f.form != "size" && f.form != "percent" && f.form != "auto" && forms[f.form] == nil {
			t.Errorf("%s: no sample, or form %q is not known", path, f.form)
		}
	})
}

// TestSchemaNamesEveryKey follows the schema as an editor does.
func TestSchemaNamesEveryKey(t *testing.T) {
	t.Parallel()
	var root map[string]any
	if err := json.Unmarshal([]byte(Schema()), &root); err != nil {
		t.Fatal(err)
	}
	walk(reflect.TypeFor[Config](), "", func(path string, f field) {
		node := root
		for part := range strings.SplitSeq(path, ".") {
			name, list := strings.CutSuffix(part, "[]")
			properties, _ := node["properties"].(map[string]any)
			node, _ = properties[name].(map[string]any)
			if list && node != nil {
				node, _ = node["items"].(map[string]any)
			}
		}
		if node == nil || isSection(f.typ) && node["additionalProperties"] != false {
			t.Errorf("%s is not in the schema, or it is an open section", path)
		}
	})
}
