#!/bin/sh
# CPU time and memory of a mail, from outside: relay serve beside Postfix and
# Haraka (loadtest/bench.go). Short unless BENCH=long. BENCH_FLAGS is added, for
# example "--relay old=/tmp/relay --relay new=bin/relay --peers ''". A first
# argument cpu, sizes or memory runs that part alone.
set -eu
cd "$(dirname "$0")/.."
${GO:-go} build -o bin/loadtest ./loadtest
case "${BENCH:-short}" in
long) form="--mails 20000 --rounds 9" ;;
*) form="--mails 8000 --rounds 3" ;;
esac
# shellcheck disable=SC2086
exec ./bin/loadtest bench "$@" $form ${BENCH_FLAGS:-}
