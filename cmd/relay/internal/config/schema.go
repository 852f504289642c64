package config

import (
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
)

// variable is what a scalar may hold instead of its value.
const variable = `\$\{[A-Za-z_][A-Za-z0-9_]*\}`

// Schema returns docs/configuration.schema.json: JSON Schema 2020-12.
func Schema() string {
	root := sectionSchema(reflect.ValueOf(Default()).Elem(), "")
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = "relay.yaml"
	out, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		panic(err) // maps, strings and numbers only
	}
	return string(out) + "\n"
}

type schema = map[string]any

// sectionSchema describes a section with the defaults that v holds.
func sectionSchema(v reflect.Value, path string) schema {
	properties, required := schema{}, []string{}
	for _, f := range fieldsOf(v.Type()) {
		full := join(path, f.key)
		s := keySchema(f, v.Field(f.index), full)
		s["description"] = docs[full]
		properties[f.key] = s
		if f.required && strings.HasSuffix(path, "[]") {
			required = append(required, f.key)
		}
	}
	s := schema{"type": "object", "additionalProperties": false, "properties": properties}
	if len(required) > 0 {
		s["required"] = required
	}
	return s
}

func keySchema(f field, v reflect.Value, path string) schema {
	switch {
	case isSection(f.typ):
		return sectionSchema(v, path)
	case isList(f.typ):
		return listSchema(f, path)
	}
	s := scalarSchema(f)
	if !v.IsZero() && f.typ.Kind() != reflect.Pointer {
		s["default"] = schemaDefault(f, v)
	}
	return s
}

func listSchema(f field, path string) schema {
	s := schema{"type": "array"}
	if f.nonempty {
		s["minItems"] = 1
	}
	item := reflect.New(f.typ.Elem()).Elem()
	if d, ok := item.Addr().Interface().(interface{ setDefaults() }); ok {
		d.setDefaults()
	}
	s["items"] = keySchema(f.item(), item, path+"[]")
	return s
}

// scalarSchema describes one value; every value may come from the environment.
func scalarSchema(f field) schema {
	fromEnv := schema{"type": "string", "pattern": variable}
	anyOf := func(s schema) schema { return schema{"anyOf": []any{s, fromEnv}} }
	t := f.typ
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case len(f.enum) > 0:
		return anyOf(schema{"enum": f.enum})
	case f.typ == durationType:
		return schema{"type": "string", "pattern": `^([0-9.]+(ns|us|ms|s|m|h))+$|^0$|` + variable}
	case f.form == "size":
		return schema{"type": []string{"string", "integer"}, "pattern": `^[0-9]+ ?([KMGT]i)?B?$|` + variable}
	case f.form == "percent":
		return anyOf(schema{"type": "number", "minimum": 0, "maximum": 100})
	case f.form == "auto":
		return schema{"anyOf": []any{schema{"const": "auto"}, number(f, t), fromEnv}}
	case t.Kind() == reflect.Bool:
		return anyOf(schema{"type": "boolean"})
	case t.Kind() == reflect.String || f.typ == prefixType:
		return schema{"type": "string"}
	}
	return anyOf(number(f, t))
}

func number(f field, t reflect.Type) schema {
	s := schema{"type": "integer"}
	if t.Kind() == reflect.Float64 {
		s["type"] = "number"
	}
	if f.min != "" {
		s["minimum"] = json.Number(f.min)
	}
	if f.max != "" {
		s["maximum"] = json.Number(f.max)
	}
	return s
}

func schemaDefault(f field, v reflect.Value) any {
	text := render(f, v)
	if f.typ == durationType || f.form == "size" || v.Kind() == reflect.String {
		if s, err := strconv.Unquote(text); err == nil {
			return s
		}
		return text
	}
	if v.Kind() == reflect.Bool {
		return v.Bool()
	}
	return json.Number(text)
}
