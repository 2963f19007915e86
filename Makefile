# SPDX-License-Identifier: Apache-2.0
# One verb a target; what a verb does stands in tools/. `make help` lists them.
TOOL := tools/python.sh
BIN  := .venv/bin
FUZZ  = cd server/tests && $(CURDIR)/$(BIN)/python -m fuzz
CHAOS = $(BIN)/python conformance-tests/chaos/chaos.py

.DEFAULT_GOAL := help
.PHONY: help demo test test-fast lint types generate check-generate check-api conformance steady soak fuzz fuzz-merge hostile faults chaos drain stalled memory flood handles test-browser-long format constraints hooks clean

help: ## list the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## start a server, run a report with live progress, fetch the PDF (needs Python 3.11 only)
	@$(TOOL) tools/demo.py

test: ## everything: lint, types, generated files, all tests, conformance
	@$(TOOL) tools/run_tests.py

test-fast: ## the loop of under a minute: lint and the unit tests that start no processes
	@$(TOOL) tools/run_tests.py --fast

lint: ## style, import directions, licences, paths, in every language
	@$(TOOL) tools/run_tests.py --only lint

types: ## mypy --strict, pyright (what authors of handlers see) and tsc
	@$(TOOL) tools/run_tests.py --only types

generate: ## write what is made from schema/ (models, tables, reference), tests (docs/clauses.md) and sources (the public APIs)
	@$(TOOL) tools/environment.py dev >/dev/null
	@$(TOOL) tools/node.py
	@$(BIN)/longcall-codegen generate
	@$(BIN)/python tools/clauses.py generate
	@$(BIN)/python tools/python_api.py generate
	@$(BIN)/python tools/python_reference.py generate
	@npm --prefix sdk-js run --silent api:generate
	@$(BIN)/python tools/go_api.py generate

check-generate: ## fail if a generated file is not what schema/ and the tests say
	@$(TOOL) tools/run_tests.py --only generated

check-api: ## fail if the public API of an SDK is not the one that is committed
	@$(TOOL) tools/run_tests.py --only api

conformance: ## every SDK and the server against the one suite
	@$(TOOL) tools/run_tests.py --only conformance

steady: ## the suite ten times: are the verdicts always the same? (TIMES=)
	@$(TOOL) tools/environment.py dev >/dev/null
	@$(TOOL) tools/node.py
	@cd conformance-tests && $(CURDIR)/$(BIN)/longcall-conformance steady --times $(or $(TIMES),10)

soak: ## the server's heart through 200,000 random schedules, replayable by seed (SCHEDULES=, FIRST=, JOBS=)
	@$(TOOL) tools/environment.py dev >/dev/null
	@cd server/tests && $(CURDIR)/$(BIN)/python -m simulation --schedules $(or $(SCHEDULES),200000) $(if $(FIRST),--first $(FIRST)) $(if $(JOBS),--jobs $(JOBS))

fuzz: ## codec and session, 10 minutes by coverage and 10 by hypothesis each; then Go's client, 10 minutes (SECONDS=, SEED=, JOBS=, FUZZERS=)
	@$(TOOL) tools/environment.py $(if $(filter-out hypothesis,$(or $(FUZZERS),atheris)),fuzz,dev) >/dev/null
	@$(FUZZ) run $(if $(FUZZERS),--fuzzers $(FUZZERS)) $(if $(SECONDS),--seconds $(SECONDS)) $(if $(SEED),--seed $(SEED)) $(if $(JOBS),--jobs $(JOBS))
	@if command -v go >/dev/null; then $(BIN)/python tools/go_fuzz.py $(if $(SECONDS),--seconds $(SECONDS)) $(if $(JOBS),--jobs $(JOBS)); \
	else echo "without Go its client is not fuzzed"; fi

fuzz-merge: ## take what fuzzing has found into the committed corpora, the least that covers as much
	@$(TOOL) tools/environment.py fuzz >/dev/null
	@$(FUZZ) merge

hostile: ## a million mutations of good messages over 200 connections to a real server (MUTATIONS=, SEED=)
	@$(TOOL) tools/environment.py dev >/dev/null
	@$(BIN)/python conformance-tests/hostile/hostile.py $(if $(MUTATIONS),--mutations $(MUTATIONS)) $(if $(SEED),--seed $(SEED))

faults: ## 10,000 requests of each SDK through lost connections of every kind (REQUESTS=, SEED=, DRIVER=)
	@$(TOOL) tools/environment.py dev >/dev/null
	@$(TOOL) tools/node.py
	@cd conformance-tests && $(CURDIR)/$(BIN)/longcall-conformance faults $(foreach name,$(DRIVER),--driver $(name)) $(if $(REQUESTS),--requests $(REQUESTS)) $(if $(SEED),--seed $(SEED))

chaos: ## kill -9 the server 200 times under load, and judge what 50 clients saw (ROUNDS=, SEED=, KILL=worker)
	@$(TOOL) tools/environment.py dev >/dev/null
	@$(CHAOS) $(or $(KILL),kill) $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(SEED),--seed $(SEED))

drain: ## SIGTERM 50 times with requests running and queued: nobody sees an error (ROUNDS=, SEED=)
	@$(TOOL) tools/environment.py dev >/dev/null
	@$(CHAOS) term $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(SEED),--seed $(SEED))

test-browser-long: ## what Chromium does by the minute: offline, hidden, in the back/forward cache
	@$(TOOL) tools/environment.py dev >/dev/null
	@$(TOOL) tools/node.py
	@cd sdk-js && npm run --silent build && LONGCALL_BROWSER=long npm run --silent test:browser

stalled: ## a reader stops at the level of TCP while 50 MB come: bounded, harmless, nothing lost
	@$(TOOL) tools/environment.py dev >/dev/null
	@LONGCALL_STALLED=long $(BIN)/pytest -q server/tests/integration/test_stalled_reader.py

memory: ## a million events of one request, and 10,000 cancelled handles, in each front end of the Python SDK (FRONT=, EVENTS=, HANDLES=)
	@$(TOOL) tools/environment.py dev >/dev/null
	@$(BIN)/python conformance-tests/footprint/footprint.py $(if $(FRONT),--front $(FRONT)) $(if $(EVENTS),--events $(EVENTS)) $(if $(HANDLES),--handles $(HANDLES))

flood: ## nine owners' waiting beside a tenth who floods, in rounds with and without (ROUNDS=, SEED=)
	@$(TOOL) tools/environment.py dev >/dev/null
	@LONGCALL_FLOOD=long $(if $(ROUNDS),LONGCALL_FLOOD_ROUNDS=$(ROUNDS)) $(if $(SEED),LONGCALL_FLOOD_SEED=$(SEED)) $(BIN)/pytest -q server/tests/integration/test_flood.py

handles: ## 10,000 concurrent handles on one client (Go): memory and goroutines a handle (HANDLES=)
	@cd sdk-go && LONGCALL_HANDLES=$(or $(HANDLES),10000) go test -timeout 30m -v -run TestManyHandles .

format: ## let the formatters have their way
	@$(TOOL) tools/format.py

constraints: ## resolve all Python versions anew into requirements/constraints.txt
	@$(TOOL) tools/constraints.py

hooks: ## lint staged files before each commit of this checkout
	@tools/install_hook.sh

clean: ## remove environments, caches and what runs left behind
	@git clean -fdXq -- .venv .tox .demo .mypy_cache .ruff_cache .pytest_cache .hypothesis '*/node_modules' '*/dist' '*__pycache__'
