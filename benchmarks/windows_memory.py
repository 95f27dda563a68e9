"""Memory of the workers of `pdstore fill windows` at 5,000 simulated people, for few genes and for many.

    .venv/bin/python benchmarks/windows_memory.py

Needs bcftools and the real cohort of ../shared/data. The people are simulated: each haplotype is a mosaic of real ones,
which changes its source once in 100 sites, with 10,000 rare SNVs more; genes lie every 25 kb. Takes some minutes.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

from pdstore.init import Sources, init_store
from pdstore.store import open_store

COHORT = Path(__file__).parents[2] / "shared" / "data" / "geuvadis_chr20"
VCF, FASTA = COHORT / "chr20.1000G_EUR502.phased.vcf.gz", COHORT / "chr20.fa"
PEOPLE, RARE_SITES, SITES_A_SOURCE = 5_000, 10_000, 100
FEW, MANY = 2, 16
WORKERS = 2


def main() -> None:
    if shutil.which("bcftools") is None or not COHORT.is_dir():
        sys.exit("needs bcftools and ../shared/data/geuvadis_chr20")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        genes = write_sources(folder)
        path = folder / "cohort.zarr"
        sources = Sources([folder / "cohort.vcf"], FASTA, folder / "genes.tsv", folder / "expression.tsv")
        began = time.perf_counter()
        init_store(path, sources)
        print(f"init of {PEOPLE:,} people: {time.perf_counter() - began:.0f} s\n")
        print("| variants | genes | distinct haplotypes | peak memory of a worker | haplotypes/s, stored |")
        print("| --- | --- | --- | --- | --- |")
        for variants in ("snv", "all"):
            for some in (genes[:FEW], genes[FEW:MANY]):
                began = time.perf_counter()
                options = f"--model enformer --variants {variants} --workers {WORKERS} --genes {','.join(some)}"
                peak = peak_of_workers(["fill", "windows", "-s", str(path), *options.split()])
                seconds = time.perf_counter() - began
                counts = open_store(path).read(f"windows/196608bp_tss98303_forward_{variants}/haplotype_count")
                distinct = int(counts[[genes.index(gene) for gene in some]].sum())
                print(
                    f"| {variants} | {len(some)} | {distinct:,} | {peak / 1e9:.2f} GB "
                    f"| {2 * PEOPLE * len(some) / seconds:,.0f} |",
                    flush=True,
                )


def write_sources(folder: Path) -> list[str]:
    """VCF, genes and expression of simulated people; returns the genes' names."""
    rng = np.random.default_rng(0)
    query = ["bcftools", "query", "-f", "%POS\\t%REF\\t%ALT[\\t%GT]\\n", str(VCF)]
    lines = subprocess.run(query, capture_output=True, text=True, check=True).stdout.splitlines()
    sites = [line.split("\t", 3) for line in lines]
    real = np.array([[int(allele) for allele in site[3].replace("\t", "|").split("|")] for site in sites], np.int8)
    # Where each simulated haplotype copies from, site by site.
    segments = -(-len(sites) // SITES_A_SOURCE)
    source = np.repeat(rng.integers(real.shape[1], size=(segments, 2 * PEOPLE)), SITES_A_SOURCE, axis=0)[: len(sites)]
    calls = np.take_along_axis(real, source, axis=1)
    reference = "".join(FASTA.read_text().split("\n")[1:])
    known = {int(site[0]) for site in sites}
    low, high = min(known), max(known)
    records = {int(site[0]): (site[1], site[2], calls[row]) for row, site in enumerate(sites)}
    for position in rng.choice(np.arange(low, high), RARE_SITES, replace=False).tolist():
        base = reference[position - 1]
        if position not in known and base in "ACGT":
            carried = np.zeros(2 * PEOPLE, dtype=np.int8)
            carried[rng.integers(2 * PEOPLE, size=rng.integers(1, 5))] = 1
            records[position] = (base, "ACGT"["ACGT".index(base) - 1], carried)
    people = [f"simulated{number}" for number in range(PEOPLE)]
    words = np.array([b"\t0|0", b"\t0|1", b"\t1|0", b"\t1|1"])
    with (folder / "cohort.vcf").open("wb") as file:
        file.write(b'##fileformat=VCFv4.2\n##contig=<ID=20>\n##FORMAT=<ID=GT,Number=1,Type=String,Description="GT">\n')
        columns = ["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT", *people]
        file.write(("\t".join(columns) + "\n").encode())
        for position, (ref, alt, carried) in sorted(records.items()):
            file.write(f"20\t{position}\t.\t{ref}\t{alt}\t.\tPASS\t.\tGT".encode())
            file.write(words[2 * carried[::2] + carried[1::2]].tobytes() + b"\n")
    genes = [f"GENE{number}" for number in range(MANY)]
    rows = [f"ID{g}\t{g}\t20\t{(low + high) // 2 + 25_000 * (n - MANY // 2)}\t+" for n, g in enumerate(genes)]
    (folder / "genes.tsv").write_text("\n".join(["gene_id\tgene_name\tcontig\ttss\tstrand", *rows]) + "\n")
    table = [["gene_id", *people], *([f"ID{gene}", *["NA"] * PEOPLE] for gene in genes)]
    (folder / "expression.tsv").write_text("\n".join("\t".join(row) for row in table) + "\n")
    return genes


def peak_of_workers(arguments: list[str]) -> int:
    """Run the program; the most resident memory that one of its processes but itself had."""
    program = [sys.executable, "-c", "from pdstore_cli.main import run; run()", *arguments]
    process = subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=os.environ)
    peak = 0
    while process.poll() is None:
        for child in psutil.Process(process.pid).children(recursive=True) if psutil.pid_exists(process.pid) else []:
            try:
                peak = max(peak, child.memory_info().rss)
            except psutil.NoSuchProcess:
                continue
        time.sleep(0.02)
    if process.returncode:
        assert process.stderr is not None
        sys.exit(process.stderr.read().decode())
    return peak


if __name__ == "__main__":
    main()
