PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt
KERNELS := $(shell find minimalml -name '*.pyx' -o -name '*.pxd' -o -name '*.h')
BUILD_REQUIRES := 'setuptools>=77' 'Cython>=3.1.2,!=3.2.6,!=3.2.7,!=3.2.8,!=3.2.9,<4' 'numpy>=2.0'

.PHONY: demo test test-slow lint docs bench claims wheel clean

$(VENV)/installed: pyproject.toml setup.py constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) $(BUILD_REQUIRES)
	$(PIP) --no-build-isolation -e '.[test]'
	touch $@

$(VENV)/built: $(VENV)/installed $(KERNELS)
	$(BIN)/python setup.py --quiet build_ext --inplace
	touch $@

demo: $(VENV)/built
	$(BIN)/python -m minimalml demo

test: $(VENV)/built
	$(BIN)/python -m pytest
