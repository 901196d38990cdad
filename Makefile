# The list of things one does here; `make help` prints it. CI calls nothing else (.ci/run).

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := build
.NOTPARALLEL:

export CGO_ENABLED ?= 0
GO        ?= go
CTEST     := ctest --test-dir
LINT      := $(GO) tool -modfile=tools/lint/go.mod golangci-lint
FUZZ_TIME ?= 10s
OUT       ?= demo.png
PROMPT    ?= a red circle on a blue background

# The race detector needs cgo, which our use of purego is not made for: only packages that are
# pure Go, with the fake backend where one is needed.
UNRACED = /(bindings|runtime/backend/native|cli/e2e|examples|tools)(/|$$)
RACE_PACKAGES = $(shell $(GO) list ./... | grep -vE '$(UNRACED)')

.PHONY: build
build: ## build libdaguerre-cpu.so and bin/daguerre
	@./build.sh cpu

.PHONY: vulkan
vulkan: ## build the Vulkan variant and bin/daguerre (VULKAN_FLAGS=--fetch-vulkan-headers on Debian 12)
	@./build.sh vulkan $(VULKAN_FLAGS)

.PHONY: cuda
cuda: ## build the CUDA variant and bin/daguerre (DAGUERRE_CUDA_ARCH chooses the GPUs)
	@./build.sh cuda

.PHONY: demo
demo: ## build, then make a picture with the embedded model (OUT, PROMPT)
	@DAGUERRE_STEPS=4 ./build.sh cpu
	@echo '[4/4] bin/daguerre demo'
	@bin/daguerre demo -o "$(OUT)" --prompt "$(PROMPT)"

.PHONY: release
release: ## archives for all systems into build/release, with SHA256SUMS (RELEASES chooses; docs/install.md)
	@tools/release.sh

.PHONY: test-levels
test-levels: ## the nano model's goldens with each level of the released libraries that this CPU has (after make release; LIBRARIES)
	@tools/test-levels.sh

.PHONY: engine-archive
engine-archive: ## the engine's sources as build/daguerre-engine.tar.gz, for build.sh --engine-from on machines without cargo
	@./build.sh --sources-only
	$(GO) run ./tools/enginetree -archive build/daguerre-engine.tar.gz build/engine

.PHONY: release-check
release-check: ## build the release twice, in two places without caches, and compare the sums (RELEASES, LEVELS)
	@tools/release-check.sh

.PHONY: release-smoke
release-smoke: export RELEASES = linux-amd64-cpu
release-smoke: export LEVELS = avx2
release-smoke: ## the shortest release-check: one archive with one library
	@tools/release-check.sh

.PHONY: install
install: export PREFIX ?= /usr/local
install: ## install what is built: program, library, licences, man pages, completions (PREFIX, DESTDIR; docs/install.md)
	@DESTDIR="$(DESTDIR)" tools/install.sh install

.PHONY: uninstall
uninstall: export PREFIX ?= /usr/local
uninstall: ## remove what make install put below PREFIX
	@DESTDIR="$(DESTDIR)" tools/install.sh uninstall

# These take longest. They begin first, so that the others run beside them.
LONGEST = ./runtime/pipeline ./cli/e2e

.PHONY: test
test: build ## go vet and every Go test, the native end-to-end tests among them
	$(GO) vet -tags csharp ./...
	$(GO) test -timeout 40m $(LONGEST) ./...

# Packages with tests that make race does not run.
PLAIN_PACKAGES = $(shell $(GO) list ./... | grep -E '$(UNRACED)') $(shell grep -rl --include='*_test.go' '^//go:build.*!race' cli internal runtime | \
	xargs -n1 dirname | sort -u | sed 's|^|./|')

.PHONY: test-plain
test-plain: build ## of make test what make race does not run; the two together are what CI runs
	$(GO) vet -tags csharp ./...
	$(GO) test -timeout 40m $(LONGEST) $(PLAIN_PACKAGES)

.PHONY: race
race: build ## pure Go packages under the race detector
	CGO_ENABLED=1 $(GO) test -race -timeout 20m $(RACE_PACKAGES)

.PHONY: test-native
test-native: ## C and C++ tests under the address and undefined behaviour sanitizers
	@./build.sh --asan --library-only
	@tools/compile-kernels.sh
	@$(GO) run ./tools/nanopath -table build/asan/nano.table
	DAGUERRE_TEST_TABLE="$(CURDIR)/build/asan/nano.table" \
	ASAN_OPTIONS=detect_leaks=1:strict_string_checks=1 UBSAN_OPTIONS=print_stacktrace=1 \
	$(CTEST) build/asan --output-on-failure

.PHONY: test-csharp
test-csharp: build ## the worker's client in C# under Mono, with the real worker (apt install mono-mcs mono-runtime libnewtonsoft-json5.0-cil)
	$(GO) test -count 1 -timeout 20m -tags csharp -run TestCSharp ./cli/e2e

# huggingface_hub is pinned in tools/hubpython/requirements.txt, in a place of its own.
HUBPYTHON := build/tools/hubpython

$(HUBPYTHON)/installed: tools/hubpython/requirements.txt
	@python3 -m venv $(@D)
	@$(@D)/bin/pip install --quiet --disable-pip-version-check -r $<
	@touch $@

.PHONY: test-hub
test-hub: build $(HUBPYTHON)/installed ## models by name and the Python package huggingface_hub in one cache, both directions; no socket without a pull (strace; FOLDER=on a file system without links)
	$(GO) run ./tools/hubpython $(HUBPYTHON)/bin/python "$(CURDIR)/bin/daguerre" $(FOLDER)
	DAGUERRE_LIBRARY="$(CURDIR)/build/cpu" tools/offline.sh bin/daguerre

.PHONY: pull-faults
pull-faults: ## 100 pulls of 200 MB that are killed, cut and stalled at random; two at once, a branch that moves, full disks (ARGS="-n 10")
	$(GO) run ./tools/pullfaults $(ARGS)

.PHONY: pull-speed
pull-speed: ## pulls beside curl, from a local server: throughput and memory (ARGS="-size 1000000000 -rounds 7")
	$(GO) run ./tools/pullfaults -speed $(ARGS)

.PHONY: test-serve-clients
test-serve-clients: export DAGUERRE_PROGRAM = $(CURDIR)/bin/daguerre
test-serve-clients: export DAGUERRE_NANO_MODELS = $(CURDIR)/models/nano
test-serve-clients: export DAGUERRE_CLIENTS_PYTHON = $(CURDIR)/build/clients/bin/python
test-serve-clients: build ## the server with clients of OpenAI's and A1111's APIs, in Python and Go (fetches them; docs/serving-clients.md)
	python3 -m venv build/clients
	build/clients/bin/pip install -q -r cli/e2e/clients/requirements.txt
	cd cli/e2e/clients && $(GO) vet ./... && $(GO) test -count 1 -timeout 20m ./...

.PHONY: from-pictures
from-pictures: build ## 50 pictures of nano with random settings, each made again by --from and compared pixel by pixel
	DAGUERRE_FROM_PICTURES=50 $(GO) test -count 1 -timeout 20m -run TestFromGivesThePictureAgain ./cli/e2e

.PHONY: test-screen
test-screen: build ## what people see in a terminal of 80 and 40 columns, and in a pipe, against cli/e2e/testdata/screen (apt install tmux)
	$(GO) test -count 1 -timeout 20m -tags screen -run TestScreens ./cli/e2e

.PHONY: test-vulkan
test-vulkan: ## every way of computing, limits and faults on Mesa's software Vulkan device, against the CPU (needs make vulkan; FETCH_LAVAPIPE=yes: a newer one for goldens)
	@tools/test-vulkan.sh $(PART)

.PHONY: gpu-check
gpu-check: ## one report of a device: fidelity, memory, speed against PyTorch, choices (ARGS="-device cuda:0 -python venv/bin/python")
	@go run ./tools/gpu-check $(ARGS)

.PHONY: test-arm64
test-arm64: build ## Linux on ARM under QEMU: native and Go tests, the program against this machine's (apt install qemu-user-static libc6-arm64-cross)
	@tools/test-arm64.sh

.PHONY: test-wine
test-wine: build ## the program for Windows under Wine, held against this machine's own (apt install wine64; docs/windows.md)
	@tools/test-wine.sh

.PHONY: memory-limits
memory-limits: TYPE ?= f16
memory-limits: LIMITS ?= 105:release,80:stage,40:stream,25:stream,12:stream
memory-limits: build ## a full-size model (MODEL) with weights held in every way, under hard limits of memory (LIMITS, TYPE)
	$(GO) run ./tools/memorytable -daguerre bin/daguerre -model "$(MODEL)" -sizes 256 -batches 1 -types $(TYPE) -limits $(LIMITS) $(ARGS)

.PHONY: measure-nano
measure-nano: build ## the nano models' effects on all held-out prompts, as in their card (20 minutes)
	DAGUERRE_HELDOUT=all $(GO) test -v -count 1 -timeout 60m -run 'HeldOut|NanoRefinerSharpens|NanoRegionsPlace|NanoEditing|NanoIPAdapterShows|NanoInpainting|NanoGuidance|NanoControlNetPlaces|NanoTAESDResembles' ./runtime/pipeline

.PHONY: combinations
combinations: build ## all pairs of features in random combinations: pictures in batches and alone, plans of memory (15 minutes)
	DAGUERRE_COMBINATIONS=all $(GO) test -v -count 1 -timeout 60m -run 'Combinations|PlannedAdapters|RegionsThatContradict' ./runtime/pipeline

.PHONY: memory-table
memory-table: build ## plans of memory against measured peaks (MODEL, nano by default; ARGS as tools/memorytable's)
	$(GO) run ./tools/memorytable -daguerre bin/daguerre -model "$(or $(MODEL),nano)" $(ARGS)

.PHONY: record
record: OUT = build/record.json
record: build ## what small runs over all features make, as hashes, into OUT (build/record.json; ARGS as tools/recorder's; 2 minutes)
	DAGUERRE_LIBRARY="$(CURDIR)/build/cpu" $(GO) run ./tools/recorder -daguerre bin/daguerre -out "$(OUT)" $(ARGS)

.PHONY: record-compare
record-compare: ## two recordings (A and B), entry by entry; differences fail
	$(GO) run ./tools/recorder -compare "$(A)" "$(B)"

.PHONY: bench
bench: ## Go benchmarks (BENCH chooses, as go test -bench)
	$(GO) test -run '^$$' -bench '$(or $(BENCH),.)' -benchmem ./...

.PHONY: bench-smoke
bench-smoke: build ## daguerre bench on the nano model, its JSON against the schema (a part of make test)
	$(GO) test -count=1 -run 'TestBenchSmoke' ./cli/e2e

.PHONY: full-size
full-size: build ## opt-in: synthesized full-size base, refiner, VAE and ControlNet open and run at 256 px (18 GB of disk, 12 GiB of memory; FULL_SIZE_FLAGS)
	$(GO) run ./tools/fullsize $(FULL_SIZE_FLAGS)

.PHONY: mutants
mutants: build ## damaged files of every kind through the built program (ARGS as tools/mutants')
	DAGUERRE_LIBRARY="$(CURDIR)/build/cpu" $(GO) run ./tools/mutants -daguerre bin/daguerre $(ARGS)

RELEASE ?= build/release

.PHONY: serve-faults
serve-faults: build ## 300 runs on a server that is killed 30 times, against an undisturbed one (half an hour; ARGS="-runs 60 -kills 6")
	$(GO) run ./tools/serving faults $(ARGS)

FLEET_MOTO := build/tools/moto

$(FLEET_MOTO)/installed: tools/serving/requirements-fleet.txt
	@python3 -c 'import venv' 2>/dev/null || { echo "fleet-faults: python3 with venv is needed: apt install python3-venv"; exit 1; }
	@python3 -m venv $(@D)
	@$(@D)/bin/pip install --quiet --disable-pip-version-check -r $<
	@touch $@

.PHONY: fleet-programs
fleet-programs: build $(FLEET_MOTO)/installed ## what examples/fleet needs: the program, nats-server, and an S3 server for tests
	$(GO) build -o build/tools/nats-server github.com/nats-io/nats-server/v2

.PHONY: fleet-faults
fleet-faults: fleet-programs ## 500 runs on a fleet: processes killed 40 times, stopped, cut off (half an hour; ARGS="-runs 60 -kills 6")
	$(GO) run ./tools/serving fleet $(ARGS)

.PHONY: fleet-fair
fleet-fair: fleet-programs ## one owner with 1,000 runs and one with 10 on a fleet, and how fast cancelling reaches workers (two minutes)
	$(GO) run ./tools/serving fair $(ARGS)

.PHONY: fleet-cost
fleet-cost: fleet-programs ## what a picture costs in a fleet of one machine, in CPU time, beside generate (RUNS, STORE=FOLDER)
	NATS_SERVER="$(CURDIR)/build/tools/nats-server" S3_SERVER="$(CURDIR)/$(FLEET_MOTO)/bin/moto_server" bash tools/serving/fleetcost.sh

.PHONY: fleet-simulated
fleet-simulated: ## 100 workers make 100,000 pictures in simulated time: throughput, loadings, waits, messages (ARGS="-sim.workers 12 -sim.pictures 12000")
	TMPDIR="$$(if test -w /dev/shm; then echo /dev/shm; else echo "$${TMPDIR:-/tmp}"; fi)" $(GO) test ./internal/dispatch -run TestSimulatedFleet -v \
		-timeout 3h -args -sim.workers 100 -sim.pictures 100000 -sim.failures 5 -sim.least 0.9 -sim.loads 1.3 $(ARGS)

.PHONY: serve-load
serve-load: build ## 200 clients for five minutes, then 10,000 runs as fast as they are accepted (ARGS="-minutes 1")
	$(GO) run ./tools/serving load $(ARGS)
	$(GO) run ./tools/serving accept $(ARGS)

.PHONY: serve-schema
serve-schema: build ## 2,000 requests made from the server's OpenAPI document, by schemathesis (Python 3.10)
	DAGUERRE_LIBRARY="$(CURDIR)/build/cpu" sh tools/serving/schema.sh $(ARGS)

.PHONY: serve-cost
serve-cost: build ## what serving costs a picture, against generate, in turns; on an idle machine (ARGS as tools/serving's)
	$(GO) run ./tools/serving cost $(ARGS)

.PHONY: test-release
test-release: ## the archive for this machine in build/release: unpacked, installed and embedded, from an empty home without a compiler
	DAGUERRE_RELEASE="$(abspath $(RELEASE))" $(GO) test -count 1 -run 'FromNothing|InstallEnds|InstallWithoutRoom|InstallProcesses|EnsureInANewModule' ./cli/e2e

MINISIGN := $(GO) tool minisign

.PHONY: release-key
release-key: ## make the key that releases are signed with: KEY, its secret file; the public one becomes runtime/install/release.pub
	@test -n "$(KEY)" || { echo "give the secret key's file, outside of this repository: make release-key KEY=~/.minisign/daguerre.key"; exit 2; }
	@test ! -e "$(KEY)" || { echo "$(KEY) is there already; a key is made once"; exit 1; }
	@mkdir -p "$(dir $(KEY))"
	$(MINISIGN) -G -f -p runtime/install/release.pub -s "$(KEY)" $(ARGS)

.PHONY: release-sign
release-sign: ## sign build/release/SHA256SUMS with KEY and verify it with runtime/install/release.pub
	@test -f "$(KEY)" || { echo "give the secret key's file: make release-sign KEY=~/.minisign/daguerre.key"; exit 2; }
	$(MINISIGN) -S -s "$(KEY)" -m $(RELEASE)/SHA256SUMS $(ARGS)
	$(MINISIGN) -V -p runtime/install/release.pub -m $(RELEASE)/SHA256SUMS

.PHONY: fuzz
fuzz: ## each fuzz target for FUZZ_TIME
	@$(GO) test -list '^Fuzz' ./... | awk '/^Fuzz/ {n[++k] = $$1} /^ok/ {for (i = 1; i <= k; i++) print $$2, n[i]; k = 0}' | \
	while read -r package target; do \
		echo "== $$package $$target"; \
		$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZ_TIME) -fuzzminimizetime 100x "$$package" </dev/null; \
	done

# In a module of its own: it needs an older YAML reader than golangci-lint.
ACTIONLINT := $(GO) run github.com/rhysd/actionlint/cmd/actionlint@v1.7.12

.PHONY: lint-workflows
lint-workflows: ## the workflows in .github
	$(ACTIONLINT)

.PHONY: lint
lint: lint-native lint-workflows lint-commits house readability ## golangci-lint, clang-format, shell syntax, workflows, subjects of new commits, the house, long sentences
	$(LINT) run --allow-parallel-runners ./...

# The most names that packages outside internal/ may export, and the files that were over 400 lines when that became the limit.
EXPORTED    := 720
LARGE_FILES := native/include/daguerre.h native/src/abi.cpp

.PHONY: house
house: ## exported names, the drawing of packages in docs/architecture.md, the linter's rules of imports, long files and lines
	$(GO) run ./tools/house -max $(EXPORTED) -check -long 400 $(LARGE_FILES)

# Commits up to this one are old: their subjects may be longer than 72 characters.
LINT_COMMITS_BASE := 4f8c89a50c882942d13d5182c855d9060458d1dc

.PHONY: lint-commits
lint-commits: ## subjects of new commits have at most 72 characters
	@tools/lint-commits.sh $(LINT_COMMITS_BASE)

CLANG_FORMAT_VERSION := 19.1.7
CLANG_FORMAT := build/tools/clang-format-$(CLANG_FORMAT_VERSION)/bin/clang-format
NATIVE_SOURCES = $(shell find native internal/vulkanlayer -name '*.c' -o -name '*.cpp' -o -name '*.h' | LC_ALL=C sort)

# clang-format's releases differ in what they call formatted, so one version, in a place of its own.
$(CLANG_FORMAT):
	@python3 -c 'import venv' 2>/dev/null || { echo "lint: python3 with venv is needed to get clang-format: apt install python3-venv"; exit 1; }
	python3 -m venv $(@D:/bin=)
	$(@D)/pip install --quiet --disable-pip-version-check clang-format==$(CLANG_FORMAT_VERSION)
	@touch $@

.PHONY: lint-native
lint-native: $(CLANG_FORMAT)
	$(CLANG_FORMAT) --dry-run -Werror $(NATIVE_SOURCES)
	bash -n build.sh .ci/run cmake/build/*.sh tools/*.sh tools/wine/*.sh examples/fleet/*.sh tools/serving/*.sh

# Prose is measured by textstat, pinned in tools/readability/requirements.txt, in a place of its own.
READABILITY := build/tools/readability
READABLE     = README.md CONTRIBUTING.md $(wildcard docs/*.md) models/nano/README.md $(wildcard examples/*/README.md)

$(READABILITY)/installed: tools/readability/requirements.txt
	@python3 -c 'import venv' 2>/dev/null || { echo "readability: python3 with venv is needed: apt install python3-venv"; exit 1; }
	@python3 -m venv $(@D)
	@$(@D)/bin/pip install --quiet --disable-pip-version-check -r $<
	@touch $@

.PHONY: readability
readability: $(READABILITY)/installed ## how long the sentences of README, docs and help are; long ones fail (docs/writing.md)
	@rm -rf build/readability-man && $(GO) run ./cli/daguerre man -o build/readability-man
	@$(READABILITY)/bin/python tools/readability/readability.py $(READABLE) --man build/readability-man

# The page of daguerre serve is tested in a browser, by packages of a place of its own.
PAGE_VENV := build/tools/page

$(PAGE_VENV)/installed: tools/page/requirements.txt
	@python3 -c 'import venv' 2>/dev/null || { echo "test-page: python3 with venv is needed: apt install python3-venv"; exit 1; }
	@python3 -m venv $(@D)
	@$(@D)/bin/pip install --quiet --disable-pip-version-check -r $<
	@touch $@

.PHONY: test-page
test-page: build $(PAGE_VENV)/installed ## the page of daguerre serve, in Chromium (CHROMIUM; ARGS="TestMaking.test_cancel" runs one test)
	@command -v "$${CHROMIUM:-chromium}" >/dev/null || { echo "test-page: chromium is needed: apt install chromium, or set CHROMIUM"; exit 1; }
	$(PAGE_VENV)/bin/python tools/page/test_page.py $(ARGS)

.PHONY: page-pictures
page-pictures: build $(PAGE_VENV)/installed ## the pictures of docs/page.md, docs/images/serve-*.png
	$(PAGE_VENV)/bin/python tools/page/pictures.py docs/images

.PHONY: vendor-page
vendor-page: ## copy the page's libraries out of their npm packages (tools/page/package-lock.json)
	@tools/page/vendor.sh

.PHONY: check-vendor-page
check-vendor-page: ## compare the page's libraries with their npm packages
	@tools/page/vendor.sh --check

.PHONY: fmt
fmt: $(CLANG_FORMAT) ## format Go and C++ sources
	gofmt -w $$(git ls-files '*.go')
	$(CLANG_FORMAT) -i $(NATIVE_SOURCES)

.PHONY: clean
clean: ## remove build/ and bin/; the user's cache of finished builds stays
	rm -rf build bin

.PHONY: help
help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
