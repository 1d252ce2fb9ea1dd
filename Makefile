# `make demo` and `make test` need nothing but Python 3.11 or newer; they set up everything else.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test test-slow e2e lint types bench corpus corpus-table corpus-left-out features-table drift-table render dashboard clean

demo: .venv/.demo
	$(BIN)/ganwatch demo

dashboard: .venv/.demo
	$(BIN)/ganwatch dashboard

test: .venv/.dev
	.ci/test -m "not slow"

test-slow: .venv/.dev
	.ci/test -m slow

e2e: .venv/.dev
	.ci/test -m "service and not slow" tests/dashboards tests/alerting

lint: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/ganwatch render --check

types: .venv/.dev
	$(BIN)/mypy
	$(BIN)/mypy --strict dashboards

bench: .venv/.dev
	@missed=0; for part in "corpus/main.py table" overhead.py overhead_loops.py quality.py quality_neighbours.py drift_speed.py checkpoint_stalls.py; do $(BIN)/python tests/benchmarks/$$part || missed=1; done; exit $$missed

corpus: .venv/.dev
	$(BIN)/python tests/benchmarks/corpus/main.py run
	$(BIN)/python tests/benchmarks/corpus/main.py pack
	$(BIN)/python tests/benchmarks/corpus/main.py run --part wild
	$(BIN)/python tests/benchmarks/corpus/main.py pack --part wild

corpus-table: .venv/.dev
	$(BIN)/python tests/benchmarks/corpus/main.py table

corpus-left-out: .venv/.dev
	$(BIN)/python tests/benchmarks/corpus/main.py left-out

features-table: .venv/.dev
	$(BIN)/python tests/benchmarks/features.py run

drift-table: .venv/.dev
	$(BIN)/python tests/benchmarks/drift_scenarios.py

render: .venv/.dev
	$(BIN)/ganwatch render

clean:
	rm -rf .venv build dist *.egg-info

.venv/bin/python:
	$(PYTHON) -m venv .venv
	$(PIP) --upgrade pip setuptools

.venv/.demo: .venv/bin/python pyproject.toml constraints.txt
	@echo "installing packages into .venv, takes about three minutes the first time"
	$(PIP) --editable ".[lightning,dashboard]"
	touch $@

.venv/.dev: .venv/bin/python pyproject.toml constraints.txt
	@echo "installing packages into .venv, takes about three minutes the first time"
	$(PIP) --editable ".[dev]"
	touch $@ .venv/.demo
