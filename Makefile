# Every task of the project: `make help` lists them. infra/local/stack (servers, local deployment, ticks), cargo and
# infra/ (AWS) do the work.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
# The parts of the end-to-end tests, folders of tests/e2e, and of the smoke tests: the longest first. Each stands alone.
E2E := ticks faults deployments analysts
SMOKE := dashboard workbench
# Every target.
.PHONY: $(shell sed -n 's/^\([a-z][a-z0-9-]*\):.*/\1/p' $(MAKEFILE_LIST)) $(E2E:%=test-e2e-%) $(SMOKE:%=test-smoke-%)

STACK := infra/local/stack
# It gives way to tests that measure time. It cannot reach make's job server, and would warn of that.
CARGO := nice env -u MAKEFLAGS -u MFLAGS cargo
# Prints the path of a Python with the packages of a group in pyproject.toml. Creates or updates it on first use.
ENVIRONMENT := infra/environment
TESTS := "$$($(ENVIRONMENT) test)"
VENV := .stack/cache/venv
TOOLS := .stack/cache/tools
FUZZ := shared/domain/fuzz
CARGO_FUZZ := $(TOOLS)/bin/cargo-fuzz
CARGO_MUTANTS := $(TOOLS)/bin/cargo-mutants
# Those that are deployed.
FUNCTIONS := $(wildcard functions/*/)
# A tick's functions, and the floor that make bench compares them with.
MEASURED := dispatch plan observe merge register storewatch-floor
# Without tables for unwinding: nothing unwinds.
LAMBDA_BUILD = PATH="$(CURDIR)/$(VENV)-deploy/bin:$$PATH" cargo lambda build --release --config 'build.rustflags=["-Cforce-unwind-tables=no"]'
comma := ,
empty :=
space := $(empty) $(empty)

# Variables for the command line, as in `make run STORES=100000`.
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
PARAMETERS ?=
TAGS ?=
ROLE ?=
ETLS ?=
SEED ?=
SLOTS ?= 96
TARGET ?= hours texts rows
SECONDS ?= 60
TICKS ?=
CODE ?=
POSTGRES ?=
ELASTICSEARCH ?=
INDEX ?=
TIMEZONE ?=
ENGINES ?=
WORKBENCH ?=
URL ?=
DAYS ?=
OUT ?=
OWNER ?=
INTERPRETER ?=

# Uses the stack's local AWS, or with AWS=1 the account of your AWS credentials.
ON_DAYS = [ -n "$(COUNTRY)" ] && [ -n "$(FROM)" ] || { echo "make $@: name the country and the days, as in make $@ COUNTRY=es FROM=2026-11-01 TO=2026-11-03" >&2; exit 2; }; \
	$(if $(AWS),,eval "$$($(STACK) env)" &&) "$$($(ENVIRONMENT) $(if $(AWS),deploy,local))" -m infra.days

DEPLOYMENT = "$$($(ENVIRONMENT) deploy)" -m infra
CHANGE = $(COUNTRIES) --prefix $(PREFIX) --database $(DATABASE) --architecture $(ARCHITECTURE) $(if $(SECRETS),--secrets $(SECRETS)) $(if $(filter undefined file,$(origin EMAIL)),,--email "$(EMAIL)") $(if $(ANALYSTS),--analyst-countries $(ANALYSTS)) $(foreach parameter,$(PARAMETERS),--parameter $(parameter)) $(foreach tag,$(TAGS),--tag $(tag)) $(if $(ROLE),--role-arn $(ROLE)) $(foreach etl,$(ETLS),--etl $(etl)) $(if $(LAKE_ACCOUNT),--lake-account $(LAKE_ACCOUNT)) $(if $(WORKBENCH),--workbench) $(if $(filter undefined,$(origin COUNTRY_ACCOUNTS)),,--country-accounts $(COUNTRY_ACCOUNTS))

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z][a-z0-9-]*:.*## / {printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  STACK_NAME=other in front of make uses another stack beside the first. Everything is under .stack/ and target/."

run: ## Do everything from a fresh clone: servers, build, sample, deployment, a tick, its result (STORES, COUNTRIES, SECRETS)
	@$(STACK) run --stores $(STORES) --countries $(subst $(space),$(comma),$(strip $(COUNTRIES))) $(if $(SECRETS),--secrets $(SECRETS))

test: ## Run the test suite on real servers, also from a fresh clone; all tests of the dashboard and the workbench are test-dashboard and test-workbench
	@$(STACK) $(if $(STOREWATCH_BINARIES),up,build)
	@$(MAKE) --no-print-directory test-e2e test-smoke test-rust bench-check

# Only these need the compiled workspace, if the functions are a release's. The other tests begin while it compiles.
test-e2e-analysts test-e2e-deployments test-rust bench-check: build

test-rust: ## Run only the Rust tests, on the running stack
	@eval "$$($(STACK) env)"; $(CARGO) test --workspace

test-e2e: $(E2E:%=test-e2e-%) ## Run only the end-to-end tests, of the deployed templates, on the running stack (a part: test-e2e-ticks)

$(E2E:%=test-e2e-%): test-e2e-%:
	@eval "$$($(STACK) env)"; $(TESTS) -m pytest tests/e2e/$*

test-smoke: $(SMOKE:%=test-smoke-%) ## Run a few of the dashboard's and the workbench's tests, as root, in Chromium on the running stack

$(SMOKE:%=test-smoke-%): test-smoke-%:
	@eval "$$($(STACK) env)"; $(TESTS) -m pytest tests/$* -m smoke

test-dashboard: ## Run all of the dashboard's tests, in Chromium on the running stack
	@eval "$$($(STACK) env)"; $(TESTS) -m pytest tests/dashboard

test-workbench: ## Run all of the workbench's tests, as root, in Chromium on the running stack
	@eval "$$($(STACK) env)"; $(TESTS) -m pytest tests/workbench

dashboard-pictures: ## Take the pictures of the documents again, of the dashboards over a sample
	@eval "$$($(STACK) env)"; STOREWATCH_PICTURES=1 $(TESTS) -m pytest tests/dashboard/test_pictures.py

test-hours: ## Compare the hours of many random stores with the naive implementation, optimised (CASES)
	HOURS_CASES=$(CASES) cargo test --release -p storewatch-domain --test against_naive

test-engines: ## Run the live view's tests on each Elasticsearch and OpenSearch in docs/sources.md (ENGINES)
	@$(STACK) test-engines $(ENGINES)

soak: ## Run a day of ticks in minutes, with faults, then audit everything they wrote (SLOTS=24 for less; SEED)
	@$(STACK) build
	@$(TESTS) -m tests.soak --slots $(SLOTS) $(if $(SEED),--seed $(SEED))

mutants: $(CARGO_MUTANTS) ## Show the changes to shared/domain that no test notices (an hour)
	HOURS_CASES=6000 $(CARGO_MUTANTS) mutants -p storewatch-domain --timeout 60 --output .stack/mutants

bench: $(if $(REPORT),,binaries) ## Measure a tick, the Spark job that it replaces and the floor side by side, and write docs/benchmarks.md (STORES, ROUNDS; REPORT=1 only writes)
	@$(TESTS) -m tests.measure.bench --stores $(STORES) $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(REPORT),--report)

bench-growth: binaries ## Measure how ticks grow with stores and countries (STORES="10000 100000", COUNTRIES="1 10"; defaults up to a million and 30)
	@$(TESTS) -m tests.measure.bench.growth $(if $(filter file,$(origin STORES)),,--stores $(STORES)) $(if $(filter file,$(origin COUNTRIES)),,--countries $(COUNTRIES))

bench-check: ## Compare the instructions of a tick's critical parts with the recorded counts, on the running stack (RECORD=1 records them)
	@$(TESTS) -m tests.measure.bench.check $(if $(RECORD),--record)

bench-judge: ## Measure how fast a million stores are judged, and how fast their bytes can be read
	cargo bench -p storewatch-bench --bench judge

bench-compact: ## Measure memory, time and bytes of compacting a day (STORES, default here 100000)
	$(if $(filter file,$(origin STORES)),,STORES=$(STORES)) cargo bench --workspace --profile dev --bench day

bench-queries: ## Measure bytes and time of queries on a day, before and after compaction (STORES)
	@$(STACK) build
	@$(TESTS) -m tests.measure.queries --stores $(STORES)

bench-repair: ## Measure time and requests of a catalog repair (defaults here: COUNTRIES=30 DAYS=365)
	@$(STACK) build
	@$(TESTS) -m tests.measure.repair $(if $(filter file,$(origin COUNTRIES)),,--countries $(COUNTRIES)) $(if $(DAYS),--days $(DAYS))

bench-cost: release ## Count what a tick uses that AWS bills, on 10,000 and 100,000 stores, for make cost
	@STOREWATCH_BINARIES=$(CURDIR)/target/lambda $(TESTS) -m tests.measure.costs

cost: ## Print what a month costs on AWS at list prices, and write the tables of docs/scale-and-cost.md
	@"$$($(ENVIRONMENT) deploy)" -m infra.cost

bench-reads: ## Measure what each way of reading the live view costs Elasticsearch (minutes)
	@$(TESTS) -m tests.measure.reads

accuracy: ## Print the tables of docs/accuracy.md: how far what is told is from the truth, in simulated worlds (minutes)
	@$(TESTS) -m tests.measure.accuracy

# Without a sanitizer, which needs nightly: safe Rust fails by panicking. Without tracing compares: it would make `hours`
# ten times slower, and the targets generate well-formed input anyway.
fuzz: $(CARGO_FUZZ) ## Fuzz the domain, guided by coverage (SECONDS per target; TARGET for one of hours, texts, rows)
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

simulate: ## Simulate country ticks with new seeds (TICKS), or replay one seed (SEED)
	@SIMULATION_SEED=$(or $(SEED),$$RANDOM$$RANDOM) $(if $(SEED),,SIMULATION_TICKS=$(or $(TICKS),10000)) cargo test --workspace --test country_ticks -- --nocapture whatever

check: check-rust check-rest ## Check formatting and lint: Rust, Python, templates, state machines

check-rust: ## Check only Rust
	cargo fmt --all --check
	cargo fmt --manifest-path $(FUZZ)/Cargo.toml --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings

check-rest: ## Check all but Rust
	@$(STACK) check

lint: check ## The same as check

fmt: ## Format Rust and Python
	cargo fmt --all
	cargo fmt --manifest-path $(FUZZ)/Cargo.toml
	@$(ENVIRONMENT) lint >/dev/null
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

generate: ## Write generated files: vocabulary.json from the code, Retry blocks from retries.toml
	WRITE_VOCABULARY=1 cargo test --workspace --test vocabulary --quiet
	@$(STACK) generate

lock: ## Rewrite requirements.lock with the newest packages that pyproject.toml allows
	rm -rf $(VENV)-lock
	python3 -m venv $(VENV)-lock
	$(VENV)-lock/bin/python -m pip install --quiet --upgrade pip
	$(VENV)-lock/bin/python -m pip install --quiet --group lint
	{ sed -n '/^#/p' requirements.lock; $(VENV)-lock/bin/python -m pip freeze --all --exclude setuptools; } >$(VENV)-lock/new
	mv $(VENV)-lock/new requirements.lock
	rm -rf $(VENV)-lock

build: ## Compile the workspace for `make run` and `make test`
	@$(CARGO) build --workspace

up: ## Start the servers
	@$(STACK) up

stop: ## Stop the servers. Their data stays, but the local AWS forgets its deployments
	@$(STACK) down

status: ## Show the servers, and the last tick of each country (AWS=1: only the ticks, on AWS)
	@$(if $(AWS),"$$($(ENVIRONMENT) deploy)" -m infra.last_ticks,$(STACK) status) --prefix $(PREFIX)

new-country: ## Write a country file, and check it if the addresses are given: make new-country CODE=fr (POSTGRES, ELASTICSEARCH, INDEX, TIMEZONE, SECRETS)
	@[ -n "$(CODE)" ] || { echo "make new-country: name the country, as in make new-country CODE=fr" >&2; exit 2; }
	@$(if $(POSTGRES)$(ELASTICSEARCH),cargo build --workspace --quiet &&) $(STACK) new-country '$(CODE)' --prefix '$(PREFIX)' $(if $(POSTGRES),--postgres '$(POSTGRES)') $(if $(ELASTICSEARCH),--elasticsearch '$(ELASTICSEARCH)') $(if $(INDEX),--index '$(INDEX)') $(if $(TIMEZONE),--timezone '$(TIMEZONE)') $(if $(SECRETS),--secrets '$(SECRETS)')

validate: ## Check a country file against its sources: make validate COUNTRY=fr SECRETS=/path/to/secrets.json
	@[ -n "$(COUNTRY)" ] || { echo "make validate: name the country, as in make validate COUNTRY=fr" >&2; exit 2; }
	@cargo build --workspace --quiet && $(STACK) validate '$(COUNTRY)' $(if $(SECRETS),--secrets '$(SECRETS)')

sample: ## Replace the sample stores (STORES)
	@$(STACK) sample load --stores $(STORES)
	@$(STACK) sample follow

tick: ## Run one tick now (SLOT for another slot; AFRESH=1 first deletes what the slot has written)
	@$(STACK) tick --prefix $(PREFIX) $(if $(SLOT),--slot $(SLOT)) $(if $(AFRESH),--afresh)

report: ## Show the latest tick, read back from the lake (SLOT for another slot)
	@$(STACK) report --prefix $(PREFIX) $(if $(SLOT),--slot $(SLOT))

# Passed in the environment, because SQL is full of quotes.
query: export SQL := $(value SQL)
query: ## Query the local lake through Trino, as analysts do: make query SQL="select …" (downloads 450 MB the first time)
	@[ -n "$$SQL" ] || { echo 'make query: write a statement, as in make query SQL="select * from coverage_daily"' >&2; exit 2; }
	@$(STACK) query --prefix $(PREFIX) "$$SQL"

verify: ## Verify a deployment: a tick, alarms, rights, and with AWS=1 every view as an analyst
	@$(if $(AWS),,eval "$$($(STACK) env)";) "$$($(ENVIRONMENT) $(if $(AWS),deploy,local))" -m infra.verify --prefix $(PREFIX) $(if $(AWS),--views)

restate: ## Judge days again by the current schedules: make restate COUNTRY=es FROM=2026-11-01 TO=2026-11-03 (IDS=12,15 for some stores; AWS=1 on AWS)
	@$(ON_DAYS) restate $(COUNTRY) --prefix $(PREFIX) --from $(FROM) $(if $(TO),--to $(TO)) $(if $(IDS),--stores $(IDS))

repair: ## Make the catalog equal to S3: make repair COUNTRY=es FROM=2025-11-01 TO=2026-10-31 (AWS=1 on AWS)
	@$(ON_DAYS) repair $(COUNTRY) --prefix $(PREFIX) --from $(FROM) $(if $(TO),--to $(TO))

# FILE=none goes back to the built-in data. Without FILE nothing changes.
zones: ## Show or change the time zone data that countries use: make zones COUNTRIES="es mx" FILE=tzdata-2026.7-py2.py3-none-any.whl (FILE=none removes it; AWS=1 on AWS)
	@$(if $(AWS),,eval "$$($(STACK) env)";) "$$($(ENVIRONMENT) $(if $(AWS),deploy,local))" -m infra.zones $(if $(FILE),$(if $(filter none,$(FILE)),remove,put),show) $(if $(filter file,$(origin COUNTRIES)),,$(COUNTRIES)) --prefix $(PREFIX) $(if $(filter-out none,$(FILE)),--file $(FILE))

dashboard: ## Show the lake in Superset: install it the first time, start it, import everything, print address and password
	@$(STACK) dashboard up --prefix $(PREFIX)

# The credentials are in the environment: docs/dashboard.md.
dashboard-import: ## Import the dashboards into your own Superset: make dashboard-import URL=https://superset.example (COUNTRIES, DATABASE)
	@[ -n "$(URL)" ] || { echo "make dashboard-import: name your Superset, as in make dashboard-import URL=https://superset.example" >&2; exit 2; }
	@"$$($(ENVIRONMENT) deploy)" -m infra.dashboard $(URL) --database $(DATABASE) $(if $(filter file,$(origin COUNTRIES)),,--countries $(COUNTRIES))

dashboard-export: ## Write what users made on the local dashboard to S3; its worker does it daily
	@$(STACK) dashboard export --prefix $(PREFIX)

dashboard-restore: ## Bring an export back: the newest, or FROM=20261126T025000Z
	@$(STACK) dashboard restore --prefix $(PREFIX) $(if $(FROM),--from $(FROM))

workbench: ## Start JupyterHub over the local lake, as root: install it the first time, print its address and users
	@$(STACK) workbench up --prefix $(PREFIX)

workbench-user: ## Add a user of the workbench, or change one: make workbench-user NAME=ben (GROUPS, SOURCES, MAIL, ADMIN=yes|no, PASSWORD=new, REMOVE=1)
	@$(STACK) workbench user --name '$(NAME)' $(if $(filter undefined,$(origin GROUPS)),,--groups '$(GROUPS)') $(if $(filter undefined,$(origin SOURCES)),,--sources '$(SOURCES)') $(if $(MAIL),--mail '$(MAIL)') $(if $(ADMIN),--admin '$(ADMIN)') $(if $(PASSWORD),--new-password) $(if $(REMOVE),--remove)

workbench-restore: ## Bring the workbench's users and files back from the backup: the newest, or AT=2026-11-26T12:00Z (FORCE=1 writes over what is there)
	@$(STACK) workbench restore --prefix $(PREFIX) $(if $(AT),--at '$(AT)') $(if $(FORCE),--force)

# Reads S3 with your AWS credentials, or with the variables that infra/local/stack env prints.
import-notes: export STOREWATCH_WORKBENCH ?= $(CURDIR)/.stack/run/$(or $(STACK_NAME),main)/workbench/settings.json
import-notes: ## Turn Zeppelin's notes into notebooks in users' homes: make import-notes FROM=folder-or-s3://bucket/prefix OWNER=ana (of notes that belong to nobody; OUT=folder instead of homes; TIMEZONE of Zeppelin's server)
	@[ -n "$(FROM)" ] || { echo "make import-notes: name the notes, as in make import-notes FROM=s3://bucket/notebook OWNER=ana" >&2; exit 2; }
	@"$$($(ENVIRONMENT) workbench)" -m infra.workbench.zeppelin import '$(FROM)' $(if $(OUT),--out '$(OUT)') $(if $(OWNER),--owner '$(OWNER)') $(if $(TIMEZONE),--timezone '$(TIMEZONE)')

export-notes: ## Turn the workbench's notebooks into notes for Zeppelin: make export-notes TO=folder (INTERPRETER for SQL, default athena)
	@[ -n "$(TO)" ] || { echo "make export-notes: name a folder, as in make export-notes TO=notes" >&2; exit 2; }
	@"$$($(ENVIRONMENT) workbench)" -m infra.workbench.zeppelin export '$(TO)' $(if $(INTERPRETER),--interpreter '$(INTERPRETER)')

docs: ## Write docs/tables.md from the schema, with query results from Trino on a fixed sample
	@$(STACK) up
	@$(STACK) docs

invoke: ## Run one function with cargo lambda on its sample events: make invoke FUNCTION=observe [EVENT=file.json]
	@[ -n "$(FUNCTION)" ] || { echo "make invoke: name the function, as in make invoke FUNCTION=observe" >&2; exit 2; }
	@$(STACK) invoke --prefix $(PREFIX) $(FUNCTION) $(EVENT)

logs: ## Show the functions' logs (FUNCTION for one of them)
	@$(STACK) logs --prefix $(PREFIX) $(FUNCTION)

release: ## Build the functions for AWS (ARCHITECTURE=arm64 for Graviton)
	@$(ENVIRONMENT) release >/dev/null
	$(LAMBDA_BUILD) $(FUNCTIONS:functions/%/=-p %) --output-format zip $(if $(filter arm64,$(ARCHITECTURE)),--arm64,--x86-64)

binaries: ## Build what make bench measures, as releases are built, for this machine
	@$(ENVIRONMENT) release >/dev/null
	$(LAMBDA_BUILD) $(MEASURED:%=-p %) --lambda-dir target/bench $(if $(filter aarch64 arm64,$(shell uname -m)),--arm64,--x86-64)

dist: release ## Make a release that deploys without Rust: archive, sums, bill of materials, in target/dist (ARCHITECTURE)
	@"$$($(ENVIRONMENT) release)" -m infra.dist --architecture $(ARCHITECTURE)

deploy: release ## Deploy to the account of your AWS credentials (COUNTRIES, ANALYSTS, PREFIX, DATABASE, SECRETS, EMAIL, PARAMETERS, TAGS, ROLE, ETLS, LAKE_ACCOUNT, COUNTRY_ACCOUNTS, WORKBENCH)
	@$(DEPLOYMENT) deploy $(CHANGE)

diff: release ## Show what make deploy would change, with the same variables
	@$(DEPLOYMENT) diff $(CHANGE)

undeploy: ## Remove countries from AWS, or only ETLS of theirs. Their data stays: make undeploy COUNTRIES=pt
	@[ "$(origin COUNTRIES)" = "command line" ] && [ -n "$(strip $(COUNTRIES))" ] || { echo "make undeploy: name the countries, as in make undeploy COUNTRIES=pt" >&2; exit 2; }
	@$(DEPLOYMENT) undeploy $(COUNTRIES) --prefix $(PREFIX) $(if $(ROLE),--role-arn $(ROLE)) $(foreach etl,$(ETLS),--etl $(etl))

undeploy-workbench: ## Remove what the analysts' workbench has on AWS beside its machine. Its bucket stays
	@$(DEPLOYMENT) undeploy-workbench --prefix $(PREFIX) $(if $(ROLE),--role-arn $(ROLE))

undeploy-lake: ## Remove what the countries shared from AWS, once all are removed. The data stays
	@$(DEPLOYMENT) undeploy-lake --prefix $(PREFIX) $(if $(ROLE),--role-arn $(ROLE))

clean: ## Stop the servers and delete everything: data, caches, builds
	@for run in .stack/run/*/; do [ ! -d "$$run" ] || STACK_NAME=$$(basename "$$run") $(STACK) down --wipe; done
	rm -rf .stack target $(FUZZ)/corpus $(FUZZ)/artifacts
