"""Haplotype windows: how fast they are built and read back, and how small they are stored, beside GenVarLoader, a
plain NumPy patch and ``bcftools consensus``.

    make benchmark-haplotypes          # makes .venv-genvarloader, then runs this file

Needs bcftools and the real cohort of ../shared/data: 502 people, four genes, Enformer's window of 196,608 bp on the
forward strand. Every figure is the best of three rounds, in which the tools take turns.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import pdstore
from pdstore.haplotypes.onehot import one_hot
from pdstore.init import Sources, init_store
from pdstore.jobs.run import usable_cores
from pdstore.personal import GeneHaplotypes, gene_haplotypes
from pdstore.stages.windows import Windows
from pdstore.store import Store, open_store

COHORT = Path(__file__).parents[2] / "shared" / "data" / "geuvadis_chr20"
VCF, GENES = COHORT / "chr20.1000G_EUR502.phased.vcf.gz", COHORT / "genes.tsv"
PEER = Path(__file__).parent / "peers" / "genvarloader_windows.py"
LENGTH, TSS_OFFSET = 196_608, 98_303
STORED_GENE = "SDCBP2-AS1"
ROUNDS = 3
BATCHES = (8, 16, 32, 64, 128)
CONSENSUS_HAPLOTYPES = 40
REFERENCE_OF: dict[int, np.ndarray] = {}
"""One-hot reference of each gene, by its row: what the NumPy patch copies."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--genvarloader", default=".venv-genvarloader/bin/python", help="Python that has GenVarLoader")
    peer = parser.parse_args().genvarloader
    if shutil.which("bcftools") is None or not COHORT.is_dir() or shutil.which(peer) is None:
        sys.exit("needs bcftools, ../shared/data/geuvadis_chr20 and GenVarLoader (make benchmark-haplotypes)")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        # GenVarLoader writes beside the FASTA.
        shutil.copy(COHORT / "chr20.fa", folder)
        store = make_store(folder)
        print("| variants | what | haplotypes/s | GenVarLoader's times |\n| --- | --- | --- | --- |")
        one_hot_of_peer = {variants: built(folder, store, variants, peer) for variants in ("snv", "all")}
        print("\n| stored windows | haplotypes | bytes a haplotype | one haplotype | all/s | GenVarLoader's times |")
        print("| --- | --- | --- | --- | --- | --- |")
        for variants, rate_of_peer in one_hot_of_peer.items():
            stored(store, variants, rate_of_peer)


def built(folder: Path, store: Store, variants: Any, peer: str) -> float:
    """Build windows with every tool, and print the rates; returns GenVarLoader's rate of one-hot windows."""
    window = pdstore.WindowSpec(LENGTH, TSS_OFFSET, "forward", variants)
    dataset = folder / f"{variants}.gvl"
    written = call(peer, "write", dataset, normalised(folder, variants), regions(folder))
    began = time.perf_counter()
    genes = [gene_haplotypes(store, gene, window) for gene in store.read("genes/gene_name").tolist()]
    reading = (time.perf_counter() - began) / len(genes)
    REFERENCE_OF.update({gene.window.gene: one_hot(gene.window.stretch.letters) for gene in genes})
    if variants == "snv":
        # With indels, GenVarLoader's windows keep their left edge, and ours the TSS.
        call(peer, "windows", dataset, folder / "chr20.fa", LENGTH, folder / "windows.npz")
        require_equal(genes[0], store.read("genotypes/sample_id"), np.load(folder / "windows.npz"))
    tools: dict[str, Callable[[], Any]] = {}
    for batch in BATCHES:
        # Small batches stay in the cache, where a second thread costs more than it gains.
        threads = usable_cores() if batch > 32 else 1
        tools[f"letters {batch}"] = partial(rate, genes, partial(letters, threads=threads), batch)
        tools[f"onehot {batch}"] = partial(rate, genes, partial(onehot, threads=threads), batch)
        tools[f"peer {batch}"] = partial(call, peer, "measure", dataset, folder / "chr20.fa", LENGTH, batch)
    if variants == "snv":
        tools["patch 8"] = partial(rate, genes, numpy_patch, 8)
    tools["consensus 1"] = partial(consensus_rate, folder, store, variants)
    rates = measured_in_turn(tools)
    for kind, own in (("letters", "letters"), ("one-hot", "onehot")):
        peer_rate, peer_batch = best(rates, "peer", own)
        own_rate, own_batch = best(rates, own)
        row(variants, f"GenVarLoader, {kind}, batches of {peer_batch}", peer_rate, peer_rate)
        row(variants, f"**pdstore, {kind}**, batches of {own_batch}", own_rate, peer_rate)
        if kind == "one-hot" and variants == "snv":
            row(variants, "NumPy: copy the one-hot reference, set the SNVs", best(rates, "patch")[0], peer_rate)
    consensus, _ = best(rates, "consensus")
    row(variants, "`bcftools consensus`, letters, a process a haplotype", consensus, best(rates, "peer", "letters")[0])
    note = (
        f"{variants}: one-hot is {own_rate / consensus:,.0f} times bcftools consensus. Once a gene, pdstore reads its "
    )
    note += f"genotypes in {1000 * reading:.0f} ms. GenVarLoader's dataset has "
    note += f"{written['bytes'] / sum(map(len, genes)):.0f} bytes a haplotype window."
    print(note, file=sys.stderr)
    return peer_rate


def make_store(folder: Path) -> Store:
    """A store of all 502 people; their expression does not matter here, and is written as not measured."""
    people = subprocess.run(["bcftools", "query", "-l", VCF], capture_output=True, text=True, check=True).stdout.split()
    genes = [line.split("\t")[0] for line in GENES.read_text().splitlines()[1:]]
    table = folder / "expression.tsv"
    rows = [["gene_id", *people], *([gene, *["NA"] * len(people)] for gene in genes)]
    table.write_text("".join("\t".join(row) + "\n" for row in rows))
    init_store(folder / "cohort.zarr", Sources([VCF], folder / "chr20.fa", GENES, table))
    return open_store(folder / "cohort.zarr", "r+")


def normalised(folder: Path, variants: str) -> Path:
    """The VCF as GenVarLoader asks for it: biallelic, left-aligned."""
    path = folder / f"{variants}.bcf"
    norm = subprocess.run(
        ["bcftools", "norm", "-m", "-any", "-f", folder / "chr20.fa", VCF, "-Ou"], capture_output=True, check=True
    )
    only = ["-v", "snps"] if variants == "snv" else []
    subprocess.run(["bcftools", "view", *only, "-Ob", "-o", path], input=norm.stdout, check=True, capture_output=True)
    subprocess.run(["bcftools", "index", path], check=True)
    return path


def regions(folder: Path) -> Path:
    path = folder / "regions.bed"
    lines = ["chrom\tchromStart\tchromEnd"]
    for line in GENES.read_text().splitlines()[1:]:
        _, _, contig, tss, _ = line.split("\t")
        start = int(tss) - 1 - TSS_OFFSET
        lines.append(f"{contig}\t{start}\t{start + LENGTH}")
    path.write_text("\n".join(lines) + "\n")
    return path


def call(peer: str, *arguments: object) -> Any:
    command = [peer, str(PEER), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def require_equal(gene: GeneHaplotypes, people: np.ndarray, peer: Mapping[str, np.ndarray]) -> None:
    """Stop where GenVarLoader's windows of a gene are not ours."""
    column_of = {name: column for column, name in enumerate(peer["people"].tolist())}
    theirs = peer["letters"][[column_of[people[person]] for person in gene.person], gene.haplotype]
    if not np.array_equal(gene.letters(), theirs):
        sys.exit("GenVarLoader's windows differ from pdstore's")


def measured_in_turn(tools: dict[str, Callable[[], Any]]) -> dict[str, list[Any]]:
    """Each tool once a round, so that what else the machine does falls on all of them."""
    found: dict[str, list[Any]] = {name: [] for name in tools}
    for _ in range(ROUNDS):
        for name, measure in tools.items():
            found[name].append(measure())
    return found


def best(rates: dict[str, list[Any]], tool: str, kind: str | None = None) -> tuple[float, int]:
    """Highest rate of a tool over its batch sizes and rounds, and the batch size."""
    return max(
        (value[kind] if kind else value, int(name.split()[1]))
        for name, values in rates.items()
        if name.startswith(f"{tool} ")
        for value in values
    )


def letters(gene: GeneHaplotypes, rows: np.ndarray, threads: int) -> np.ndarray:
    return gene.letters(rows, threads)


def onehot(gene: GeneHaplotypes, rows: np.ndarray, threads: int) -> np.ndarray:
    return gene.onehot(rows, threads)


def numpy_patch(gene: GeneHaplotypes, rows: np.ndarray) -> np.ndarray:
    """SNVs alone: a copy of the one-hot reference, in which the alternate bases are set."""
    windows = np.empty((len(rows), LENGTH, 4), dtype=bool)
    windows[:] = REFERENCE_OF[gene.window.gene]
    haplotype, allele = np.nonzero(gene.applied[rows])
    alleles = gene.window.alleles
    windows[haplotype, alleles.start[allele]] = one_hot(alleles.inserted)[alleles.inserted_start[allele]]
    return windows


def rate(genes: list[GeneHaplotypes], build: Callable[[GeneHaplotypes, np.ndarray], Any], batch: int) -> float:
    """Haplotypes a second over all people of all genes, in random order, again and again for a second."""
    rng = np.random.default_rng(0)
    build(genes[0], np.arange(batch))
    seconds, haplotypes = 0.0, 0
    while seconds < 1:
        for gene in genes:
            order = rng.permutation(len(gene))
            began = time.perf_counter()
            for first in range(0, len(order), batch):
                build(gene, order[first : first + batch])
            seconds += time.perf_counter() - began
            haplotypes += len(order)
    return haplotypes / seconds


def consensus_rate(folder: Path, store: Store, variants: str) -> float:
    """``bcftools consensus`` of one gene's window, a process a haplotype: it has no other way."""
    tss = int(store.read("genes/gene_tss", 0))
    fasta = folder / "window.fa"
    region = f"20:{tss - TSS_OFFSET}-{tss - TSS_OFFSET + LENGTH - 1}"
    sequence = "".join((folder / "chr20.fa").read_text().splitlines()[1:])
    start = tss - 1 - TSS_OFFSET
    fasta.write_text(f">{region}\n{sequence[start : start + LENGTH]}\n")
    only = ["-i", 'TYPE="snp"'] if variants == "snv" else []
    people = store.read("genotypes/sample_id").tolist()[: CONSENSUS_HAPLOTYPES // 2]
    began = time.perf_counter()
    for person in people:
        for haplotype in ("1pIu", "2pIu"):
            command = ["bcftools", "consensus", "-f", fasta, "-H", haplotype, "-s", person, *only, VCF]
            subprocess.run(command, check=True, capture_output=True)
    return CONSENSUS_HAPLOTYPES / (time.perf_counter() - began)


def row(variants: str, what: str, value: float, peer: float) -> None:
    print(f"| {variants} | {what} | {value:,.0f} | {value / peer:.3g} |")


def stored(store: Store, variants: str, one_hot_of_peer: float) -> None:
    """Fill the windows of one gene, and read them back."""
    window = pdstore.WindowSpec(LENGTH, TSS_OFFSET, "forward", variants)
    stage = Windows(window)
    stage.prepare(store)
    gene = store.read("genes/gene_name").tolist().index(STORED_GENE)
    stage.run(store, (gene,))
    path = f"{stage.group}/haplotype_onehot"
    count = int(store.read(f"{stage.group}/haplotype_index", gene).max()) + 1
    size = store.size_on_disk(f"{path}/c/{gene}")
    one, every = [], []
    chunk = store.array(path).chunks[1]
    for turn in range(ROUNDS * 3):
        began = time.perf_counter()
        store.read(path, (gene, (turn * 131) % count))
        one.append(time.perf_counter() - began)
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for first in range(0, count, chunk):
            store.read(path, (gene, slice(first, min(first + chunk, count))))
        every.append(count / (time.perf_counter() - began))
    print(
        f"| {variants} | {count} | {size / count:.0f} | {1000 * np.median(one):.0f} ms | {max(every):,.0f} "
        f"| {max(every) / one_hot_of_peer:.3g} |"
    )


if __name__ == "__main__":
    main()
