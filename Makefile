GO         ?= go
VERSION    := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
TIME       ?= 60s
ONLY       ?=
ROUNDS     ?= 5
BUILD       = CGO_ENABLED=0 $(GO) build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o bin/dragonfly ./cmd/dragonfly

.PHONY: run test build bench fuzz crash soak reference clean

## run: build, and run the default pipeline on the shipped sample
run: build
	@rm -rf run/demo && mkdir -p run/demo
	@DRAGONFLY_EVE="file://$(CURDIR)/test/data/eve.json" DRAGONFLY_LISTEN=127.0.0.1:0 DRAGONFLY_REPORT=1 \
		./bin/dragonfly -r . -l run/demo -x
	@echo "The results are in run/demo:" && wc -l run/demo/*.json

## build: bin/dragonfly
build:
	@$(BUILD)

## test: everything: vet, staticcheck, unit tests with the race detector, end-to-end tests
test:
	@sh test/setup.sh
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...
	@$(BUILD)
	$(GO) test -race -json -timeout 40m ./... | $(GO) run ./test/summary

## bench: measure each thing ROUNDS times (5), and write test/bench/RESULTS.md
bench: build
	@PARTS='softflowd:softflowd nfpcapd:nfdump' sh test/setup.sh
	$(GO) run ./test/bench -rounds $(ROUNDS)

## fuzz: each fuzz target for TIME (60s); ONLY=regexp chooses targets, as in ONLY=lazyjson
fuzz:
	@$(GO) run ./test/fuzz -time $(TIME) -only '$(ONLY)'

## crash: kill, stop and starve the program as SEEDS seeds from FIRST on say, and kill it KILLS times in a row; see test/crash
crash:
	$(GO) test ./test/crash -count=1 -v -timeout 0 -run '^(TestCrash|TestKills)$$' -args -seeds=$(or $(SEEDS),200) -first=$(or $(FIRST),1) -kills=$(or $(KILLS),100)

## soak: the same pipeline for HOURS with RATE events a second; memory, files and goroutines must be flat
soak:
	$(GO) test ./test/crash -count=1 -v -timeout 0 -run '^TestSoak$$' -args -hours=$(or $(HOURS),8) -first=$(or $(FIRST),1) -rate=$(or $(RATE),10000)

## reference: write the reference of config.lua and the Lua functions into README.md
reference: build
	@mkdir -p run && ./bin/dragonfly reference > run/reference.md
	@awk '/<!-- reference:begin -->/{print; while ((getline line < "run/reference.md") > 0) print line; skip=1} /<!-- reference:end -->/{skip=0} !skip && !/<!-- reference:begin -->/{print}' README.md > run/README.new && mv run/README.new README.md

clean:
	rm -rf bin run
