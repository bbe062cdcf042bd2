# The two main commands are `make demo` and `make check`. Every command first sets up what it needs.
PYTHON ?= python3
VENV ?= .venv
READY := $(VENV)/.ready
export PATH := $(abspath $(VENV))/bin:$(PATH)
# Each process takes whole test files, the longest first (the order is in tests/conftest.py).
WORKERS ?= $(shell nproc)
PYTEST = pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder

.PHONY: help setup demo demo-all check test test-all docs schema lock
help:
	@echo "make demo      train on real images on this machine's CPU; make tables, figures, claims, report"
	@echo "make demo-all  make every table and figure of the paper in miniature"
	@echo "make check     check style and run the quick tests, in less than two minutes"
	@echo "make test      check style and run the tests as CI does, on all cores (WORKERS=2 for fewer); lists those it skips"
	@echo "make test-all  run the long tests too"
	@echo "make docs      build the documentation as pages in build/docs"
	@echo "make schema    write config/*schema.json, from which editors complete the configuration"
	@echo "make lock      write requirements.lock from pyproject.toml (needs uv)"
	@echo "make setup     set up the virtual environment alone (.venv), from requirements.lock"

setup: $(READY)

# This takes a second if nothing changed, because the stamp is newer than both files.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: $(PYTHON) is older than Python 3.11; name another one: make PYTHON=python3.12" >&2; exit 1; }
	@echo "Setting up $(VENV): torch and its libraries are about 5 GB, so this takes some minutes once."
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@

# A command that follows a killed one goes on: it takes over the lock if no Snakemake of this folder lives.
demo: setup
	@ldreg unlock
	snakemake core
	snakemake core --report results/demo/report.html
	@ldreg site results/demo >/dev/null
	@ldreg show results/demo

demo-all: setup
	@ldreg unlock
	snakemake
	snakemake --report results/demo/report.html
	@ldreg show results/demo

check: setup
	$(PYTEST) -m "not slow and not long"

test: setup
	$(PYTEST) -m "not long" -rs

test-all: setup
	$(PYTEST) -m "" -rs

docs: setup
	NO_MKDOCS_2_WARNING=1 python -m mkdocs build --strict
	@echo "documentation: build/docs/index.html"

schema: setup
	python -m ldreg.workflow.schema

lock:
	uv pip compile --quiet --universal --python-version 3.11 --no-emit-index-url --no-header --no-annotate \
	  --all-extras pyproject.toml --output-file requirements.lock
	sed '/^      - /d' environment.yml > .environment.tmp
	sed 's/^/      - /' requirements.lock >> .environment.tmp
	mv .environment.tmp environment.yml
