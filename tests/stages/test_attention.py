"""AttentiveChrome over a store's tracks: trained, read out, attended, shown."""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from subprocess import CompletedProcess

import jsonschema
import numpy as np
import pytest
import torch
from small_models import ENFORMER

from pdstore.analysis.readout import person_prediction
from pdstore.errors import StoreError
from pdstore.models.attentive_chrome import (
    MARKS,
    AttentiveChromeConfig,
    attention,
    read_attentive_chrome,
    read_out_marks,
)
from pdstore.models.enformer_network import random_network, save_network
from pdstore.models.protocol import ModelOptions
from pdstore.models.registry import ModelReference
from pdstore.models.trained import read_config, serialised
from pdstore.query import _kept_bins
from pdstore.stages.attention import AttentionStage
from pdstore.stages.readouts import chosen_readout, set_readout
from pdstore.store import Store, open_store

Program = Callable[..., CompletedProcess[str]]
SIZES = replace(ENFORMER, depth=1, output_heads={"human": 6})
GENES = 6
SCHEMA = Path(__file__).parents[2] / "schemas" / "answers" / "query.schema.json"


@pytest.fixture(scope="module")
def filled(unfilled: Path, tmp_path_factory: pytest.TempPathFactory, fill_now: Callable[..., None]) -> Store:
    """A store whose first genes have the tracks of five histone marks, and one other, in seven of the eight bins."""
    folder = tmp_path_factory.mktemp("chrome")
    save_network(random_network(SIZES, False, seed=3), SIZES, folder / "enformer")
    rows = [f"{index}\tCHIP:{mark}:cells" for index, mark in enumerate((MARKS[4], "CTCF", *MARKS[:4]))]
    (folder / "targets.txt").write_text("\n".join(["index\tdescription", *rows]) + "\n")
    store = open_store(shutil.copytree(unfilled, folder / "store.zarr"), "r+")
    options = ModelOptions(tracks="all", bins="1-7", targets=folder / "targets.txt")
    fill_now(store, ModelReference("enformer", folder / "enformer", options=options), list(range(GENES)))
    return store


def folder_of(store: Store) -> Path:
    return Path(store.url).parent


@pytest.fixture(scope="module")
def weights(filled: Store, pdstore: Program) -> Path:
    path = folder_of(filled) / "chrome.safetensors"
    done = pdstore("train", "attentive-chrome", "-s", filled.url, "--cell-type", "cells", "-o", path, "--epochs", 2)
    assert done.returncode == 0, done.stderr
    assert "6 genes, epoch" in done.stdout
    assert "genes without measured expression or predictions, left out: 18" in done.stderr
    assert "tracks: CHIP:H3K27me3:cells, CHIP:H3K36me3:cells" in " ".join(done.stderr.split())
    return path


def test_a_mark_that_the_store_lacks_is_named(filled: Store, pdstore: Program, tmp_path: Path) -> None:
    done = pdstore("train", "attentive-chrome", "-s", filled.url, "--cell-type", "liver", "-o", tmp_path / "x")
    assert done.returncode == 2
    assert "no track is of H3K27me3 in liver; of H3K27me3 there are 'CHIP:H3K27me3:cells'" in done.stderr


def test_predictions_are_read_out_by_it_attention_is_filled_and_shown(
    filled: Store, weights: Path, pdstore: Program
) -> None:
    store, folder = filled, folder_of(filled)
    name = str(store.read("genes/gene_name", 0))
    model = ["--model", "enformer", "--weights", folder / "enformer", "--targets", folder / "targets.txt"]
    model += ["--tracks", "all", "--bins", "1-7", "-s", store.url]
    for dry in ((), ("--dry-run",)):
        early = pdstore("fill", "attention", *model, "--genes", name, *dry)
        assert early.returncode == 2
        assert "attention is that of --readout attentive_chrome" in " ".join(early.stderr.split())
    unknown = pdstore("query", name, "-s", store.url, "--format", "json")
    assert json.loads(unknown.stdout)["attention"] is None
    readout = ["--readout", "attentive_chrome", "--readout-weights", weights]
    done = pdstore("fill", "windows", "predictions", *model, *readout)
    assert done.returncode == 0, done.stderr
    done = pdstore("fill", "attributions", *model, "--genes", name)
    assert done.returncode == 0, done.stderr
    read = read_attentive_chrome(weights, store.read("predictions/enformer/track_name").tolist(), 7)
    window = store.group("predictions/enformer").attrs["window"]
    count = int(store.read(f"windows/{window}/haplotype_count", 0))
    of_haplotypes = read_out_marks(store.read("predictions/enformer/tracks", (0, slice(0, count))), read)
    expected = person_prediction(of_haplotypes, store.read(f"windows/{window}/haplotype_index", 0))
    np.testing.assert_allclose(store.read("predictions/enformer/expression", 0), expected, rtol=1e-12)
    reference = store.read("predictions/enformer/reference_tracks", 0)
    ism = store.read("attributions/enformer/ism", 0)
    # As attributions store it: outputs of another batch may differ in their last bits.
    of_attributions = store.read("attributions/enformer/reference_tracks", 0)
    alternate = store.read("attributions/enformer/alternate_tracks", 0)
    applied = ~np.isnan(ism)
    assert applied.any()
    effects = read_out_marks(alternate[applied], read) - read_out_marks(of_attributions, read)
    np.testing.assert_allclose(ism[applied], effects, rtol=1e-9)
    filled_now = pdstore("fill", "attention", *model, "--genes", name)
    assert filled_now.returncode == 0, filled_now.stderr
    found = attention(reference, read)
    answer = json.loads(pdstore("query", name, "-s", store.url, "--format", "json").stdout)
    jsonschema.validate(answer, json.loads(SCHEMA.read_text()))
    assert [of["mark"] for of in answer["attention"]] == list(MARKS)
    np.testing.assert_allclose([of["share"] for of in answer["attention"]], found.marks)
    np.testing.assert_allclose([of["bins"] for of in answer["attention"]], found.bins)
    np.testing.assert_allclose([of["gradient_x_input"] for of in answer["attention"]], found.gradient_x_input)
    assert [of["bin_index"] for of in answer["attention"]] == [list(range(1, 8))] * len(MARKS)
    highest = int(found.marks.argmax())
    moving = int(np.abs(found.gradient_x_input[highest]).argmax())
    shown = pdstore("query", name, "-s", store.url).stdout
    assert re.search(rf"attention     {MARKS[highest]} 0\.\d+ \(bin {1 + moving}: ", shown)
    drawn = pdstore("plot", name, "-s", store.url, "--out", folder / "a.svg", "--figure", "attention")
    assert drawn.returncode == 0, drawn.stderr
    figure = (folder / "a.svg").read_text()
    assert "H3K27me3" in figure
    assert "bin of the model, from 0" in figure
    assert pdstore("validate", "-s", store.url).returncode == 0
    # Of a gene that has none nothing is said, unless it is asked for.
    other = str(store.read("genes/gene_name", 1))
    silent = pdstore("plot", other, "-s", store.url, "--out", folder / "others")
    assert "attention" not in silent.stderr
    asked = pdstore("plot", other, "-s", store.url, "--out", folder / "others", "--figure", "attention")
    assert "run pdstore fill attention" in " ".join(asked.stderr.split())


def test_kept_bins_are_the_recorded_ones_and_all_where_none_are_recorded(filled: Store, tmp_path: Path) -> None:
    store = open_store(shutil.copytree(filled.url, tmp_path / "s.zarr"), "r+")
    group = "predictions/enformer"
    options = dict(store.group(group).attrs["model_options"])
    assert _kept_bins(store, group, 7) == list(range(1, 8))
    for wrong, message in (
        ("0-2", "its kept bins are 0-2, but it holds 7"),
        ("0-999999999", "999999999 does not"),
        ("a", "'a'"),
    ):
        store.group(group).attrs["model_options"] = options | {"bins": wrong}
        with pytest.raises(StoreError, match=message):
            _kept_bins(store, group, 7)
    del options["bins"]
    store.group(group).attrs["model_options"] = options
    assert _kept_bins(store, group, 7) == list(range(7))


def test_attention_is_that_of_the_predictions_readout(filled: Store, weights: Path, tmp_path: Path) -> None:
    """Also where the group of attributions is made by it, and where the weights are others now."""
    store = open_store(shutil.copytree(filled.url, tmp_path / "s.zarr"), "r+")
    store.delete("attributions/enformer")
    folder = folder_of(filled)
    options = ModelOptions(tracks="all", bins="1-7", targets=folder / "targets.txt")
    model = ModelReference("enformer", folder / "enformer", options=options)
    config, _ = read_config(weights, AttentiveChromeConfig, "attentive-chrome")
    torch.manual_seed(5)
    (tmp_path / "other.safetensors").write_bytes(serialised(config, config.network()))
    stage = AttentionStage(model)
    tracks = store.read("predictions/enformer/reference_tracks", 2)
    for file in (weights, tmp_path / "other.safetensors"):
        readout = chosen_readout(store, model, "attentive_chrome", file)
        set_readout(store, "predictions/enformer", readout)
        stage.prepare(store)
        assert store.group("attributions/enformer").attrs["readout"] == "attentive_chrome"
        assert stage.pending(store, [2]).todo == [(2,)]
        stage.run(store, (2,))
        assert readout is not None
        assert readout.weights is not None
        expected = attention(tracks, readout.weights)
        np.testing.assert_array_equal(store.read("attributions/enformer/mark_attention", 2), expected.marks)


def test_another_readout_drops_what_it_filled(filled: Store, weights: Path, tmp_path: Path) -> None:
    store = open_store(shutil.copytree(filled.url, tmp_path / "s.zarr"), "r+")
    folder = folder_of(filled)
    options = ModelOptions(tracks="all", bins="1-7", targets=folder / "targets.txt")
    model = ModelReference("enformer", folder / "enformer", options=options)
    tracks = store.read("predictions/enformer/track_name").tolist()
    csv = "".join(f"{name},0.5\n" for name in tracks)
    (tmp_path / "net.csv").write_text(f"track,weight\n{csv}intercept,1\n")
    for name, file, length in (
        ("elastic_net", tmp_path / "net.csv", 7),
        ("attentive_chrome", weights, 55_686),
    ):
        readout = chosen_readout(store, model, name, file)
        set_readout(store, "predictions/enformer", readout)
        set_readout(store, "attributions/enformer", None)
        for group in ("predictions", "attributions"):
            assert store.array(f"{group}/enformer/readout_weight").shape == (length,)
        path = "attributions/enformer/mark_attention"
        assert path not in store or not store.chunks_written(path)
    assert store.deviations() == []
