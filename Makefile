# Two commands do everything from nothing on Debian or Raspberry Pi OS: `make demo`, `make test`.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
SETUP := .ci/setup

.DEFAULT_GOAL := help
.PHONY: help demo test check bench simulate lock clean

help:
	@echo "make demo      show the whole way of the data: no hardware, no server, no root"
	@echo "make test      run all the tests, on real servers (installs them from Debian)"
	@echo "make check     ruff, mypy and import-linter"
	@echo "make bench     run the benchmarks"
	@echo "make simulate  cut the power 10,000 times, break everything 200 times, then the code; as root"
	@echo "make lock      pin the dependencies anew"

demo: $(VENV)/demo
	$(BIN)/satomori demo

test: $(VENV)/dev
	$(SETUP) servers
	$(BIN)/pytest $(PYTEST_ARGS)

check: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/dev
	$(SETUP) servers
	@for script in tests/benchmarks/[a-z]*.py; do echo; echo "== $$script"; $(BIN)/python $$script || exit; done

# What `make test` does in small. SEED=N repeats a run; as root, for the disks.
simulate: $(VENV)/dev
	$(SETUP) servers
	$(BIN)/python -m tests.simulation.power_cuts --cuts 10000 $(if $(SEED),--seed $(SEED))
	$(BIN)/python -m tests.simulation.whole_path --scenarios 200 --jobs 4 $(if $(SEED),--seed $(SEED))
	$(BIN)/python -m tests.simulation.broken_promises

# A venv for users and one for developers are the same venv; the second only holds more.
$(VENV)/demo: requirements.lock pyproject.toml
	$(SETUP) venv $(PYTHON) $(VENV) requirements.lock
	@touch $@

$(VENV)/dev: requirements-dev.lock pyproject.toml
	$(SETUP) venv $(PYTHON) $(VENV) requirements-dev.lock
	@touch $@ $(VENV)/demo

# For every Python from 3.11 on and every machine; needs uv (pip install uv).
lock:
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-header --extra demo --group build pyproject.toml -o requirements.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-header --extra demo --extra test --extra check --group build pyproject.toml \
		-o requirements-dev.lock

clean:
	rm -rf $(VENV) .bench build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
