#!/bin/sh
# Installs what the given target needs and the machine lacks. On Debian and
# Ubuntu it installs; elsewhere it names what is missing, and the tests that
# need it say that they were skipped.
set -eu
cd "$(dirname "$0")/.."
CACHE=.cache

root() {
	if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# debian PROGRAM=PACKAGE ... installs the packages whose program is missing.
debian() {
	missing=""
	for pair in "$@"; do
		if ! PATH="$PATH:/usr/sbin" command -v "${pair%%=*}" >/dev/null 2>&1; then
			missing="$missing ${pair#*=}"
		fi
	done
	[ -n "$missing" ] || return 0
	if ! command -v apt-get >/dev/null 2>&1; then
		echo "missing, and this is not Debian or Ubuntu:$missing" >&2
		return 0
	fi
	echo "installing$missing"
	export DEBIAN_FRONTEND=noninteractive
	root apt-get -qq update
	# shellcheck disable=SC2086
	root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y install --no-install-recommends $missing >/dev/null
}

# python makes the virtual environment with the Python tools of test/requirements.txt.
python() {
	stamp="$CACHE/venv/.$(cksum <test/requirements.txt | cut -d' ' -f1)"
	[ -e "$stamp" ] && return 0
	if ! command -v uv >/dev/null 2>&1; then
		python3 -c 'import ensurepip' 2>/dev/null || debian "python3-venv-missing=python3-venv"
	fi
	rm -rf "$CACHE/venv"
	mkdir -p "$CACHE"
	if command -v uv >/dev/null 2>&1; then
		uv venv -q "$CACHE/venv"
		uv pip install -q --python "$CACHE/venv/bin/python" -r test/requirements.txt
	else
		python3 -m venv "$CACHE/venv"
		"$CACHE/venv/bin/pip" install -q --disable-pip-version-check -r test/requirements.txt
	fi
	touch "$stamp"
}

# haraka installs the relay that the benchmarks compare with, in a folder of its own.
haraka() {
	[ -d "$CACHE/haraka/node_modules/Haraka" ] && return 0
	command -v npm >/dev/null 2>&1 || return 0 # the benchmark says that it is not there
	mkdir -p "$CACHE/haraka"
	npm install --prefix "$CACHE/haraka" --no-audit --no-fund --loglevel=error Haraka@3.3.4 >/dev/null
}

# npm_packages puts the pinned packages of a folder into its node_modules.
npm_packages() {
	stamp="$1/node_modules/.$(cksum <"$1/package-lock.json" | cut -d' ' -f1)"
	[ -e "$stamp" ] && return 0
	debian npm=npm
	(cd "$1" && npm ci --silent --no-audit --no-fund)
	touch "$stamp"
}

case "${1:-}" in
test)
	debian postfix=postfix redis-server=redis-server swaks=swaks openssl=openssl zsh=zsh fish=fish python3=python3 systemd-analyze=systemd \
		chromium=chromium 'cc=gcc libc6-dev' # the race detector needs a C compiler
	debian promtool=prometheus # tests rules and dashboards
	# Postfix gives a password only with it; Debian merely recommends it.
	ls /usr/lib/*/sasl2/libplain.so* >/dev/null 2>&1 || debian sasl-plain-missing=libsasl2-modules
	# swaks speaks TLS only with it, and no program comes with it to look for.
	perl -MNet::SSLeay -e 1 2>/dev/null || debian net-ssleay-missing=libnet-ssleay-perl
	python
	npm_packages test/console
	;;
console)
	npm_packages test/console
	;;
pictures)
	# Without such a font Japanese is boxes.
	fc-list :lang=ja 2>/dev/null | grep -q . || debian noto-cjk-missing=fonts-noto-cjk
	debian chromium=chromium redis-server=redis-server
	npm_packages test/console
	;;
firefox)
	debian firefox-esr=firefox-esr node=nodejs
	npm_packages test/console/firefox
	;;
bench)
	debian postfix=postfix node=nodejs npm=npm
	haraka || echo "Haraka could not be installed: it will not be measured" >&2
	;;
infra) # for infra/tests/run.sh alone
	debian redis-server=redis-server openssl=openssl
	;;
*)
	echo "usage: need.sh test|bench|infra|console|firefox|pictures" >&2
	exit 2
	;;
esac
