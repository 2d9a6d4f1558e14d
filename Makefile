# Needs Python 3.11 or newer and make; everything else is installed into .venv on first use.

VENV ?= .venv
EXTRAS ?= dev,docs
# Processes that share the tests, and how many examples the laws are tried on: quick (a seventh) or full.
JOBS ?= 2
EXAMPLES ?= quick
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Without a restart: with one, a run whose process died would wait for ever at its end.
PYTEST = $(BIN)/python -m pytest -n $(JOBS) --dist loadgroup --max-worker-restart 0 --hypothesis-profile $(EXAMPLES)

# The first of these that runs and is new enough.
PYTHON ?= $(shell for python in python3.11 python3 python; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$python; break; }; done)

.PHONY: help setup demo test test-programs test-all check docs coverage format dist wheelhouse qgis-plugin

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST)

setup: $(STAMP)  ## make .venv with the package and its tools, once

demo: $(STAMP)  ## segment the sample scene into out/
	$(BIN)/geodeeplab demo

test: $(STAMP)  ## run the quick tests
	$(PYTEST) --timeout 240 -m "not slow and not workers and not gpu and not browser"

test-programs: $(STAMP)  ## run notebooks, the README's first commands, Dask workers, a killed run, and the bundled models' training
	$(PYTEST) -m "slow and not gpu and not browser" tests/notebooks tests/scripts/test_train_bundled.py \
		tests/docs/test_commands.py::test_the_first_commands_of_the_readme tests/test_arcgis_learn.py::test_a_workflow \
		tests/pipeline/test_kills.py::TestTinyModel::test_kill_9_keeps_the_work
	$(PYTEST) -m "workers and not slow" tests/cluster tests/adaptation/test_laws.py

test-all: EXAMPLES := full
test-all: $(STAMP)  ## run the slow tests, too, with all examples of every law
	$(PYTEST) -m "not gpu and not browser"

check: $(STAMP)  ## format, lint, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

# The banner of mkdocs-material is about its successor, not about this documentation.
docs: export NO_MKDOCS_2_WARNING := 1
docs: $(STAMP)  ## build the documentation into site/
	$(BIN)/mkdocs build --strict --quiet

coverage: $(STAMP)  ## run the quick tests and hold the coverage: 90 % of all branches, all of tiling/
	$(PYTEST) -m "not slow and not gpu and not browser" --cov
	$(BIN)/coverage report --include "geodeeplab/tiling/*" --fail-under 100

dist: $(STAMP)  ## build wheel and sdist into dist/, and check them
	rm -rf dist
	$(BIN)/python -m build --no-isolation
	$(BIN)/twine check --strict dist/*
	@test -z "$$(find dist -size +64000000c)" || { echo "make: more than 64 MB: $$(find dist -size +64000000c)" >&2; exit 1; }

# Torch's wheels for a machine without a GPU come from another index: see the README.
wheelhouse: dist  ## fill wheelhouse/ with the wheel and all that it needs, for machines without internet
	$(BIN)/python -m pip download --disable-pip-version-check -c constraints.txt --only-binary :all: --dest wheelhouse dist/*.whl

qgis-plugin: dist  ## make dist/geodeeplab_qgis.zip, which QGIS installs, with the wheel in it
	$(BIN)/python qgis_plugin/make_zip.py dist/geodeeplab_qgis.zip --wheel dist/*.whl

format: $(STAMP)  ## let ruff rewrite what it can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "make: no Python 3.11 or newer found: install one, or pass PYTHON=/path/to/python3.11" >&2; exit 1; }
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[$(EXTRAS)]"
	@touch $@
