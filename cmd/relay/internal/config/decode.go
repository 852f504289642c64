package config

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// decoder walks the YAML tree into the structs and goes on after a mistake.
type decoder struct {
	*report
	lookup func(string) (string, bool) // environment
}

// section reads a mapping into v, a struct that holds the defaults.
func (d *decoder) section(n ast.Node, v reflect.Value, path string) {
	m, ok := n.(ast.MapNode)
	if !ok {
		d.wrongAt(nodeAt(n), path, "must be a section of keys, not "+describe(n), "write "+example(v.Type()))
		return
	}
	fields := fieldsOf(v.Type())
	seen := map[string]bool{}
	for it := m.MapRange(); it.Next(); {
		d.key(it.KeyValue(), fields, v, path, seen)
	}
	for _, f := range fields {
		if f.required && !seen[f.key] && strings.HasSuffix(path, "]") {
			d.wrongAt(d.place(path), join(path, f.key), "is missing", "write "+f.key+": "+sample(f))
		}
	}
}

// key reads one "key: value" of a section.
func (d *decoder) key(kv *ast.MappingValueNode, fields []field, v reflect.Value, path string, seen map[string]bool) {
	name, at := keyName(kv.Key), nodeAt(kv.Key)
	full := join(path, name)
	i := indexOf(fields, name)
	if i < 0 {
		d.wrongAt(at, full, "unknown key", suggest(name, path, fields))
		return
	}
	if seen[name] {
		d.wrongAt(at, full, "is given twice in the same section", "keep one of them")
		return
	}
	seen[name] = true
	d.at[full] = at
	d.value(kv.Value, fields[i], v.Field(fields[i].index), full)
}

// value reads n into v by the kind of its field.
func (d *decoder) value(n ast.Node, f field, v reflect.Value, path string) {
	switch n := n.(type) {
	case *ast.AnchorNode, *ast.AliasNode, *ast.MergeKeyNode:
		d.wrongAt(nodeAt(n), path, "YAML anchors and aliases are not read", "write the value itself")
		return
	case *ast.TagNode:
		d.wrongAt(nodeAt(n), path, "YAML tags are not read", "remove "+n.Start.Value)
		return
	case nil, *ast.NullNode:
		remove := "remove the key for the default"
		if strings.HasSuffix(path, "]") {
			remove = "remove the item"
		}
		d.wrong(path, "has no value", remove+", or write "+sample(f))
		return
	}
	switch {
	case isSection(f.typ):
		d.section(n, v, path)
	case isList(f.typ):
		d.list(n, f, v, path)
	default:
		d.scalar(n, f, v, path)
	}
}

// list reads a sequence, which replaces the default.
func (d *decoder) list(n ast.Node, f field, v reflect.Value, path string) {
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		d.wrongAt(nodeAt(n), path, "must be a list, not "+describe(n), "write "+sample(f))
		return
	}
	if f.nonempty && len(seq.Values) == 0 {
		d.wrongAt(nodeAt(n), path, "must not be empty", "write "+sample(f))
	}
	out := reflect.MakeSlice(f.typ, len(seq.Values), len(seq.Values))
	for i, item := range seq.Values {
		at := fmt.Sprintf("%s[%d]", path, i)
		d.at[at] = nodeAt(item)
		if def, ok := out.Index(i).Addr().Interface().(interface{ setDefaults() }); ok {
			def.setDefaults()
		}
		d.value(item, f.item(), out.Index(i), at)
	}
	if out.Len() == 0 {
		out = reflect.Zero(f.typ) // one form of the empty list
	}
	v.Set(out)
}

// scalar reads a single value: its text, the environment in it, its form, its range.
func (d *decoder) scalar(n ast.Node, f field, v reflect.Value, path string) {
	at := nodeAt(n)
	raw, ok := scalarText(n)
	if !ok {
		d.wrongAt(at, path, "must be a single value, not "+describe(n), "write "+sample(f))
		return
	}
	text, err := expand(raw, d.lookup)
	read := reflect.New(f.typ).Elem()
	if err == nil {
		err = f.set(read, text)
	}
	if err == nil {
		v.Set(read)
		return
	}
	what, fix := err.what, err.fix
	if err.quote {
		what = quoted(f, raw) + " " + what
	}
	d.wrongAt(at, path, what, fix)
}

// quoted repeats the text as it stands in the file, before the environment was
// put in: that may be a secret.
func quoted(f field, raw string) string {
	if f.secret && !strings.HasPrefix(raw, "${") {
		return "the value"
	}
	if len(raw) > 80 {
		raw = raw[:77] + "..."
	}
	return fmt.Sprintf("%q", raw)
}

// indexOf returns the index of the field named key, or -1.
func indexOf(fields []field, key string) int {
	for i, f := range fields {
		if f.key == key {
			return i
		}
	}
	return -1
}
