#!/bin/sh
# fuzz.sh [TIME [NAME]]: runs every fuzz target, or those whose name holds NAME,
# for TIME each, with one worker beside whatever else runs here. A finding is
# kept in testdata/fuzz of its package, and the others are run all the same.
# The last lines say what was run, for how long and with what result.
set -eu
cd "$(dirname "$0")/.."
time=${1:-30s}
name=${2:-}
report=$(mktemp)
trap 'rm -f "$report"' EXIT
status=0
for file in $(git ls-files '*_test.go' | xargs grep -l '^func Fuzz'); do
	package=$(dirname "$file")
	for target in $(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\).*/\1/p' "$file"); do
		case $target in *"$name"*) ;; *) continue ;; esac
		echo "== $package $target"
		began=$(date +%s)
		result=ok
		nice go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" -fuzzminimizetime 20x -parallel "${PARALLEL:-1}" "./$package" || { result=FAILED; status=1; }
		echo "$(($(date +%s) - began)) s  $result  $package $target" >>"$report"
	done
done
echo "== summary"
cat "$report"
exit $status
