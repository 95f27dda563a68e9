"""tensorQTL's side of benchmarks/gene_statistics.py; runs in an environment of its own.

    .venv-tensorqtl/bin/python benchmarks/peers/tensorqtl_slopes.py OUT.npz GENE.npz...

Prints one JSON object: seconds of the fastest of several passes of `cis.map_nominal` over the genes, which has all
variants of a gene in its window. OUT.npz has slope and p of each gene's variants, NaN where it gives none.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from tensorqtl import cis

PASSES = 5


def main() -> None:
    out, paths = sys.argv[1], sys.argv[2:]
    genes = []
    for row, path in enumerate(paths):
        with np.load(path) as gene:
            dosage, observed = gene["dosage"], gene["observed"]
        people = [f"person{i}" for i in range(dosage.shape[1])]
        names = [f"v{i}" for i in range(len(dosage))]
        genotypes = pd.DataFrame(dosage.astype(np.float32), index=names, columns=people)
        variants = pd.DataFrame({"chrom": "1", "pos": 1_000 + np.arange(len(dosage))}, index=names)
        expression = pd.DataFrame([observed.astype(np.float32)], index=[f"gene{row}"], columns=people)
        place = pd.DataFrame({"chr": ["1"], "pos": [2_000]}, index=expression.index)
        genes.append((genotypes, variants, expression, place))
    with tempfile.TemporaryDirectory() as folder:
        seconds = []
        for _ in range(PASSES):
            began = time.perf_counter()
            for row, (genotypes, variants, expression, place) in enumerate(genes):
                cis.map_nominal(
                    genotypes,
                    variants,
                    expression,
                    place,
                    f"gene{row}",
                    maf_threshold=0,
                    window=10_000,
                    output_dir=folder,
                    verbose=False,
                )
            seconds.append(time.perf_counter() - began)
        found = {}
        for row, (genotypes, *_) in enumerate(genes):
            table = pd.read_parquet(Path(folder, f"gene{row}.cis_qtl_pairs.1.parquet")).set_index("variant_id")
            found[f"gene{row}"] = table.reindex(genotypes.index)[["slope", "pval_nominal"]].to_numpy().T
    np.savez(out, **found)
    print(json.dumps({"seconds": min(seconds)}))


if __name__ == "__main__":
    main()
