#!/bin/sh
# Runs one scenario of loadtest/ against bin/relay, everything on this machine:
# 100k for a minute, unless SCENARIO says otherwise. LOADTEST_FLAGS is added,
# for example "--for 10m" or "--threshold added-p99=off".
set -eu
cd "$(dirname "$0")/.."
${GO:-go} build -o bin/loadtest ./loadtest
# shellcheck disable=SC2086
exec ./bin/loadtest "${SCENARIO:-100k}" --relay bin/relay ${LOADTEST_FLAGS:-} "$@"
