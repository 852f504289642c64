# Every target installs what it needs on Debian and Ubuntu; see scripts/need.sh.
GO        ?= go
# The Go that everything is built and tested with, fetched like a module where it
# is not at hand. GOTOOLCHAIN=local takes the installed one (1.26 or newer).
export GOTOOLCHAIN ?= go1.27.3
TOOL      := $(GO) tool -modfile=tools.mod
VERSION   ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
DATE      ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 0)
COMMIT    ?= $(shell git rev-parse --short HEAD 2>/dev/null || echo unknown)
LDFLAGS   := -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)
RACE      ?= -race
# Without it grpc brings html/template, and the binary is 76 % larger (docs/decisions.md).
TAGS      := grpcnotrace
ARCH      ?= $(shell $(GO) env GOARCH)
TESTFLAGS ?=

.PHONY: build run test lint vulnerabilities bench loadtest image deb lambda infra-test chaos fuzz test-firefox vendor-console pictures docs clean

build: ## one static binary in bin/
	CGO_ENABLED=0 $(GO) build -tags $(TAGS) -trimpath -ldflags '$(LDFLAGS)' -o bin/relay ./cmd/relay

run: build ## the whole system on loopback, nothing installed: relay demo
	./bin/relay demo

test: build ## everything a reviewer would run: real Postfix, Redis, moto, Sceptre
	sh scripts/need.sh test
	sh scripts/test.sh $(RACE) $(TESTFLAGS)
	sh infra/tests/run.sh

lint: ## gofmt, vet, staticcheck, import arrows, known vulnerabilities
	sh scripts/lint.sh

vulnerabilities: ## govulncheck, also where only a module proxy can be reached
	sh scripts/vulnerabilities.sh

bench: build ## Go benchmarks and the CPU time of a mail beside Postfix and Haraka, ready for benchstat
	sh scripts/need.sh bench
	$(GO) test -run '^$$' -bench . -benchmem -count=$${COUNT:-6} ./internal/... ./cmd/relay | tee bench.out
	sh scripts/bench.sh | tee bench-e2e.out

loadtest: build ## 100,000 mails a minute for one minute, and its report
	sh scripts/loadtest.sh

image: ## a container image without an engine, and its SBOM: dist/relay-image.tar, dist/relay-image.cdx.json
	mkdir -p dist
	CGO_ENABLED=0 GOOS=linux GOARCH=$(ARCH) $(GO) build -tags $(TAGS) -trimpath -ldflags '$(LDFLAGS)' -o dist/relay-linux-$(ARCH) ./cmd/relay
	cd scripts/image && $(GO) run . -binary ../../dist/relay-linux-$(ARCH) -arch $(ARCH) -tag sesrelay:$(VERSION) -out ../../dist/relay-image.tar -version '$(VERSION)' -sbom ../../dist/relay-image.cdx.json

deb: build ## Debian packages for the machines beside Postfix: dist/sesrelay_*_{amd64,arm64}.deb
	mkdir -p dist
	set -e; for arch in amd64 arm64; do \
		CGO_ENABLED=0 GOOS=linux GOARCH=$$arch $(GO) build -tags $(TAGS) -trimpath -ldflags '$(LDFLAGS)' -o dist/relay-linux-$$arch ./cmd/relay; \
		(cd packaging/deb && $(GO) run . -sources ../.. -binary ../../dist/relay-linux-$$arch -host-binary ../../bin/relay \
			-arch $$arch -version '$(VERSION)' -date $(DATE) -out ../../dist); \
	done

lambda: ## the masking Lambda for infra/: dist/mask-events.zip, the same bytes from the same sources
	mkdir -p dist/lambda
	CGO_ENABLED=0 GOOS=linux GOARCH=arm64 $(GO) build -tags lambda.norpc -trimpath -buildvcs=false -ldflags '-s -w' -o dist/lambda/bootstrap ./infra/lambda/mask-events
	python3 -c "import zipfile; z = zipfile.ZipFile('dist/mask-events.zip', 'w', zipfile.ZIP_DEFLATED); i = zipfile.ZipInfo('bootstrap'); i.external_attr = 0o755 << 16; i.compress_type = zipfile.ZIP_DEFLATED; z.writestr(i, open('dist/lambda/bootstrap', 'rb').read()); z.close()"
	@echo "upload as mask-events/$$(sha256sum dist/mask-events.zip | cut -c1-16).zip"

infra-test: build ## the Sceptre project: linted, rendered, deployed into an emulator
	sh infra/tests/run.sh

chaos: ## minutes of failures: shared state, both next hops, instances, Redis, disk, abuse; CHAOS_HISTORIES=100 plays fewer months; results in docs/reliability.md
	sh scripts/need.sh test
	$(GO) test $(RACE) -count=1 -tags chaos -timeout 60m -run "Chaos|Disorder|TakesOff" -v ./internal/split
	E2E_LONG=1 PATH="$$PWD/.cache/venv/bin:$$PATH:/usr/sbin" $(GO) test -count=1 -timeout 90m -v ./test/e2e \
		-run '^(TestConservation|TestFleetConservation|TestKill|TestDrain.*|TestOutOfDescriptors|TestDisk.*|TestRefusedChangeLeavesTheFile|TestClockJump.*)$$'
	E2E_LONG=1 PATH="$$PWD/.cache/venv/bin:$$PATH:/usr/sbin" $(GO) test -count=1 -timeout 10m -v ./test/e2e -run '^TestRollingRestartAtPeak$$'
	E2E_LONG=1 PATH="$$PWD/.cache/venv/bin:$$PATH:/usr/sbin" $(GO) test -count=1 -timeout 30m -v ./test/e2e -run '^(TestAbuse|TestMemoryLong)$$'
	$(GO) test -count=1 -timeout 30m -v ./internal/relay -run '^Test(Fleet)?Simulation$$' -args -seeds 20000
	GOGC=400 ROLLOUT_HISTORIES=$${CHAOS_HISTORIES:-3000} $(GO) test -count=1 -timeout 60m -v ./internal/rollout -run '^TestMonth$$'

fuzz: ## every fuzz target for FUZZTIME (30s) each
	sh scripts/fuzz.sh $${FUZZTIME:-30s}

test-firefox: ## the console in Firefox, by keys alone; make test has the thorough tests, in Chromium
	sh scripts/need.sh firefox
	$(GO) test -tags firefox -count=1 -run TestFirefox -timeout 15m -v ./test/console

vendor-console: ## the console's chart library anew, as test/console/package-lock.json pins it
	sh scripts/need.sh console
	cp test/console/node_modules/uplot/dist/uPlot.iife.min.js test/console/node_modules/uplot/dist/uPlot.min.css test/console/node_modules/uplot/LICENSE internal/admin/console/uplot/

pictures: ## docs/images/console*.png anew, of real relays in the states that matter at night: look at them
	sh scripts/need.sh pictures
	PICTURES=$(CURDIR)/docs/images $(GO) test -tags pictures -count=1 -run TestPictures -timeout 10m ./test/console

docs: build ## docs/configuration.md and its JSON Schema, from the code
	./bin/relay config docs > docs/configuration.md
	./bin/relay config schema > docs/configuration.schema.json

clean:
	rm -rf bin dist bench.out bench-e2e.out
