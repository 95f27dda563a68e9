PYTHON ?= python3
BIN := .venv/bin

.PHONY: install demo test test-borzoi benchmark benchmark-haplotypes benchmark-statistics vendor-viewer clean

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

# borzoi-pytorch needs another transformers than enformer-pytorch: it gets an environment of its own.
test-borzoi: .venv-borzoi/installed
	.venv-borzoi/bin/pytest tests/models/test_borzoi.py

.venv-borzoi/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-borzoi
	.venv-borzoi/bin/pip install --quiet torch==2.13.0
	.venv-borzoi/bin/pip install --quiet --constraint constraints.txt --editable '.[borzoi]' 'pytest>=8'
	touch $@

benchmark: install benchmark-haplotypes benchmark-statistics
	$(BIN)/python benchmarks/query_latency.py
	$(BIN)/python benchmarks/diff.py
	$(BIN)/python benchmarks/null_calibration.py
	$(BIN)/python benchmarks/windows_memory.py
	$(BIN)/python benchmarks/fill_scale.py
	$(BIN)/python benchmarks/enformer_fill.py
	$(BIN)/python benchmarks/enformer_engine.py
	$(BIN)/python benchmarks/enformer_gradient.py
	$(BIN)/python benchmarks/enformer_precision.py
	$(BIN)/python benchmarks/network_training.py
	$(BIN)/python benchmarks/expecto.py
	$(BIN)/python benchmarks/fill_overhead.py
	$(BIN)/python benchmarks/models.py
	$(BIN)/python benchmarks/merge.py

# GenVarLoader pins other versions than pdstore: it gets an environment of its own.
benchmark-haplotypes: install .venv-genvarloader/installed
	$(BIN)/python benchmarks/haplotypes.py

# So does tensorQTL.
benchmark-statistics: install .venv-tensorqtl/installed
	$(BIN)/python benchmarks/gene_statistics.py --tensorqtl .venv-tensorqtl/bin/python

.venv-tensorqtl/installed:
	$(PYTHON) -m venv .venv-tensorqtl
	.venv-tensorqtl/bin/pip install --quiet torch==2.13.0
	.venv-tensorqtl/bin/pip install --quiet tensorqtl==1.0.10 pandas_plink 'pyarrow<22'
	touch $@

.venv-genvarloader/installed:
	$(PYTHON) -m venv .venv-genvarloader
	.venv-genvarloader/bin/pip install --quiet genvarloader==0.43.1
	touch $@

# Bundles what the viewer uses of zarrita.js and fzstd: needs node, and only when their versions change.
VIEWER := pdstore/sharing/viewer
vendor-viewer:
	cd $(VIEWER)/vendor && npm ci --no-audit --no-fund && npx --no-install esbuild entry.js --bundle --minify --format=esm \
	    --target=es2022 --legal-comments=none --alias:numcodecs/blosc=./absent.js --alias:numcodecs/lz4=./absent.js \
	    --alias:numcodecs/zstd=./absent.js --outfile=../zarrita.js

clean:
	rm -rf .venv .venv-borzoi .venv-genvarloader .venv-tensorqtl pdstore-demo
