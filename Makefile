# Two commands for a fresh machine: `make demo` and `make test`. Each sets itself up in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test test-all lint bench docs clean help

help:  ## show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

$(STAMP): pyproject.toml constraints.txt tests/plugin/pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[torch,serve,server,scorecard]' \
	  'onnx>=1.17' 'onnxscript>=0.5' 'onnxruntime>=1.20' 'openvino>=2025.0' \
	  'pytest>=8.3' 'pytest-xdist>=3.6' 'hypothesis>=6.100' 'pyyaml>=6' \
	  'playwright>=1.50' 'axe-playwright-python>=0.1' \
	  'ruff>=0.14' 'mypy>=1.18' 'import-linter>=2.5' 'psutil>=6' 'mkdocs>=1.6.1,<2'
	$(BIN)/python -m pip install --quiet ./tests/plugin
	@touch $(STAMP)

demo: $(STAMP)  ## DeepSeek-V4-Pro on Ascend 950DT and H200, Qwen3-0.6B on this machine's CPU
	$(BIN)/crossgrade assess deepseek-v4-pro --on ascend-950dt --on h200
	$(BIN)/crossgrade assess qwen3-0.6b --on cpu

test: lint  ## what CI runs: lint, types, contracts, tests without the slow ones
	$(BIN)/python -m pytest -n 2 -m 'not slow'

test-all: lint  ## everything, the slow tests too
	$(BIN)/python -m pytest -n 2

lint: $(STAMP)  ## ruff, mypy, import-linter
	$(BIN)/ruff check src tests benchmarks tools
	$(BIN)/ruff format --check src tests benchmarks tools
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(STAMP)  ## time, memory and calls per second of every preset
	$(BIN)/python benchmarks/assess.py

docs: $(STAMP)  ## the docs as a site in site/, to be opened from disk; a broken link fails
	$(BIN)/mkdocs build --strict

clean:  ## remove the virtual environment and caches
	rm -rf $(VENV) site .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
