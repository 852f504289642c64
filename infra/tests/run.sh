#!/bin/sh
# Everything that can be tested of the templates without AWS: what 'make infra-test' calls.
# Needs python3 (3.11 to 3.13) and a package index; fetches the rest with uv, as the lock files say.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
export UV_PYTHON_DOWNLOADS=never UV_NO_PROGRESS=1
export UV_SYSTEM_CERTS=1 UV_NATIVE_TLS=1   # a company proxy signs with an authority that only the system knows
unset VIRTUAL_ENV

if ! command -v uv >/dev/null 2>&1; then
  # Into a folder of its own: Debian's Python is externally managed and may lack venv.
  tools=${XDG_CACHE_HOME:-$HOME/.cache}/ses-migration-infra
  if [ ! -x "$tools/bin/uv" ]; then
    if ! python3 -m pip --version >/dev/null 2>&1; then
      echo "infra-test: neither uv nor pip is here; installing python3-pip" >&2
      { [ "$(id -u)" = 0 ] && apt-get update -qq && apt-get install -y -qq python3-pip; } ||
        { echo "infra-test: install uv or python3-pip first" >&2; exit 1; }
    fi
    python3 -m pip install -q --root-user-action=ignore --disable-pip-version-check --upgrade --target "$tools" 'uv>=0.5'
  fi
  PATH=$tools/bin:$PATH
fi

sh "$here/../../scripts/need.sh" infra
uv sync -q --frozen --project "$here/.."
uv sync -q --frozen --project "$here"
if [ -z "${RELAY_BINARY-}" ] && [ -x "$here/../../bin/relay" ]; then
  RELAY_BINARY=$(cd "$here/../../bin" && pwd)/relay
  export RELAY_BINARY
fi
cd "$here"
exec uv run -q --frozen --project "$here" pytest "$@"
