# Every task of the project, by name: `make help` lists them. The work is done by tests/stack/stack (servers, local
# deployment, ticks), cargo, and infra/ (AWS); here they are only put together.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help run test test-rust test-e2e test-hours test-engines simulate soak fuzz mutants bench bench-compact bench-queries bench-repair check fmt lint build up stop status sample tick report query restate repair zones docs invoke logs deploy undeploy release clean

STACK := tests/stack/stack
VENV := .stack/cache/venv
TOOLS := .stack/cache/tools
FUZZ := shared/domain/fuzz
CARGO_FUZZ := $(TOOLS)/bin/cargo-fuzz
CARGO_MUTANTS := $(TOOLS)/bin/cargo-mutants
comma := ,
empty :=
space := $(empty) $(empty)

# What can be set on the command line, as in `make run STORES=100000`.
STORES ?= 10000
COUNTRIES ?= es mx pt
CASES ?= 10000000
FUNCTION ?=
EVENT ?=
SLOT ?=
SQL ?=
ANALYSTS ?=
COUNTRY ?=
FROM ?=
TO ?=
IDS ?=
FILE ?=
AWS ?=
AFRESH ?=
SECRETS ?=
PREFIX ?= storewatch
DATABASE ?= storewatch
ARCHITECTURE ?= x86_64
EMAIL ?=
SEED ?=
SLOTS ?= 96
TARGET ?= hours texts rows
SECONDS ?= 60
TICKS ?=
ENGINES ?=
DAYS ?=

# Locally by the stack's own AWS, else by that of the credentials in use.
ON_DAYS = [ -n "$(COUNTRY)" ] && [ -n "$(FROM)" ] || { echo "make $@: say which country and which days, as in make $@ COUNTRY=es FROM=2026-11-01 TO=2026-11-03" >&2; exit 2; }; \
	$(STACK) --help >/dev/null && $(if $(AWS),,eval "$$($(STACK) env)" &&) $(VENV)/bin/python -m infra.days

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z][a-z0-9-]*:.*## / {printf "  %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  STACK_NAME=other in front makes another stack beside the first; everything is under .stack/ and target/."

run: ## All from a fresh clone: servers, build, sample, deployment, one tick, its result (STORES, COUNTRIES, SECRETS)
	@$(STACK) run --stores $(STORES) --countries $(subst $(space),$(comma),$(strip $(COUNTRIES))) $(if $(SECRETS),--secrets $(SECRETS))

test: ## The whole test suite, on the real parts; from a fresh clone too
	@$(STACK) build
	@$(MAKE) --no-print-directory test-rust test-e2e

test-rust: ## Only the Rust tests, against the running stack
	@eval "$$($(STACK) env)"; cargo test --workspace

test-e2e: ## Only the end-to-end tests of the deployed templates, against the running stack
	@eval "$$($(STACK) env)"; PYTHONPATH=tests:. $(VENV)/bin/python -m pytest tests/e2e

test-hours: ## Hold the hours of many random stores against the naive implementation, optimised (CASES)
	HOURS_CASES=$(CASES) cargo test --release -p storewatch-domain --test against_naive

test-engines: ## Only the live view's tests, against each Elasticsearch and OpenSearch that docs/sources.md names (ENGINES)
	@$(STACK) test-engines $(ENGINES)

soak: ## A day of ticks in minutes, with faults, then an audit of all that they wrote (SLOTS=24 for less; SEED)
	@$(STACK) build
	@$(STACK) soak --slots $(SLOTS) $(if $(SEED),--seed $(SEED))

mutants: $(CARGO_MUTANTS) ## Show the changes to shared/domain that no test notices (an hour)
	HOURS_CASES=6000 $(CARGO_MUTANTS) mutants -p storewatch-domain --timeout 60 --output .stack/mutants

bench: ## Measure how fast a million stores are judged, and how fast their bytes can be read
	cargo bench -p storewatch-bench

bench-compact: ## Measure memory, time and bytes of compacting a day (STORES, 100000 is its own default)
	$(if $(filter file,$(origin STORES)),,STORES=$(STORES)) cargo bench --workspace --profile dev --bench day

bench-queries: ## Measure what queries of a day (STORES) read and take, before it is compacted and after
	@$(STACK) build
	@$(STACK) bench-queries --stores $(STORES)

bench-repair: ## Measure what a repair of the catalog takes and asks (COUNTRIES=30 DAYS=365 are its own defaults)
	@$(STACK) build
	@$(STACK) bench-repair $(if $(filter file,$(origin COUNTRIES)),,--countries $(COUNTRIES)) $(if $(DAYS),--days $(DAYS))

# Without a sanitizer, which only nightly has: safe Rust fails by panicking. To trace compares costs nine tenths of the
# speed of `hours`, and the targets make well-formed input by themselves.
fuzz: $(CARGO_FUZZ) ## Fuzz the domain, led by coverage, SECONDS a target (TARGET for one of hours, texts, rows)
	@mkdir -p .stack/fuzz
	@for target in $(TARGET); do \
		log=.stack/fuzz/$$target.log; echo "$$target: $(SECONDS) seconds, log in $$log"; \
		PATH="$(CURDIR)/$(dir $(CARGO_FUZZ)):$$PATH" cargo fuzz run --fuzz-dir $(FUZZ) --target-dir target/fuzz --sanitizer none \
			--no-trace-compares $$target -- -max_total_time=$(SECONDS) -max_len=160 -len_control=0 -print_final_stats=1 \
			>$$log 2>&1 || { tail -n 60 $$log; echo "make fuzz: $$target failed, see above" >&2; exit 1; }; \
		sed -n 's/^#[0-9]*\tDONE */  /p; s/^stat::\(number_of_executed_units\|average_exec_per_sec\): */  \1: /p' $$log; \
	done

$(CARGO_FUZZ):
	cargo install cargo-fuzz --version 0.13.2 --locked --root $(TOOLS)

$(CARGO_MUTANTS):
	cargo install cargo-mutants --version 27.1.0 --locked --root $(TOOLS)

simulate: ## Simulate country ticks from other seeds than the tests do (TICKS), or show one seed again (SEED)
	@SIMULATION_SEED=$(or $(SEED),$$RANDOM$$RANDOM) $(if $(SEED),,SIMULATION_TICKS=$(or $(TICKS),10000)) cargo test --workspace --test country_ticks -- --nocapture whatever

check: ## Formatting and linting: Rust, Python, templates, state machines
	cargo fmt --all --check
	cargo fmt --manifest-path $(FUZZ)/Cargo.toml --check
	cargo clippy --workspace --all-targets -- -D warnings
	@$(STACK) check

lint: check ## The same as check

fmt: ## Format Rust and Python
	cargo fmt --all
	cargo fmt --manifest-path $(FUZZ)/Cargo.toml
	@$(STACK) --help >/dev/null; $(VENV)/bin/ruff format . ; $(VENV)/bin/ruff check --fix .

build: ## Compile the workspace as `make run` and `make test` use it
	cargo build --workspace

up: ## Start the servers
	@$(STACK) up

stop: ## Stop the servers; their data stays, but the local AWS forgets what was deployed
	@$(STACK) down

status: ## Show the servers, their addresses and logs
	@$(STACK) status --prefix $(PREFIX)

sample: ## Load sample stores anew (STORES)
	@$(STACK) sample load --stores $(STORES)
	@$(STACK) sample follow

tick: ## Run one tick now (SLOT for another slot; AFRESH=1 removes first what the slot has written)
	@$(STACK) tick --prefix $(PREFIX) $(if $(SLOT),--slot $(SLOT)) $(if $(AFRESH),--afresh)

report: ## Show the latest tick as it stands in the lake (SLOT for another slot)
	@$(STACK) report --prefix $(PREFIX) $(if $(SLOT),--slot $(SLOT))

# By the environment, because SQL is full of quotes.
query: export SQL := $(value SQL)
query: ## Ask the local lake as an analyst would, through Trino: make query SQL="select …" (the first time fetches 450 MB)
	@[ -n "$$SQL" ] || { echo 'make query: say what, as in make query SQL="select * from coverage_daily"' >&2; exit 2; }
	@$(STACK) query --prefix $(PREFIX) "$$SQL"

restate: ## Judge days again by the schedules as they are now: make restate COUNTRY=es FROM=2026-11-01 TO=2026-11-03 (IDS=12,15 for some stores; AWS=1 on AWS)
	@$(ON_DAYS) restate $(COUNTRY) --prefix $(PREFIX) --from $(FROM) $(if $(TO),--to $(TO)) $(if $(IDS),--stores $(IDS))

repair: ## Make the catalog equal to what lies on S3: make repair COUNTRY=es FROM=2025-11-01 TO=2026-10-31 (AWS=1 on AWS)
	@$(ON_DAYS) repair $(COUNTRY) --prefix $(PREFIX) --from $(FROM) $(if $(TO),--to $(TO))

# `none` for FILE goes back to what is built in; without FILE nothing is changed.
zones: ## Show the time zone data that countries use, or give them other: make zones COUNTRIES="es mx" FILE=tzdata-2026.7-py2.py3-none-any.whl (FILE=none takes it away; AWS=1 on AWS)
	@$(STACK) --help >/dev/null; $(if $(AWS),,eval "$$($(STACK) env)";) $(VENV)/bin/python -m infra.zones $(if $(FILE),$(if $(filter none,$(FILE)),remove,put),show) $(if $(filter file,$(origin COUNTRIES)),,$(COUNTRIES)) --prefix $(PREFIX) $(if $(filter-out none,$(FILE)),--file $(FILE))

docs: ## Write docs/tables.md anew from the schema, with its queries run by Trino on a fixed sample
	@$(STACK) up
	@$(STACK) docs

invoke: ## Run one function by cargo lambda on its sample events: make invoke FUNCTION=observe [EVENT=file.json]
	@[ -n "$(FUNCTION)" ] || { echo "make invoke: say which function, as in make invoke FUNCTION=observe" >&2; exit 2; }
	@$(STACK) invoke --prefix $(PREFIX) $(FUNCTION) $(EVENT)

logs: ## Show what the functions have logged (FUNCTION for one of them)
	@$(STACK) logs --prefix $(PREFIX) $(FUNCTION)

release: ## Build the functions for AWS (ARCHITECTURE=arm64 for Graviton)
	@$(STACK) --help >/dev/null
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" cargo lambda build --workspace --release --output-format zip $(if $(filter arm64,$(ARCHITECTURE)),--arm64,--x86-64)

deploy: release ## Deploy to the AWS account of the credentials in use (COUNTRIES, ANALYSTS, PREFIX, DATABASE, SECRETS, EMAIL)
	@$(VENV)/bin/python -m infra.deploy deploy $(COUNTRIES) --prefix $(PREFIX) --database $(DATABASE) --architecture $(ARCHITECTURE) $(if $(SECRETS),--secrets $(SECRETS)) $(if $(EMAIL),--email $(EMAIL)) $(if $(ANALYSTS),--analyst-countries $(ANALYSTS))

undeploy: ## Take countries off AWS; their data stays: make undeploy COUNTRIES=pt
	@[ "$(origin COUNTRIES)" = "command line" ] || { echo "make undeploy: say which countries, as in make undeploy COUNTRIES=pt" >&2; exit 2; }
	@$(STACK) --help >/dev/null
	@$(VENV)/bin/python -m infra.deploy undeploy $(COUNTRIES) --prefix $(PREFIX)

clean: ## Stop the servers and remove all that was made: data, caches, builds
	@for run in .stack/run/*/; do [ ! -d "$$run" ] || STACK_NAME=$$(basename "$$run") $(STACK) down --wipe; done
	rm -rf .stack target $(FUZZ)/corpus $(FUZZ)/artifacts
