package config

import (
	"net/netip"
	"reflect"
	"strings"
	"time"
)

// field describes one key, from the tags of its struct field.
type field struct {
	key      string
	index    int
	typ      reflect.Type
	form     string   // how the text is read, beyond what typ says
	enum     []string // the words that are allowed
	min, max string   // in the form of the value
	required bool     // in an item of a list, or not to be emptied
	nonempty bool     // a list with at least one item
	secret   bool     // its text is never repeated in a message
}

// fieldsOf returns the keys of a section, in the order of the struct.
func fieldsOf(t reflect.Type) []field {
	fields := make([]field, 0, t.NumField())
	for i := range t.NumField() {
		sf := t.Field(i)
		f := field{
			key: sf.Tag.Get("key"), index: i, typ: sf.Type, form: sf.Tag.Get("form"),
			min: sf.Tag.Get("min"), max: sf.Tag.Get("max"),
			required: sf.Tag.Get("required") != "", nonempty: sf.Tag.Get("nonempty") != "",
			secret: sf.Tag.Get("secret") != "",
		}
		if words := sf.Tag.Get("enum"); words != "" {
			f.enum = strings.Split(words, "|")
		}
		fields = append(fields, f)
	}
	return fields
}

// item returns f as the description of one element of its list.
func (f field) item() field { f.typ = f.typ.Elem(); return f }

var (
	durationType = reflect.TypeFor[time.Duration]()
	prefixType   = reflect.TypeFor[netip.Prefix]()
)

// isSection reports whether t is a mapping of keys rather than a value.
func isSection(t reflect.Type) bool { return t.Kind() == reflect.Struct && t != prefixType }

// isList reports whether t is a list.
func isList(t reflect.Type) bool { return t.Kind() == reflect.Slice }

// join returns the path of a key inside parent.
func join(parent, key string) string {
	if parent == "" {
		return key
	}
	return parent + "." + key
}

// walk calls visit for every key below t, sections before their keys.
func walk(t reflect.Type, parent string, visit func(path string, f field)) {
	for _, f := range fieldsOf(t) {
		path := join(parent, f.key)
		visit(path, f)
		switch {
		case isSection(f.typ):
			walk(f.typ, path, visit)
		case isList(f.typ) && isSection(f.typ.Elem()):
			walk(f.typ.Elem(), path+"[]", visit)
		}
	}
}
