"""Readouts trained on differences between people."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pdstore import train_readout as module
from pdstore.errors import UsageError
from pdstore.models.registry import ModelReference
from pdstore.stages.readouts import Readout, chosen_readout
from pdstore.stages.stage import read_rows
from pdstore.store import Store, open_store
from pdstore.train_readout import train_readout

Program = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def store(filled: Path, tmp_path: Path) -> Store:
    """A filled store whose expression is, beside a level of each gene's own, twice log2 of the track, and noise."""
    store = open_store(shutil.copytree(filled, tmp_path / "store.zarr"), "r+")
    rng = np.random.default_rng(0)
    group = "predictions/cnn"
    window = store.group(group).attrs["window"]
    observed = store.read("expression/observed").astype(float)
    for gene in range(len(observed)):
        count = int(store.read(f"windows/{window}/haplotype_count", gene))
        tracks = rng.lognormal(size=(count, 1, 1)).astype(np.float32)
        # As a fill writes them: not beyond the gene's haplotypes.
        store.write(f"{group}/tracks", (gene, slice(0, count)), tracks)
        index = store.read(f"windows/{window}/haplotype_index", gene)
        of_people = np.log2(tracks[:, 0, 0].astype(float))[index].mean(axis=1)
        observed[gene] = rng.normal(0, 10) + 2 * of_people + rng.normal(0, 0.3, len(of_people))
    observed[3, :5] = np.nan
    store.write("expression/observed", ..., observed.astype(np.float32))
    return store


def test_it_learns_what_differs_between_people_and_not_what_differs_between_genes(
    store: Store, cnn: ModelReference, tmp_path: Path
) -> None:
    report = train_readout(store.url, tmp_path / "readout.csv", "cnn", seed=1, target="differential")
    assert (report.genes, report.tracks, report.tracks_used, report.people) == (24, 1, 1, 40)
    assert report.held_out_r > 0.9
    assert np.isnan(report.left_out_r)
    readout = chosen_readout(store, cnn, "elastic_net", tmp_path / "readout.csv")
    assert readout is not None
    assert readout.weights is not None
    # The smallest of the penalties takes a little of the weight.
    assert readout.weights[0] == pytest.approx(2, abs=0.1)
    # The level is that of expression.
    r, mean = [], []
    for gene in range(24):
        values = predicted(store, gene, readout)
        observed = store.read("expression/observed", gene).astype(float)
        measured = ~np.isnan(observed)
        r.append(np.corrcoef(values[measured], observed[measured])[0, 1])
        mean.append(values[measured].mean() - observed[measured].mean())
    assert report.held_out_r == pytest.approx(np.mean(r), abs=1e-3)
    assert np.mean(mean) == pytest.approx(0, abs=1e-3)


def predicted(store: Store, gene: int, readout: Readout) -> np.ndarray:
    window = store.group("predictions/cnn").attrs["window"]
    count = int(store.read(f"windows/{window}/haplotype_count", gene))
    of_haplotypes = np.concatenate([readout.of(run) for run in read_rows(store, "predictions/cnn/tracks", gene, count)])
    return np.asarray(of_haplotypes[store.read(f"windows/{window}/haplotype_index", gene)].mean(axis=1))


def test_people_are_left_out_and_few_are_taken_where_memory_ends(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = store.read("genotypes/sample_id").tolist()
    listed = tmp_path / "people.txt"
    listed.write_text("\n".join(names[10:]))
    report = train_readout(store.url, tmp_path / "a.csv", target="differential", people=listed)
    assert (report.people, report.people_left_out) == (30, 10)
    assert report.left_out_r > 0.8
    monkeypatch.setattr(module, "_MOST_VALUES", 24 * 4)
    few = module._differences(store, "predictions/cnn", np.arange(40), np.random.default_rng(0))
    assert np.bincount(few.gene).tolist() == [4] * 24
    np.testing.assert_allclose(few.target.reshape(24, 4).sum(axis=1), 0, atol=1e-5)
    with pytest.raises(UsageError, match="--people is for --target differential"):
        train_readout(store.url, tmp_path / "b.csv", people=listed)


def test_the_command_says_what_came_of_it(store: Store, pdstore: Program, tmp_path: Path) -> None:
    done = pdstore("train", "readout", "-s", store.url, "-o", tmp_path / "r.csv", "--target", "differential")
    assert done.returncode == 0, done.stderr
    assert re.search(
        r"1 of 1 tracks with a weight; mean R over 40 people at 24 genes, each left out, 0\.9\d+, over 0 people left "
        "out -",
        done.stdout,
    )
