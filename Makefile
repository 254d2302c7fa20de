# Every target does its own set-up in $(VENV); constraints.txt pins the CPU build of torch.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt
BUILD_REQUIRES := 'setuptools>=77' 'Cython>=3.1.2,!=3.2.6,!=3.2.7,!=3.2.8,!=3.2.9,<4' 'numpy>=2.0' 'scipy>=1.11'
KERNELS := $(shell find minimalml -name '*.pyx' -o -name '*.pxd' -o -name '*.h')

.PHONY: help demo test test-slow coverage lint docs bench bench-quick claims wheel clean
.DELETE_ON_ERROR:

help:
	@echo "make demo         each family beside what one would use instead; writes report.html"
	@echo "make test         the quick test suite            (PYTEST_ARGS='tests/transport -x')"
	@echo "make test-slow    the whole test suite"
	@echo "make coverage     the quick test suite, and the lines that it leaves out"
	@echo "make lint         ruff, import-linter, cython-lint, codespell"
	@echo "make docs         the documentation, its gallery executed, in doc/_build/html"
	@echo "make bench        the speed benchmarks            (BENCH_ARGS='--bench mixup')"
	@echo "make bench-quick  the same, each timed once"
	@echo "make claims       the papers' claims, run again   (STEM=c_mixup)"
	@echo "make wheel        source archive and wheel, built in isolation, in dist"
	@echo "make clean        remove what was built"

# Build requirements stay in the environment, so that a changed kernel is built again
# in seconds and not in an environment of its own.
$(VENV)/installed: pyproject.toml setup.py constraints.txt
	@echo "Setting up $(VENV), a minute or two the first time ..."
	$(PYTHON) -m venv $(VENV)
	$(PIP) $(BUILD_REQUIRES)
	$(PIP) --no-build-isolation -e '.[torch,plot,progress]'
	touch $@

# Only the packages that the extra adds; minimalml itself is there already.
$(VENV)/extra-%: $(VENV)/installed
	$(PIP) 'minimalml[$*]'
	touch $@

$(VENV)/built: $(VENV)/installed $(KERNELS)
	$(BIN)/python setup.py --quiet build_ext --inplace
	touch $@

demo: $(VENV)/built
	$(BIN)/python -m minimalml demo

# Two processes of one thread each; a worker without tests left takes another's.
PYTEST := $(BIN)/python -m pytest -n 2 --dist worksteal

test: $(VENV)/built $(VENV)/extra-test
	$(PYTEST) $(PYTEST_ARGS)

test-slow: $(VENV)/built $(VENV)/extra-test
	$(PYTEST) -m "slow or not slow" $(PYTEST_ARGS)

coverage: PYTEST_ARGS += --cov --cov-report=term:skip-covered
coverage: test

lint: $(VENV)/extra-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	PATH="$(abspath $(BIN)):$$PATH" cython-lint minimalml
	$(BIN)/codespell

docs: $(VENV)/built $(VENV)/extra-docs
	$(BIN)/python -m sphinx -W --keep-going -q -b html doc doc/_build/html
	@echo "Open doc/_build/html/index.html"

# One server imports the suite once; the default imports it anew for each figure.
bench: $(VENV)/built $(VENV)/extra-bench
	$(BIN)/asv machine --yes >/dev/null
	$(BIN)/asv run --python=same --show-stderr --launch-method=forkserver $(BENCH_ARGS)

bench-quick: BENCH_ARGS += --quick
bench-quick: bench

claims: $(VENV)/built $(VENV)/extra-bench
	$(BIN)/python -m minimalml claims $(STEM)

wheel: $(VENV)/extra-test
	rm -rf dist
	$(BIN)/python -m build

clean:
	rm -rf build dist .asv doc/_build doc/gallery doc/api doc/sg_execution_times.rst report.html
	rm -f $(VENV)/built
	find minimalml -name '*.so' -delete
