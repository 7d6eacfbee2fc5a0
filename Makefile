# The commands of this project; `make` lists them. Each sets up what it needs by itself, and
# needs the network for that only once.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: setup setup-run demo demo-model test test-fast chaos verify generate format bench-store bench-registry
.PHONY: bench-rpc bench-router bench-runcontrol bench-worst-request worker-node clean help

# The first Python that is new enough; name another one with PYTHON=.
ifndef PYTHON
PYTHON := $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$p"; exit; }; \
	done; echo python3)
endif
BIN := .venv/bin

# A file of tests stays on one worker: what it shares within itself is set up once.
PARALLEL := -n auto --maxprocesses 4 --dist loadfile

# Makes .venv, or what of it is asked for.
define BOOTSTRAP
	@command -v "$(PYTHON)" >/dev/null || { \
		echo "setup: no $(PYTHON) found; install Python 3.11 or newer" \
			"(Debian, Ubuntu: apt-get install python3 python3-venv)" >&2; exit 1; }
	@"$(PYTHON)" scripts/bootstrap.py
endef

setup: ## make .venv with everything the project needs (Python 3.11+)
	$(BOOTSTRAP)

# What runs the servers and the command, without the tools of development.
setup-run:
	$(BOOTSTRAP) run

demo: setup-run ## run the main job: four servers, a failover, an approval, a wake, the trace
	@$(BIN)/runyard demo $(ARGS)

demo-model: setup ## the same with a small real model, built and served on this machine
	@$(BIN)/python -m scripts.demo_model $(ARGS)

test: setup ## run every test (under 10 minutes on 2 cores)
	@$(BIN)/pytest $(PARALLEL) -m "not e2e and not chaos" $(ARGS) || test $$? -eq 5
	@$(BIN)/pytest -m e2e $(ARGS) || test $$? -eq 5

test-fast: setup ## run what is quick: pure rules and architecture (under a minute)
	@$(BIN)/pytest -m "not slow and not e2e" tests/unit tests/arch $(ARGS)

chaos: setup ## kill, stall and crash real processes, and run every property at length (minutes)
	@HYPOTHESIS_PROFILE=chaos $(BIN)/pytest -m "chaos or hypothesis or scaled" --timeout=1800 $(ARGS)

verify: setup ## run what CI runs: formats, types, contracts, tests with coverage, the wheel
	@$(BIN)/python -m scripts.verify $(ARGS)

worker-node: setup ## examine the worker in TypeScript (needs Node 20+ and npm)
	@cd examples/worker-node && npm ci --no-audit --no-fund && npm run types
	@$(BIN)/runyard worker-conformance $(ARGS) -- examples/worker-node/node_modules/.bin/tsx \
		examples/worker-node/src/note.ts

generate: setup ## regenerate stubs, the manifest schema, the settings tables and the lists of files a call enters
	@$(BIN)/python -m scripts.generate $(ARGS)
	@$(BIN)/python -m scripts.settings_docs
	@$(BIN)/python -m scripts.limits_docs
	@$(BIN)/python -m scripts.manifest_schema
	@$(BIN)/python -m scripts.trace_calls

format: setup ## format the Python code and the protos
	@$(BIN)/ruff check --quiet --fix-only .
	@$(BIN)/ruff format .
	@$(BIN)/buf format --write protos

bench-store: setup ## measure the store against a driver awaited per statement
	@$(BIN)/python -m tests.bench.bench_store $(ARGS)

bench-registry: setup ## measure what a change costs and how soon it is seen, up to 10,000 resources
	@$(BIN)/python -m tests.bench.bench_registry $(ARGS)

bench-runcontrol: setup ## measure what runs cost, and whether it grows with what is there
	@$(BIN)/python -m tests.bench.bench_runcontrol $(ARGS)

bench-worst-request: setup ## measure how long others wait while the worst legal requests run
	@$(BIN)/python -m tests.bench.bench_worst_request $(ARGS)

bench-rpc: setup ## measure the CPU of a call against bare grpc.aio
	@$(BIN)/python -m tests.bench.bench_rpc $(ARGS)

bench-router: setup ## measure the router against a bare relay; with PEERS=1 against LiteLLM too
	@$(BIN)/python -m tests.bench.bench_router $(ARGS)

clean: ## remove everything that was made, .venv and build/ included
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-20s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
