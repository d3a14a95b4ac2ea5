# How the project is tested, linted and measured. Go and make are enough: go
# fetches the tools, which tools/go.mod pins.

BENCH     ?= .
# Six samples are the fewest that benchstat derives a confidence interval from;
# 0.2 s each keeps all six to about the time of one default run.
COUNT     ?= 6
BENCHTIME ?= 0.2s
# How many threads, as a list of GOMAXPROCS values; all if empty.
CPU       ?=
# How often bench-peers measures all, and the Python that it does so with.
ROUNDS    ?= 3
PYTHON    ?= python3
FUZZTIME  ?= 10s
# Which function make exhaustive tries, such as exp; all if empty.
FUNCTION  ?=
# More flags for go test, such as -v or -shuffle=on.
TESTFLAGS ?=

# No target needs a C compiler. Where there is one, the race detector runs, and
# CUDA is built and tested, for which no toolkit and no GPU is needed.
export CGO_ENABLED ?= 0

# Unstamped, because git refuses to describe a checkout owned by someone else,
# which is what a container often sees.
BUILD     := build -buildvcs=false
TOOL      := tool -modfile="$(CURDIR)/tools/go.mod"
MODULES   := $(dir $(wildcard go.mod */go.mod */*/go.mod */*/*/go.mod))
PLATFORMS := linux/arm64 windows/amd64 darwin/arm64 js/wasm

# $(call each,ARGS) is one recipe line for each module: go ARGS, run inside it.
define each
$(foreach dir,$(MODULES),cd $(dir) && go $(1)
)
endef

# $(call with-cuda,COMMAND,ELSE) runs COMMAND with the settings of a CUDA build
# where there can be one, else ELSE.
define with-cuda
@case $$(go env GOOS)/$$(go env GOARCH) in linux/amd64|linux/arm64) ;; *) false ;; esac \
	&& CGO_ENABLED=1 go build runtime/cgo 2>/dev/null; \
if [ $$? = 0 ]; then settings=$$(go run ./cmd/cudaenv) && eval "$$settings" && export CGO_ENABLED=1 && $(1); else $(2); fi
endef

# Where they are installed, these run the tests of other platforms.
QEMU_ARM64 ?= $(firstword $(foreach f,qemu-aarch64-static qemu-aarch64,$(shell command -v $(f))))
WASM_EXEC  ?= $(if $(shell command -v node),$(shell go env GOROOT)/lib/wasm/go_js_wasm_exec)

# $(call emulated,GOARCH,GOOS,EXEC,ARGS) tests a platform by an emulator.
define emulated
@if [ -n "$(3)" ]; then set -x; CGO_ENABLED=0 GOOS=$(2) GOARCH=$(1) go test -vet=off -short -exec "$(3)" $(TESTFLAGS) $(4); \
else echo "tests for $(1) skipped: no $(if $(filter wasm,$(1)),node,qemu-user-static) is installed"; fi
endef

.PHONY: help run test build lint cross test-wasm generate bench bench-peers performance fuzz exhaustive sass gpu-check gpu-bundle docker clean needs-go

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' Makefile

run: needs-go ## run the demo, which writes to out/
	cd examples && go run ./mnist -out "$(CURDIR)/out"

# -short in the second pass, because the race detector makes tests much slower.
test: needs-go ## vet and test every module, then the library under the race detector
	@echo "the paths of this machine:"; go run ./cmd/errorcell devices
	$(call each,test -vet=all $(TESTFLAGS) ./...)
	go test -vet=all -tags purego -short $(TESTFLAGS) ./backend/cpu/... ./bench
	$(call emulated,arm64,linux,$(QEMU_ARM64),./kernels ./backend/cpu/...)
	$(call with-cuda,(set -x; go test -vet=all -tags nvidia $(TESTFLAGS) ./backend/cuda/... ./bench/gpu ./cmd/errorcell ./engine ./graph ./neurons),echo "CUDA tests skipped: they need Linux and a C compiler")
	@export CGO_ENABLED=1; if go build -race runtime/cgo 2>/dev/null; \
	then set -x; go test -race -short -vet=off $(TESTFLAGS) ./...; \
	else echo "race detector skipped: it needs a C compiler"; fi

build: needs-go ## build bin/errorcell, with CUDA where there is a C compiler
	$(call with-cuda,go $(BUILD) -tags nvidia -o bin/ ./cmd/errorcell && echo "bin/errorcell: built with CUDA", \
	go $(BUILD) -o bin/ ./cmd/errorcell && echo "bin/errorcell: built without CUDA: no Linux or no C compiler")

lint: cross ## check formatting, go.mod files, vet, staticcheck, vulnerabilities and cross
	@echo gofmt -s -l .; files=$$("$$(go env GOROOT)/bin/gofmt" -s -l .) || exit 1; \
	test -z "$$files" || { echo "not formatted (gofmt -s -w):" $$files; exit 1; }
	$(call each,mod tidy -diff)
	$(call each,vet ./...)
	$(call each,$(TOOL) staticcheck ./...)
	cd tools && go run ./vulncheck -C .. ./...

cross: needs-go ## build and vet for the other platforms
	@for p in $(PLATFORMS); do echo "go build, go vet for $$p"; \
	export GOOS=$${p%/*} GOARCH=$${p#*/}; \
	go $(BUILD) ./... && go vet ./... || exit 1; done

test-wasm: needs-go ## test the kernels and the CPU device as WebAssembly, with node
	$(call emulated,wasm,js,$(WASM_EXEC),./kernels)
	$(call emulated,wasm,js,$(WASM_EXEC),-run 'TestConformanceOfEveryWay/.*/(Operations|Kernels|Broadcast|Sizes)' ./backend/cpu)

generate: needs-go ## run go generate in every module
	$(call each,generate ./...)

bench: needs-go ## run the benchmarks matching BENCH, COUNT times each, and compare
	@mkdir -p out
	go test -run '^$$' -bench '$(BENCH)' -benchmem -benchtime $(BENCHTIME) -count $(COUNT) \
		$(if $(CPU),-cpu $(CPU)) -timeout 0 ./bench/... | tee out/bench.txt
	@! grep -q '^FAIL' out/bench.txt
	go $(TOOL) benchstat -col /impl out/bench.txt

bench-peers: needs-go ## compare with JAX, numba, gorgonia and GoMLX, ROUNDS times in turn
	@command -v "$(PYTHON)" >/dev/null || { echo "bench-peers needs Python 3.12 or newer, and there is no $(PYTHON): PYTHON names another" >&2; exit 1; }
	"$(PYTHON)" bench/peers/run.py --rounds $(ROUNDS) --benchtime $(BENCHTIME) $(if $(CPU),--cpu $(CPU))

performance: needs-go ## measure all again and write the tables of docs/performance.md
	COUNT=$(COUNT) BENCHTIME=$(BENCHTIME) ROUNDS=$(ROUNDS) PYTHON="$(PYTHON)" bench/report.sh

fuzz: needs-go ## run every fuzz test for FUZZTIME
	@for pkg in $$(go list ./...); do for f in $$(go test -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
	go test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 20x $$pkg || exit 1; done; done

exhaustive: needs-go ## try exp, log and so on with all float32 numbers, for minutes each
	go test ./kernels -run 'TestExhaustive/$(FUNCTION)' -timeout 0 -v $(TESTFLAGS) -exhaustive

sass: needs-go ## show the GPU's machine code by architecture: registers, memory, instructions
	go run ./kernels/ptx/cmd/sass -fetch

# All that checks a GPU, in out/errorcell-gpu; where it runs needs no Go.
define gpu-folder
$(call with-cuda,mkdir -p out/errorcell-gpu && cp bench/gpu/run.sh bench/gpu/table.awk bench/gpu/jax_step.py out/errorcell-gpu/ \
	&& go $(BUILD) -tags nvidia -o out/errorcell-gpu/ ./cmd/errorcell \
	&& go test -c -tags nvidia -o out/errorcell-gpu/cuda.test ./backend/cuda \
	&& go test -c -tags nvidia -o out/errorcell-gpu/gpu.test ./bench/gpu,\
	echo "no CUDA build: it needs Linux and a C compiler" >&2; false)
endef

gpu-check: needs-go ## check and measure a GPU; DEVICE, SIZES and more are in bench/gpu/run.sh
	$(gpu-folder)
	RESULTS="$${RESULTS:-$(CURDIR)/out/gpu-results}" out/errorcell-gpu/run.sh

gpu-bundle: needs-go ## pack gpu-check for a machine with a GPU and no Go, in out/
	@rm -rf out/errorcell-gpu
	$(gpu-folder)
	tar -czf out/errorcell-gpu-$$(go env GOOS)-$$(go env GOARCH).tar.gz -C out errorcell-gpu

docker: ## build the images errorcell:cpu and errorcell:cuda
	docker build -f docker/cpu.Dockerfile -t errorcell:cpu .
	docker build -f docker/cuda.Dockerfile -t errorcell:cuda .

clean: ## remove what the other targets made
	rm -rf bin out

needs-go:
	@case "$$(go env GOVERSION 2>/dev/null)" in \
	go1.2[6-9]*|go1.[3-9][0-9]*|go[2-9]*|devel*) ;; \
	*) echo "errorcell needs Go 1.26 or newer: https://go.dev/doc/install" >&2; exit 1 ;; esac
