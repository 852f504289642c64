#!/bin/sh
# gofmt, vet, staticcheck, known vulnerabilities. The import arrows are a test
# (internal/imports_test.go), run here too because it takes no time.
set -eu
cd "$(dirname "$0")/.."
unformatted=$(git ls-files -z '*.go' | xargs -0 gofmt -l)
if [ -n "$unformatted" ]; then
	echo "gofmt: run 'gofmt -w' on:" >&2
	echo "$unformatted" >&2
	exit 1
fi
go vet ./...
go tool -modfile=tools.mod staticcheck ./...
go test -count=1 ./internal/
sh scripts/vulnerabilities.sh
