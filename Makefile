# What a newcomer runs: `make demo`, `make test`.  Everything needed is installed into ./.venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test lint bench openapi lock clean

demo: $(READY)
	@$(BIN)/bastion demo

test: $(READY)
	$(BIN)/python -m pytest

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(READY)
	$(BIN)/python -m bench

# Long: 1 000 random scripts of faults, and an API server that is away for a minute.
soak: $(READY)
	BASTION_SOAK_ROUNDS=1000 $(BIN)/python -m pytest tests/discovery/test_faults.py tests/e2e/test_api_server_away.py

openapi: $(READY)
	$(BIN)/python -m bastion.web.openapi > openapi/bastion.json

# The locks are what is installed; this brings them up to date with pyproject.toml.
lock: $(READY)
	tools/lock $(VENV)

$(READY): pyproject.toml requirements-dev.lock tools/install
	PYTHON=$(PYTHON) tools/install $(VENV)
	@touch $@

clean:
	rm -rf $(VENV) .demo .pytest_cache .mypy_cache .ruff_cache
