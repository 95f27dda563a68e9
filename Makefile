PYTHON ?= python3
BIN := .venv/bin

.PHONY: install demo test benchmark benchmark-haplotypes clean

install: .venv/installed

# torch first, at its pinned version: an open range would pull gigabytes of CUDA packages.
.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet torch==2.13.0
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[fill,plot,cluster,export,test]'
	touch $@

demo: install
	rm -rf pdstore-demo
	$(BIN)/pdstore demo

test: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict pdstore cli
	$(BIN)/lint-imports
	$(BIN)/pytest -n 2 --dist loadfile

benchmark: install benchmark-haplotypes
	$(BIN)/python benchmarks/query_latency.py
	$(BIN)/python benchmarks/windows_memory.py
	$(BIN)/python benchmarks/fill_scale.py
	$(BIN)/python benchmarks/enformer_fill.py
	$(BIN)/python benchmarks/enformer_precision.py

# GenVarLoader pins other versions than pdstore: it gets an environment of its own.
benchmark-haplotypes: install .venv-genvarloader/installed
	$(BIN)/python benchmarks/haplotypes.py

.venv-genvarloader/installed:
	$(PYTHON) -m venv .venv-genvarloader
	.venv-genvarloader/bin/pip install --quiet genvarloader==0.43.1
	touch $@

clean:
	rm -rf .venv .venv-genvarloader pdstore-demo
