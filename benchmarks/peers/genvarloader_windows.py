"""GenVarLoader's side of benchmarks/haplotypes.py; runs in an environment of its own.

    .venv-genvarloader/bin/python benchmarks/peers/genvarloader_windows.py write FOLDER VCF BED
    .venv-genvarloader/bin/python benchmarks/peers/genvarloader_windows.py measure FOLDER FASTA LENGTH BATCH
    .venv-genvarloader/bin/python benchmarks/peers/genvarloader_windows.py windows FOLDER FASTA LENGTH FILE

`measure` prints one JSON object: haplotypes a second over all people of all genes, as letters and one-hot. `windows`
saves the first gene's windows, and the order of the people.
"""

import json
import sys
import time
from pathlib import Path

import genoray
import genvarloader
import numpy as np
import polars as pl
import seqpro


def write(folder: str, vcf: str, bed: str) -> None:
    regions = pl.read_csv(bed, separator="\t", schema_overrides={"chrom": pl.Utf8})
    genvarloader.write(folder, regions, variants=genoray.VCF(vcf), overwrite=True)
    size = sum(path.stat().st_size for path in Path(folder, "genotypes").rglob("*") if path.is_file())
    print(json.dumps({"bytes": size}))


def windows(folder: str, fasta: str, length: str, file: str) -> None:
    dataset = opened(folder, fasta, length)
    letters = np.asarray(dataset[0, np.arange(dataset.shape[1])]).view(np.uint8).reshape(-1, 2, int(length))
    np.savez(file, letters=letters, people=np.array(dataset.samples))
    print(json.dumps({"people": dataset.shape[1]}))


def opened(folder: str, fasta: str, length: str) -> genvarloader.ArrayDataset:
    dataset = genvarloader.Dataset.open(folder, reference=fasta, deterministic=True, rc_neg=False)
    return dataset.with_len(int(length)).with_seqs("haplotypes")


def measure(folder: str, fasta: str, length: str, batch: str) -> None:
    dataset = opened(folder, fasta, length)
    genes, people = dataset.shape
    rates: dict[str, float] = {}
    # One-hot by the library that GenVarLoader recommends, and by a table of rows: whichever is faster counts.
    rows = np.zeros((256, 4), dtype=np.uint8)
    rows[np.frombuffer(b"ACGT", dtype=np.uint8)] = np.eye(4, dtype=np.uint8)
    encoders = (
        ("letters", np.asarray),
        ("onehot", seqpro.DNA.ohe),
        ("onehot", lambda letters: rows[letters.view(np.uint8)]),
    )
    for name, encode in encoders:
        rng = np.random.default_rng(0)
        # A person has two haplotypes.
        persons = max(1, int(batch) // 2)
        encode(dataset[0, rng.permutation(people)[:persons]])
        seconds, haplotypes = 0.0, 0
        while seconds < 1:
            for gene in range(genes):
                order = rng.permutation(people)
                began = time.perf_counter()
                for first in range(0, people, persons):
                    encode(dataset[gene, order[first : first + persons]])
                    haplotypes += 2 * len(order[first : first + persons])
                    if name == "onehot" and time.perf_counter() - began > 0.5:
                        break
                seconds += time.perf_counter() - began
        rates[name] = max(haplotypes / seconds, rates.get(name, 0.0))
    print(json.dumps(rates))


if __name__ == "__main__":
    {"write": write, "measure": measure, "windows": windows}[sys.argv[1]](*sys.argv[2:])
