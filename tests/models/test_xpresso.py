"""Xpresso from its published weights."""

import copy
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from pdstore.errors import ModelError
from pdstore.models.protocol import input_gradient, predict_in_batches
from pdstore.models.registry import ModelReference
from pdstore.models.xpresso import Xpresso
from pdstore.store import open_store

PUBLISHED = {"SDCBP2-AS1": 0.8421, "SDCBP2": -0.9149, "FKBP1A": 0.7035, "PSMF1": -0.9645}


def test_reference_predictions_equal_the_published_ones(geuvadis: Path) -> None:
    store = open_store(geuvadis)
    tracks = store.read("predictions/xpresso/reference_tracks")
    names = store.read("genes/gene_name").tolist()
    for name, published in PUBLISHED.items():
        assert tracks[names.index(name), 0, 0] == pytest.approx(published, abs=1e-3)


def test_a_window_predicts_the_same_in_any_company(xpresso: ModelReference) -> None:
    model = xpresso.load()
    windows = np.eye(4, dtype=bool)[np.random.default_rng(0).integers(4, size=(6, 10_500))]
    together = predict_in_batches(model, windows, windows[0])
    alone = np.concatenate([predict_in_batches(model, window[None], window) for window in windows])
    assert np.array_equal(together, alone)
    one_by_one = np.concatenate([model.predict(window[None]) for window in windows])
    np.testing.assert_allclose(together, one_by_one, rtol=1e-4, atol=1e-5)


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="needs a weights file"):
        Xpresso.load(None)
    with pytest.raises(ModelError, match="no such file"):
        Xpresso.load(tmp_path / "absent.h5")
    text = tmp_path / "text.h5"
    text.write_text("not HDF5")
    with pytest.raises(ModelError, match="not a Keras HDF5 file"):
        Xpresso.load(text)


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file["model_weights/conv1d_1/conv1d_1/kernel:0"] = np.zeros((15, 4, 128), dtype=np.float32)
    with pytest.raises(ModelError, match=r"shape \(15, 4, 128\), but Xpresso's has \(6, 4, 128\)"):
        Xpresso.load(other)
    with h5py.File(other, "w") as file:
        file["model_weights/dense_9/kernel:0"] = np.zeros(3)
    with pytest.raises(ModelError, match="another model's"):
        Xpresso.load(other)


def test_the_gradient_is_that_of_float64(xpresso: ModelReference) -> None:
    # No finite differences: of equal hexamers in a pool, torch takes the first, and the maximum has no derivative.
    model = xpresso.load()
    window = np.eye(4, dtype=bool)[np.random.default_rng(0).integers(4, size=10_500)]
    window[40:80] = False
    found = input_gradient(model, window, np.array([[2.0]]))
    assert found.dtype == np.float32
    network = copy.deepcopy(model._network).double()
    onehot = torch.from_numpy(window).double()[None].requires_grad_()
    (2 * network(onehot)).sum().backward()
    assert onehot.grad is not None
    expected = onehot.grad[0].numpy()
    assert (expected != 0).mean() > 0.1
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())
