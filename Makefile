# Every target sets up what it needs on a machine with Python 3.11 or newer and a C++ compiler, and is quick when
# nothing changed. Variables: PYTHON (interpreter), CXX (compiler), ARGS (passed on to tacit demo, pytest or the
# benchmarks), DEMO_VENV and TEST_VENV (folders of the two environments).

DEMO_VENV ?= .venv-demo
TEST_VENV ?= .venv-test
ARGS ?=

SHELL := /bin/sh
PIP := -m pip --quiet --quiet --disable-pip-version-check --no-input
TEST := PATH="$(abspath $(TEST_VENV))/bin:$$PATH"
SOURCES := pyproject.toml $(wildcard CMakeLists.txt LICENSE README.md) \
    $(shell find src cpp -type f ! -name '*.so' ! -name '*.pyc' ! -name '.*' 2> /dev/null)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:
.PHONY: help demo test test-slow lint bench clean

help:
	@echo "make demo       run the main job on real input, in an environment of run-time requirements only"
	@echo "make test       build, install and run the tests (ARGS='-k name' picks some)"
	@echo "make test-slow  the long statistical, kill and fuzz runs"
	@echo "make lint       ruff, mypy, import-linter and our own rules"
	@echo "make bench      every benchmark in bench/"
	@echo "make clean      remove what was built, the two environments and all caches"

demo: $(DEMO_VENV)/package.stamp
	@$(DEMO_VENV)/bin/tacit demo $(ARGS)

test: $(TEST_VENV)/torch.stamp $(TEST_VENV)/package.stamp
	@$(TEST) python -m pytest $(ARGS)

test-slow: $(TEST_VENV)/torch.stamp $(TEST_VENV)/package.stamp
	@$(TEST) python -m pytest -m slow --timeout=1800 $(ARGS)

# Every check runs, also after one has failed, so that one run shows everything.
lint: $(TEST_VENV)/tools.stamp
	@failed=""; check() { $(TEST) "$$@" || failed=yes; }; \
	check ruff check --quiet --output-format=concise .; \
	check ruff format --quiet --check --output-format=concise .; \
	check mypy --no-error-summary; \
	check env PYTHONPATH=src lint-imports; \
	check python tools/lint.py; \
	if [ -n "$$failed" ]; then echo "lint: not clean"; exit 1; fi; echo "lint: clean"

bench: $(TEST_VENV)/torch.stamp $(TEST_VENV)/package.stamp
	@for script in bench/*.py; do echo "== $$script"; $(TEST) python $$script $(ARGS) || exit 1; done

clean:
	rm -rf build dist $(DEMO_VENV) $(TEST_VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find src tests tools bench examples -name __pycache__ -type d -prune -exec rm -rf {} +

# The demo's environment is a user's: nothing but the package and what it needs to run.
$(DEMO_VENV)/venv.stamp $(TEST_VENV)/venv.stamp:
	@python=$$(sh tools/find_python.sh) && "$$python" -m venv --clear $(@D)
	@touch $@

$(DEMO_VENV)/needs.stamp: pyproject.toml tools/requirements.py $(DEMO_VENV)/venv.stamp
	@echo "installing what tacit needs into $(@D)"
	@$(@D)/bin/python tools/requirements.py > $(@D)/requirements.txt
	@$(@D)/bin/python $(PIP) install --no-compile -r $(@D)/requirements.txt
	@$(@D)/bin/python $(PIP) uninstall --yes setuptools 2> /dev/null || true  # some Pythons put it there; unused
	@touch $@

$(DEMO_VENV)/package.stamp: $(SOURCES) $(DEMO_VENV)/needs.stamp
	@sh tools/check_compiler.sh
	@echo "building tacit for $(@D)"
	@$(@D)/bin/python $(PIP) install --no-compile --no-deps --force-reinstall .
	@touch $@

# torch goes in by itself and exactly, so that no other requirement picks a build that was never tested.
$(TEST_VENV)/torch.stamp: tools/torch-requirement.txt $(TEST_VENV)/venv.stamp
	@echo "installing torch into $(@D)"
	@$(@D)/bin/python $(PIP) install -r $<
	@touch $@

$(TEST_VENV)/tools.stamp: pyproject.toml tools/requirements.py $(TEST_VENV)/venv.stamp
	@echo "installing the development tools into $(@D)"
	@$(@D)/bin/python tools/requirements.py dev onnx > $(@D)/requirements.txt
	@$(@D)/bin/python $(PIP) install -r $(@D)/requirements.txt
	@touch $@

# The build's own tools are among the development tools, so a rebuild downloads nothing.
$(TEST_VENV)/package.stamp: $(SOURCES) $(TEST_VENV)/tools.stamp
	@sh tools/check_compiler.sh
	@echo "building tacit for $(@D)"
	@$(TEST) python $(PIP) install --no-build-isolation --no-deps --force-reinstall .
	@touch $@
