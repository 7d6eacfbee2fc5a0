# The commands of this project; `make` lists them. Each sets up what it needs by itself, and
# needs the network for that only once.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: setup demo demo-model test test-fast chaos verify generate format bench-store bench-registry
.PHONY: clean help

# The first Python that is new enough; name another one with PYTHON=.
ifndef PYTHON
PYTHON := $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$p"; exit; }; \
	done; echo python3)
endif
BIN := .venv/bin

# A file of tests stays on one worker: what it shares within itself is set up once.
PARALLEL := -n auto --maxprocesses 4 --dist loadfile

setup: ## make .venv with everything the project needs (Python 3.11+)
	@command -v "$(PYTHON)" >/dev/null || { \
		echo "setup: no $(PYTHON) found; install Python 3.11 or newer" \
			"(Debian, Ubuntu: apt-get install python3 python3-venv)" >&2; exit 1; }
	@"$(PYTHON)" scripts/bootstrap.py

demo: setup ## run the main job: four servers, a failover, an approval, a wake, the trace
	@$(BIN)/runyard demo $(ARGS)

demo-model: setup ## the same with a small real model, built and served on this machine
	@$(BIN)/python -m scripts.demo_model $(ARGS)

test: setup ## run every test (under 10 minutes on 2 cores)
	@$(BIN)/pytest $(PARALLEL) -m "not e2e and not chaos" $(ARGS) || test $$? -eq 5
	@$(BIN)/pytest -m e2e $(ARGS) || test $$? -eq 5

test-fast: setup ## run what is quick: pure rules and architecture (under a minute)
	@$(BIN)/pytest -m "not slow and not e2e" tests/unit tests/arch $(ARGS)

chaos: setup ## kill, stall and crash real processes, and run every property at length (minutes)
	@HYPOTHESIS_PROFILE=chaos $(BIN)/pytest -m "chaos or hypothesis" --timeout=1800 $(ARGS)

verify: setup ## run what CI runs: formats, types, contracts, tests with coverage, the wheel
	@$(BIN)/python -m scripts.verify $(ARGS)

generate: setup ## regenerate stubs and the manifest schema from protos/, and the settings tables
	@$(BIN)/python -m scripts.generate $(ARGS)
	@$(BIN)/python -m scripts.settings_docs
	@$(BIN)/python -m scripts.manifest_schema

format: setup ## format the Python code and the protos
	@$(BIN)/ruff check --quiet --fix-only .
	@$(BIN)/ruff format .
	@$(BIN)/buf format --write protos

bench-store: setup ## measure the store against a driver awaited per statement
	@$(BIN)/python -m tests.bench.bench_store $(ARGS)

bench-registry: setup ## measure what a change costs and how soon it is seen, up to 10,000 resources
	@$(BIN)/python -m tests.bench.bench_registry $(ARGS)

clean: ## remove everything that was made, .venv and build/ included
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
