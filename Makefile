# Each target creates .venv on first use. Needs Python 3.11 or newer and make.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo docs test faults power-cuts cluster check format clean

demo: .venv/installed  ## train 18 small autoencoders on embedded digits (about a minute) and build the report
	$(BIN)/cae-sweep run sweeps/quickstart.py

docs: .venv/installed-dev  ## build the documentation as a site: build/site/index.html
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going -c docs/site . build/site

test: .venv/installed-dev  ## run all tests, with a real Ray and, if installed, a real Chromium
	$(BIN)/python -m pytest

faults: .venv/installed-dev  ## fault campaign: 100 random SIGKILLs and other faults (SEED=7 KILLS=300), about half an hour
	$(BIN)/python -m tests.faults.campaign $(if $(SEED),--seed $(SEED)) $(if $(KILLS),--kills $(KILLS))

power-cuts: .venv/installed-dev  ## power-cut campaign: the file system is stopped at 20 random moments (SEED=7), about 10 minutes; needs root
	$(BIN)/python -m tests.faults.power_cuts $(if $(SEED),--seed $(SEED))

cluster: .venv/installed-dev  ## cluster campaign: failing hosts, cut links, a bucket that is down, about 15 minutes; needs root
	$(BIN)/python -m tests.cluster.campaign

check: .venv/installed-dev  ## check lint, format and strict types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

.venv/installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "cae-sweep needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

.venv/installed-dev: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@
