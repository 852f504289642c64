package config

import (
	"reflect"
	"strings"
)

// Example returns a file with every key at its default, which can be loaded.
func Example() string {
	var b strings.Builder
	exampleSection(&b, reflect.ValueOf(Default()).Elem(), "", "")
	return b.String()
}

// exampleSection writes the keys of v, one a line.
func exampleSection(b *strings.Builder, v reflect.Value, path, indent string) {
	for _, f := range fieldsOf(v.Type()) {
		value := v.Field(f.index)
		full := join(path, f.key)
		switch {
		case isSection(f.typ):
			b.WriteString(indent + f.key + ":\n")
			exampleSection(b, value, full, indent+"  ")
		case full == "hostname":
			b.WriteString("hostname: \"\"                         # the machine's name\n")
		case full == "listeners":
			b.WriteString(indent + f.key + ":\n")
			exampleItems(b, value, full+"[]", indent+"  ")
		default:
			b.WriteString(indent + f.key + ": " + render(f, value) + "\n")
		}
	}
}

// exampleItems writes a list of sections in YAML's long form.
func exampleItems(b *strings.Builder, v reflect.Value, path, indent string) {
	for i := range v.Len() {
		var item strings.Builder
		exampleSection(&item, v.Index(i), path, indent+"  ")
		b.WriteString(indent + "- " + strings.TrimPrefix(item.String(), indent+"  "))
	}
}
