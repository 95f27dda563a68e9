"""Genes that are added to a store: what was filled stays, and a fill computes what one of all genes would."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import (
    CONTIGS,
    GENES,
    PEOPLE,
    expression_table,
    listing,
    write_cohort,
    write_fasta,
    write_genes,
    write_table,
)
from filled_stores import WEIGHTS, chunks, made
from quiet import Quiet

from pdstore.add import NewGenes, add_genes
from pdstore.diff import diff
from pdstore.errors import InputError, LeaseError, PdstoreError, ProvenanceError, StoreError, UsageError
from pdstore.fill import STAGES, steps
from pdstore.init import init_store
from pdstore.lease import held_lease
from pdstore.schema import deviations
from pdstore.store import open_store

Program = Callable[..., subprocess.CompletedProcess[str]]
Fill = Callable[..., None]


@pytest.fixture(scope="module")
def whole(small: Path) -> Path:
    """A filled store of all four genes: not to be written to."""
    return small


@pytest.fixture(scope="module")
def first(fill_now: Fill, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A filled store of the first two genes, on contig 1: not to be written to."""
    return made(tmp_path_factory.mktemp("first") / "cohort", fill_now, GENES[:2])


@pytest.fixture
def store(first: Path, tmp_path: Path) -> Path:
    (tmp_path / "stores").mkdir()
    return Path(shutil.copytree(first, tmp_path / "stores" / "store.zarr"))


@pytest.fixture
def new(tmp_path: Path) -> NewGenes:
    """All four genes, what was measured, and the reference."""
    sources = write_cohort(tmp_path / "more")
    return NewGenes(sources.genes, sources.expression, sources.fasta)


def test_a_fill_computes_what_is_new_and_gives_what_one_of_all_genes_gives(
    store: Path, whole: Path, new: NewGenes, fill_now: Fill
) -> None:
    before = {file: file.stat().st_ino for file in store.rglob("*") if file.is_file() and "/tracks/c/" in str(file)}
    (store / "NOTES.txt").write_text("mine")
    added = add_genes(str(store), new, Quiet())
    assert added.taken == {"new genes": 2, "new genes with measured expression": 2, "genes now": 4}
    assert added.left_out["genes that the store has already"] == 2
    assert deviations(open_store(store).root) == []
    assert listing(store.parent)[0] == "store.zarr", "nothing is left beside it"
    assert (store / "NOTES.txt").read_text() == "mine"
    computed: list[tuple[str, int]] = []
    opened = open_store(store, "r+")
    for name in STAGES:
        for step in steps(WEIGHTS, name):
            step.prepare(opened)
            for block in step.pending(opened, range(4)).todo:
                computed.append((step.name, block[0]))
                step.run(opened, block)
            step.gather(opened)
    assert {gene for _, gene in computed} == {2, 3}
    assert len(computed) == 14, "seven steps of two genes"
    assert {file: file.stat().st_ino for file in before} == before, "predictions of old genes were not even copied"
    assert diff(open_store(store), open_store(whole)).is_empty
    assert chunks(store) == chunks(whole)


def test_genes_of_wider_windows_may_come_later(whole: Path, fill_now: Fill, tmp_path: Path) -> None:
    store = made(tmp_path / "narrow", fill_now, GENES[2:])
    width = open_store(store).array("attributions/cnn/ism").shape[1]
    more = write_cohort(tmp_path / "more")
    add_genes(str(store), NewGenes(more.genes, more.expression, more.fasta), Quiet())
    assert open_store(store).array("attributions/cnn/ism").shape[1] > width
    fill_now(open_store(store, "r+"), WEIGHTS)
    assert open_store(store).read("genes/gene_name").tolist() == ["GAMMA", "DELTA", "ALPHA", "BETA"]
    assert diff(open_store(store), open_store(whole)).is_empty


def test_what_is_taken_out_of_expression_is_taken_out_of_new_genes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = expression_table()
    rows[1:] = [[row[0], *(f"{value:.3f}" for value in rng.normal(size=6))] for row in rows[1:]]
    covariates = write_table(
        tmp_path / "covariates.tsv", [["id", "age"], *([p, str(a)] for p, a in zip(PEOPLE, "352814", strict=True))]
    )
    given = {
        "expression": write_table(tmp_path / "expression.tsv", rows),
        "covariates": covariates,
        "residualise": ["age"],
        "expression_pcs": 1,
    }
    sources = write_cohort(tmp_path / "cohort", **given)
    init_store(tmp_path / "whole.zarr", sources)
    genes = write_genes(tmp_path / "two.tsv", [GENES[0], GENES[2]])
    init_store(tmp_path / "two.zarr", write_cohort(tmp_path / "two", **given, genes=genes))
    other = write_table(tmp_path / "other.tsv", expression_table())
    with pytest.raises(ProvenanceError, match="takes 1 expression PCs out, of expression with digest"):
        add_genes(str(tmp_path / "two.zarr"), NewGenes(sources.genes, other), Quiet())
    added = add_genes(str(tmp_path / "two.zarr"), NewGenes(sources.genes, sources.expression), Quiet())
    assert added.taken["new genes"] == 2
    grown, straight = open_store(tmp_path / "two.zarr"), open_store(tmp_path / "whole.zarr")
    order = [0, 2, 1, 3]
    np.testing.assert_array_equal(grown.read("expression/observed"), straight.read("expression/observed")[order])
    np.testing.assert_allclose(
        grown.read("expression/residual"), straight.read("expression/residual")[order], rtol=1e-5, atol=1e-7
    )


def test_genes_without_expression_are_not_measured(store: Path, new: NewGenes, monkeypatch: pytest.MonkeyPatch) -> None:
    # A system that cannot exchange two names renames twice.
    monkeypatch.setattr("pdstore.add.replacement._exchanged", lambda first, second: False)
    added = add_genes(str(store), NewGenes(new.genes, fasta=new.fasta), Quiet())
    assert added.taken["new genes with measured expression"] == 0
    assert added.left_out["expression of new genes that are not measured"] == 2
    assert np.isnan(open_store(store).read("expression/observed")[2:]).all()
    assert listing(store.parent)[0] == "store.zarr", "nothing is left beside it"


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"fasta": None}, UsageError, "has no contig 2, on which new genes lie (it has 1): give the reference with"),
        ({"fasta": {"1": CONTIGS["1"]}}, InputError, "the FASTA has no contig '2'"),
        ({"fasta": {"2": CONTIGS["2"][:8] + "A" * 292}}, InputError, "the reference allele at 2:10 is G in the store"),
        ({"genes": GENES[:2]}, InputError, "none of its 2 genes can be added: the store has 2 of them"),
        ({"genes": [GENES[2]._replace(tss=301)]}, InputError, "TSS 301 lies beyond contig 2, which has 300 bp"),
        ({"genes": [GENES[2]._replace(contig="X")]}, InputError, "and 1 lie on contigs without variants"),
    ],
)
def test_what_cannot_be_added_leaves_the_store_as_it_is(
    first: Path,
    store: Path,
    new: NewGenes,
    tmp_path: Path,
    change: dict[str, Any],
    error: type[PdstoreError],
    said: str,
) -> None:
    fasta, genes = new.fasta, new.genes
    if "fasta" in change:
        fasta = write_fasta(tmp_path / "other.fa", change["fasta"]) if change["fasta"] else None
    if "genes" in change:
        genes = write_genes(tmp_path / "other.tsv", change["genes"])
    with pytest.raises(error) as caught:
        add_genes(str(store), NewGenes(genes, new.expression, fasta), Quiet())
    assert said in str(caught.value)
    assert listing(store.parent) == ["store.zarr", *(f"store.zarr/{name}" for name in listing(first))]


def test_a_store_that_is_written_or_is_none_is_refused(store: Path, new: NewGenes, tmp_path: Path) -> None:
    with held_lease(str(store), "fill"), pytest.raises(LeaseError, match="pdstore fill"):
        add_genes(str(store), new, Quiet())
    with pytest.raises(StoreError, match="no such folder"):
        add_genes(str(tmp_path / "no.zarr"), new, Quiet())


KILLED = """
import os, sys
from pathlib import Path
from pdstore.add import NewGenes, add_genes, replacement
exchange = replacement._exchanged
def killed(first, second):
    if sys.argv[1] == "between":
        os.rename(first, Path(second).parent / "replaced")
    if sys.argv[1] == "after":
        assert exchange(first, second)
    os._exit(9)
replacement._exchanged = killed
class Quiet:
    def step(self, what): pass
    copying = copied = step
add_genes(sys.argv[2], NewGenes(*map(Path, sys.argv[3:])), Quiet())
"""


@pytest.mark.parametrize("when", ["before", "between", "after"])
def test_a_kill_leaves_the_old_store_or_the_new_one(when: str, store: Path, new: NewGenes, whole: Path) -> None:
    given = [sys.executable, "-c", KILLED, when, str(store), str(new.genes), str(new.expression), str(new.fasta)]
    assert subprocess.run(given, check=False).returncode == 9
    (leftover,) = (path for path in store.parent.iterdir() if path.name.startswith(".store.zarr.add-"))
    if when == "after":
        assert deviations(open_store(store).root) == []
        with pytest.raises(InputError, match="the store has 4 of them"):
            add_genes(str(store), new, Quiet())
    else:
        added = add_genes(str(store), new, Quiet())
        assert any(str(leftover) in note for note in added.notes)
        assert any("was put back" in note for note in added.notes) == (when == "between")
    assert not leftover.exists()
    assert open_store(store).read("genes/gene_id").tolist() == open_store(whole).read("genes/gene_id").tolist()


def test_the_program_adds_genes(store: Path, new: NewGenes, pdstore: Program) -> None:
    done = pdstore("add", "--genes", new.genes, "--expression", new.expression, "--fasta", new.fasta, "-s", store)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[:3] == [
        "        2  new genes",
        "        2  new genes with measured expression",
        "        4  genes now",
    ]
    assert not [name for name in PEOPLE if name in done.stdout + done.stderr]
