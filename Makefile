# `make demo` and `make test` work on a fresh Debian 12: they install what is missing.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOWEST := .venv-lowest
PIP := -m pip --disable-pip-version-check --quiet
export PIP_NO_INPUT := 1
export PYTHONUNBUFFERED := 1

# What Qt, OpenGL and the virtual display need (Debian and Ubuntu names).
SYSTEM_PACKAGES := xvfb xauth libegl1 libgl1 libdbus-1-3 libfontconfig1 libglib2.0-0 \
  libxcb-cursor0 libxcb-icccm4 libxcb-keysyms1 libxcb-shape0 libxkbcommon-x11-0
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

# Linux without a display: windows open on a virtual one.
ifeq ($(shell uname -s)$(DISPLAY)$(WAYLAND_DISPLAY),Linux)
VIRTUAL_DISPLAY := xvfb-run --auto-servernum --server-args "-screen 0 1400x900x24"
DEMO_OPTIONS ?= --screenshot demo.png
endif

# Stamp files in an environment say what it holds; newer sources make them stale.
.PHONY: FORCE help demo test test-lowest lint bench doctor setup system clean

# Windows need their display and the processor for themselves; the other tests share
# the processors. Both parts run, whether or not the first one passes.
ifdef TESTS
define run_tests
$(VIRTUAL_DISPLAY) $(1)/python -m pytest $(TESTS)
endef
else
define run_tests
failed=0; \
$(VIRTUAL_DISPLAY) $(1)/python -m pytest tests/gui || failed=$$?; \
$(VIRTUAL_DISPLAY) $(1)/python -m pytest --ignore tests/gui \
  --numprocesses logical --maxprocesses 4 || failed=$$?; \
exit $$failed
endef
endif

help: ## list the commands
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

demo: system $(VENV)/.gui ## open a sample SOMA image in napari (no display: a picture)
	@$(VIRTUAL_DISPLAY) $(BIN)/python -m napari_msimage demo $(DEMO_OPTIONS)

test: system $(VENV)/.dev ## all tests; TESTS="tests/unit -x" for some of them
	@$(call run_tests,$(BIN))

lint: $(VENV)/.dev ## style, formatting, types, import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: system $(VENV)/.dev ## benchmarks against peers; prints ratios
	@$(VIRTUAL_DISPLAY) $(BIN)/python -m benchmarks $(BENCH)

test-lowest: system $(LOWEST)/.test ## all tests on the lowest declared versions
	@$(call run_tests,$(LOWEST)/bin)

doctor: $(VENV)/.gui ## say what a window needs and this machine lacks
	@$(VIRTUAL_DISPLAY) $(BIN)/python -m napari_msimage doctor

setup: system $(VENV)/.dev ## install everything, run nothing

clean: ## remove environments, caches and the demo image
	rm -rf $(VENV) $(LOWEST) .demo demo.png dist build benchmarks/.data \
	  .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache \
	  src/napari_msimage/napari.yaml __pycache__
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# Asks dpkg first, so that a second run needs neither the network nor a password.
# Newer releases name some libraries with the suffix t64.
system:
	@[ "$$(uname -s)" = Linux ] || exit 0; \
	if ! command -v apt-get >/dev/null; then \
	  echo "Not Debian or Ubuntu. A window needs your distribution's packages for:"; \
	  echo "  $(SYSTEM_PACKAGES)"; \
	  exit 0; \
	fi; \
	known() { [ "$$(dpkg-query -Wf '$${db:Status-Status}' $$1 2>/dev/null)" = installed ]; }; \
	missing=(); \
	for p in $(SYSTEM_PACKAGES); do known $$p || known $${p}t64 || missing+=($$p); done; \
	$(PYTHON) -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv); \
	[ $${#missing[@]} -gt 0 ] || exit 0; \
	echo "Installing system packages: $${missing[*]}"; \
	if [ -n "$(SUDO)" ] && ! command -v sudo >/dev/null; then \
	  echo "Neither root nor sudo: ask an administrator to install them." >&2; exit 1; \
	fi; \
	$(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get -q update; \
	$(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get -q -y install \
	  --no-install-recommends "$${missing[@]}"

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) -V 2>&1)." \
	    "Name another one: make PYTHON=/path/to/python3" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)

# Dependency groups need pip 25.1; Debian 12 has 23.0. `ensurepip` mends an
# environment whose creation was interrupted.
$(VENV)/.pip: $(BIN)/python
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip
	$(BIN)/python $(PIP) install --upgrade 'pip>=25.1'
	@touch $@

$(VENV)/.gui: pyproject.toml hatch_build.py $(VENV)/.pip | system
	@echo "Installing the plugin and napari into $(VENV) (the first time: two minutes)"
	$(BIN)/python $(PIP) install --editable . --group gui
	@touch $@

# The development tools include what the demo needs.
$(VENV)/.dev: pyproject.toml hatch_build.py $(VENV)/.pip | system
	@echo "Installing the plugin and its tools into $(VENV) (the first time: minutes)"
	$(BIN)/python $(PIP) install --editable . --group dev
	@touch $(VENV)/.gui $@

# Cleaning the sources takes the link to the manifest, which editable installs need.
ifeq ($(wildcard src/napari_msimage/napari.yaml),)
$(VENV)/.gui $(VENV)/.dev $(LOWEST)/.test: FORCE
endif
FORCE:

# Direct dependencies at exactly their declared lower bounds, as pip constraints.
define LOWER_BOUNDS
import re, tomllib
project = tomllib.load(open("pyproject.toml", "rb"))
lists = [project["project"]["dependencies"], *project["dependency-groups"].values()]
for line in {line for lines in lists for line in lines if isinstance(line, str)}:
    print(re.sub(r"\[.*?\]", "", line).replace(">=", "=="))
endef
export LOWER_BOUNDS

$(LOWEST)/.test: pyproject.toml hatch_build.py | system $(BIN)/python
	$(PYTHON) -m venv --clear $(LOWEST)
	$(LOWEST)/bin/python $(PIP) install --upgrade 'pip>=25.1'
	$(PYTHON) -c "$$LOWER_BOUNDS" > $(LOWEST)/constraints.txt
	$(LOWEST)/bin/python $(PIP) install --only-binary :all: --editable . --group test \
	  --constraint $(LOWEST)/constraints.txt
	@touch $@
