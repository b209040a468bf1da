# What a newcomer runs: `make demo`, `make test`.  Everything needed is installed into ./.venv, for the demo only what runs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUNS := $(VENV)/.runs
READY := $(VENV)/.ready

.PHONY: demo test coverage lint bench kits soak fuzz openapi lock clean

demo: $(RUNS)
	@$(BIN)/bastion demo

test: $(READY)
	$(BIN)/python -m pytest --durations=25

# Lines and branches that the tests reach in their own processes; not what the programs do that they start.
coverage: $(READY)
	$(BIN)/python -m pytest --cov --cov-report=term-missing:skip-covered

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(READY)
	$(BIN)/python -m bench

# Long, and best on a machine of its own: 1 000 random scripts of faults, an API server that is away for a minute, 210 000 requests whose
# answers must be their own, everything that can break under a tunnel 2 000 times each, and 2 000 hostile peers of each kind.
soak: $(READY)
	BASTION_SOAK_ROUNDS=1000 $(BIN)/python -m pytest tests/discovery/test_faults.py tests/discovery/test_restored.py tests/e2e/test_api_server_away.py
	BASTION_SOAK_ROUNDS=10000 $(BIN)/python -m pytest tests/e2e/test_differential.py
	BASTION_SOAK_ROUNDS=200000 $(BIN)/python -m pytest tests/e2e/test_cross_user.py
	BASTION_SOAK_ROUNDS=2000 $(BIN)/python -m pytest tests/tunnel/test_faults.py
	BASTION_SOAK_PEERS=2000 $(BIN)/python -m pytest -s tests/soak

# The node proxy by itself (as root): every case in namespaces, and a thousand random histories of Services
# against the kernel's own tables.  NODE_KIT names the kit.py of recorded cases, if there is one at hand.
kits: $(READY)
	SOAK_ROUNDS=1000 $(BIN)/python -m pytest tests/node
	@[ -z "$(NODE_KIT)" ] || $(BIN)/python $(NODE_KIT) run \
		--command '$(abspath $(BIN))/bastion node --config {config}'

# Some ten million hostile inputs, led by coverage; more begin where these ended (.fuzz).
fuzz: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'atheris>=3,<4'
	$(BIN)/python -m tests.fuzz

openapi: $(READY)
	$(BIN)/python -m bastion.web.openapi > openapi/bastion.json

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
