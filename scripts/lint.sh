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
# The vulnerability database is a service on the internet; without it there is
# nothing to compare with, and the build must not depend on its being up.
if curl -fsS -m 10 -o /dev/null https://vuln.go.dev/index/db.json 2>/dev/null; then
	go tool -modfile=tools.mod govulncheck ./...
else
	echo "govulncheck: not run, the vulnerability database cannot be reached from here"
fi
