# Each target creates .venv on first use. Needs Python 3.11 or newer and make.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo docs test test-all reproduction faults power-cuts cluster check format wheel image release-check clean

demo: .venv/installed  ## train 18 small autoencoders on embedded digits (about a minute) and build the report
	$(BIN)/cae-sweep run quickstart

docs: .venv/installed-dev  ## build the documentation as a site: build/site/index.html
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going -c docs/site . build/site

test: .venv/installed-dev  ## run the tests that take seconds, with a real Ray and, if installed, a real Chromium (6 minutes on 2 cores)
	$(BIN)/python -m pytest -m "not slow"

test-all: .venv/installed-dev  ## run all tests: whole sweeps, kills, notebooks and scenarios too (15 minutes on 2 cores)
	$(BIN)/python -m pytest

reproduction: .venv/installed  ## rebuild docs/reproduction.md and docs/results.md from the archived runs; trains nothing
	$(if $(wildcard docs/runs/reproduction/*.tar.xz),$(BIN)/cae-sweep report docs/runs/reproduction/*.tar.xz --markdown docs/reproduction.md)
	$(BIN)/cae-sweep report docs/runs/results/*.tar.xz --markdown docs/results.md

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

wheel:  ## build sdist and wheel in dist/, and try the wheel in a fresh environment, away from the checkout
	PYTHON=$(PYTHON) .ci/wheel

image:  ## build the container image with Docker or podman, and try it with a read-only root
	.ci/image

release-check:  ## whether version, changelog, citation and TAG agree
	@$(PYTHON) .ci/release.py check $(TAG)

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

.venv/installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "cae-sweep needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

.venv/installed-dev: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@
