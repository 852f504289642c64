#!/bin/sh
# Runs every Go test. Under CI a skipped test is a failure: it means that
# something was not installed and so not tested.
set -eu
cd "$(dirname "$0")/.."
PATH="$PWD/.cache/venv/bin:$PATH:/usr/sbin"
export PATH
mkdir -p .cache
report=.cache/test.json
status=0
go tool -modfile=tools.mod gotestsum --format pkgname --jsonfile "$report" -- -timeout 20m "$@" ./... || status=$?
(cd scripts/image && go test ./...) || status=$? # a module of its own
if grep -q '"Action":"skip".*"Test":' "$report"; then
	echo "skipped:"
	grep '"Action":"skip".*"Test":' "$report" | sed 's/.*"Package":"\([^"]*\)","Test":"\([^"]*\)".*/  \1 \2/'
	[ -z "${CI:-}" ] || status=1
fi
exit $status
