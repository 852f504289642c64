// Package config reads the relay's configuration file.
//
// The file is YAML and strict: an unknown key is a mistake, and so is a value
// that would do nothing. All mistakes are reported at once, each with its line
// and with what to write instead. Parse reads no file but the bytes it is given;
// secrets stand in files that are read by a step of their own (see secret.go).
//
// The struct tree in config.go is the only description of the keys: defaults,
// ranges and the texts of docs.go become docs/configuration.md and the JSON
// Schema for editors.
package config

//go:generate go run sesrelay/cmd/relay config docs --output ../../../../docs/configuration.md
//go:generate go run sesrelay/cmd/relay config schema --output ../../../../docs/configuration.schema.json
