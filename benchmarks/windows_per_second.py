"""Haplotype windows a second, genotypes to one-hot, beside `bcftools consensus`, on the same people and windows.

    .venv/bin/python benchmarks/windows_per_second.py

Needs bcftools and the real cohort of ../shared/data; one gene, both haplotypes of 100 people, SNVs only.
"""

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from pdstore.haplotypes.build import distinct_haplotypes, haplotype_windows
from pdstore.haplotypes.onehot import one_hot
from pdstore.haplotypes.window import WindowSpec
from pdstore.init import Sources, init_store
from pdstore.stages.gene_window import read_carried, read_gene_window
from pdstore.stages.windows import Windows, reference_letters
from pdstore.store import open_store

GENE, PEOPLE = 1, 100
COHORT = Path(__file__).parents[2] / "shared" / "data" / "geuvadis_chr20"
WINDOWS = (WindowSpec(10_500, 6_999, "gene"), WindowSpec(196_608, 98_303, "forward"))


def main() -> None:
    if shutil.which("bcftools") is None or not COHORT.is_dir():
        sys.exit("needs bcftools and ../shared/data/geuvadis_chr20")
    vcf = COHORT / "chr20.1000G_EUR502.phased.vcf.gz"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "geuvadis.zarr"
        genes, expression = COHORT / "genes.tsv", COHORT / "expression.tsv.gz"
        init_store(path, Sources([vcf], COHORT / "chr20.fa", genes, expression))
        store = open_store(path, "r+")
        people = store.read("genotypes/sample_id").tolist()[:PEOPLE]
        print("| window | what | haplotypes/s | ratio |\n| --- | --- | --- | --- |")
        for window in WINDOWS:
            Windows(window).prepare(store)
            start = int(store.read(f"windows/{window.name}/window_start", GENE))
            letters = reference_letters(store, "20", start, window.length)

            fasta = Path(folder) / "window.fa"
            fasta.write_text(f">20:{start + 1}-{start + window.length}\n{letters.tobytes().decode()}\n")
            command = ["bcftools", "consensus", "-f", str(fasta), "-i", 'TYPE="snp"', str(vcf)]
            began = time.perf_counter()
            for person in people:
                for haplotype in ("1pIu", "2pIu"):
                    subprocess.run([*command, "-H", haplotype, "-s", person], check=True, capture_output=True)
            peer = 2 * PEOPLE / (time.perf_counter() - began)

            began = time.perf_counter()
            found = read_gene_window(store, window, GENE)
            carried, absent = read_carried(store, found)
            distinct = distinct_haplotypes(carried[:, :PEOPLE], absent[:PEOPLE])
            reference = one_hot(letters)
            for first in range(0, len(distinct.alleles), 64):
                haplotype_windows(reference, distinct.alleles[first : first + 64], found.snvs)
            built = 2 * PEOPLE / (time.perf_counter() - began)

            began = time.perf_counter()
            Windows(window).run(store, (GENE,))
            count = int(np.max(store.read(f"windows/{window.name}/haplotype_index", GENE))) + 1
            stored = 2 * store.array("genotypes/call_genotype").shape[1] / (time.perf_counter() - began)
            name = f"{window.length:,} bp"
            print(f"| {name} | `bcftools consensus`, a process a haplotype, letters | {peer:,.0f} | 1 |")
            print(f"| {name} | pdstore, genotypes to one-hot in memory | {built:,.0f} | {built / peer:,.0f} |")
            print(
                f"| {name} | pdstore, genotypes to the store ({count} distinct of all people) "
                f"| {stored:,.0f} | {stored / peer:,.0f} |"
            )


if __name__ == "__main__":
    main()
