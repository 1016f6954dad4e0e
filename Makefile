# The verbs of the house. Each does its own set-up; git hooks and CI call these and nothing else.
#   make lab ARGS="--requests 1000"     arguments for the verb's program
#   make test PYTHON=python3.12         another interpreter (the environment is made anew for it)

SHELL := /bin/bash
BIN := .venv/bin
ARGS ?=
export PYTHON
export PYO3_PYTHON := $(CURDIR)/$(BIN)/python
# CI builds what Cargo.lock says and nothing newer.
LOCKED := $(if $(CI),--locked)
# These crates know no Python, so they are tested by themselves. The dev profile is meant: it builds in
# seconds and keeps debug assertions and overflow checks, which the release build leaves out.
PURE_CRATES := -p sennit-wire -p sennit-engine -p sennit-driver

# What CI checks licences, bans and sources with; elsewhere whoever wants it installs it.
DENY := cargo-deny@0.20.2

.DEFAULT_GOAL := help
.PHONY: help lab test dev fmt lint types floors bench peers clean .setup .components

help: ## list the verbs
	@echo "make VERB, where VERB is one of:"
	@sed -nE 's/^([a-z]+):.*## (.*)/\1|\2/p' Makefile | while IFS='|' read -r verb line; do \
		printf '  %-8s %s\n' "$$verb" "$$line"; done

lab: .setup ## measure the models on this machine (ARGS="--requests 1000")
	@$(BIN)/sennit lab waiting $(ARGS)

test: .setup ## run every test: Rust, then Python (ARGS="-k http")
	cargo test $(LOCKED) --quiet $(PURE_CRATES)
	$(BIN)/python -m pytest $(ARGS)

dev: .setup ## set up everything to work on Sennit, git hooks included
	@$(BIN)/pre-commit install

fmt: .setup .components ## format Rust and Python
	cargo fmt --all
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

lint: .setup .components ## check format, clippy, ruff and licences (these where cargo-deny is installed)
	cargo fmt --all --check
	cargo clippy $(LOCKED) --quiet --workspace --all-targets -- -D warnings
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check .
	@[ -z "$(CI)" ] || cargo deny --version >/dev/null 2>&1 || cargo install --quiet --locked $(DENY)
	@if cargo deny --version >/dev/null 2>&1; then cargo deny --log-level warn check licenses bans sources; \
		else echo "cargo-deny is not installed: licences, bans and sources were not checked"; fi

types: .setup ## check types: mypy strict, and the native module against its stub
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest sennit._native.core

floors: .setup ## check that every room imports only from the floors below it
	$(BIN)/lint-imports --no-cache --no-logo

bench: .setup ## measure the figures that bench/ describes
	@bench/run $(ARGS)

peers: ## install the real peers that tests and bench use: curl, nginx, haproxy, openssl, ...
	@tools/peers

clean: ## remove what the other verbs made, the environment too
	rm -rf .venv target build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find python tests bench -name __pycache__ -prune -exec rm -rf {} +
	rm -f python/sennit/_native/*.so

.setup:
	@tools/setup

.components:
	@cargo clippy --version >/dev/null 2>&1 && cargo fmt --version >/dev/null 2>&1 || \
		{ echo "sennit needs clippy and rustfmt for this: rustup component add clippy rustfmt" >&2; exit 1; }
