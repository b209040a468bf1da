# What a newcomer runs: `make demo`, `make test`.  Everything needed is installed into ./.venv, for the demo
# only what runs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUNS := $(VENV)/.runs
READY := $(VENV)/.ready

.PHONY: demo test kits coverage lint drawing sizes bench soak fuzz openapi reference docs krew lock clean

demo: $(RUNS)
	@$(BIN)/bastion demo

test: $(READY)
	$(BIN)/python -m pytest --durations=25

# The tables of recorded cases and of hostile inputs, whole, and those that are drawn at random at several times
# the length that they have in `make test`: a line for each.
kits: $(READY)
	KITS_HTTP2=1 $(BIN)/python -m pytest -n 4 tests/conformance tests/hostile
	KITS_PROBE=1 $(BIN)/python -m pytest -n 1 tests/probe/recorded
	SOAK_ROUNDS=300 $(BIN)/python -m pytest -n 3 tests/discovery/test_faults.py \
		tests/discovery/test_restored.py tests/tunnel/test_faults.py
	SOAK_ROUNDS=10000 $(BIN)/python -m pytest tests/e2e/test_differential.py
	SOAK_ROUNDS=2500 $(BIN)/python -m pytest tests/e2e/test_http2.py
	SOAK_ROUNDS=1000 $(BIN)/python -m pytest tests/node

# Lines and branches that the tests of the rooms reach, also in the programs that they start; pyproject.toml has
# the floor.  Without the folders that try the whole program, to save time.  `make test` judges the tests; here,
# where the tracer makes everything slow, only the floor counts.
OF_PROGRAMS := bench conformance demo deploy e2e fuzz hostile soak tunnel
coverage: $(READY)
	-$(BIN)/python -m pytest -q --cov --cov-report= --cov-fail-under=0 $(addprefix --ignore=tests/,$(OF_PROGRAMS))
	$(BIN)/python -m coverage report --show-missing --skip-covered

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The rooms of the program in bands, and which imports which.
drawing: $(READY)
	@$(BIN)/python -m tests.drawing

# The largest functions, classes, calls, lines and files; tests/test_sizes.py holds the limits.
sizes: $(READY)
	@$(BIN)/python -m tests.sizes

bench: $(READY)
	$(BIN)/python -m bench

# Long, and best on a machine of its own: 1 000 random scripts of faults, an API server that is away for a
# minute, 210 000 requests whose responses must be their own, everything that can break under a tunnel 2 000
# times each, the store of probes killed 200 times, two hours of scheduled probes of 500 targets by a scripted
# clock, and 2 000 hostile peers of each kind.
soak: $(READY)
	SOAK_ROUNDS=1000 $(BIN)/python -m pytest tests/discovery/test_faults.py \
		tests/discovery/test_restored.py tests/e2e/test_api_server_away.py
	SOAK_ROUNDS=10000 $(BIN)/python -m pytest tests/e2e/test_differential.py
	SOAK_ROUNDS=10000 $(BIN)/python -m pytest tests/e2e/test_http2.py
	SOAK_ROUNDS=200000 $(BIN)/python -m pytest tests/e2e/test_cross_user.py
	SOAK_ROUNDS=200000 $(BIN)/python -m pytest tests/e2e/test_audit.py
	SOAK_ROUNDS=2000 $(BIN)/python -m pytest tests/tunnel/test_faults.py
	SOAK_ROUNDS=200 $(BIN)/python -m pytest tests/probe/test_store.py
	SOAK_ROUNDS=500 $(BIN)/python -m pytest tests/probe/test_flat.py
	SOAK_PEERS=2000 $(BIN)/python -m pytest -s tests/soak

# Some ten million hostile inputs, led by coverage; more begin where these ended (.fuzz).
fuzz: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'atheris>=3,<4'
	$(BIN)/python -m tests.fuzz

openapi: $(READY)
	$(BIN)/python -m bastion.web.openapi > openapi/bastion.json

# docs/reference is written from the tables of options, annotations, errors, metrics, log fields and own paths; the schema
# of the chart from options and its values, the Prometheus Operator's rules from rules.yaml.
reference: $(READY)
	$(BIN)/python -m bastion.settings.reference docs/reference
	$(BIN)/python -m bastion.kube.errorreference docs/reference/errors.md
	$(BIN)/python tools/reference.py docs/reference
	$(BIN)/python tools/chart_schema.py deploy/helm/bastion
	$(BIN)/python tools/prometheus_rule.py deploy/prometheus

# The pages as a site, in .site; a warning ends it.
docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

# The command line as one file, and its archive and manifest for krew, in dist/.
KREW_URL ?= https://example.org/bastion
krew: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'pex>=2,<3'
	$(BIN)/python tools/krew.py $(KREW_URL)

# The locks are what is installed; this brings them up to date with pyproject.toml.
lock: $(READY)
	tools/lock $(VENV)

$(READY): pyproject.toml requirements-dev.lock tools/install
	@PYTHON=$(PYTHON) tools/install $(VENV) requirements-dev.lock
	@touch $(RUNS) $@

$(RUNS): pyproject.toml requirements.lock tools/install
	@PYTHON=$(PYTHON) tools/install $(VENV) requirements.lock
	@touch $@

clean:
	rm -rf $(VENV) .demo .demo-* .fuzz .coverage .pytest_cache .mypy_cache .ruff_cache
