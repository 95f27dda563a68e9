PYTHON ?= python3
BIN := .venv/bin

.PHONY: install demo test benchmark clean

install: .venv/installed

# torch first, at its pinned version: an open range would pull gigabytes of CUDA packages.
.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet torch==2.13.0
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[fill,plot,test]'
	touch $@

demo: install
	rm -rf pdstore-demo
	$(BIN)/pdstore demo

test: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict pdstore cli
	$(BIN)/lint-imports
	$(BIN)/pytest

benchmark: install
	$(BIN)/python benchmarks/query_latency.py
	$(BIN)/python benchmarks/windows_per_second.py

clean:
	rm -rf .venv pdstore-demo
