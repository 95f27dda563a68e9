"""Training of the simple CNN on reference windows of genes and their mean expression."""

import hashlib
from collections.abc import Callable
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pdstore.errors import JobError, ModelError
from pdstore.models.cnn import Cnn, CnnConfig
from pdstore.models.cnn_network import build_network, channels_first, serialise


def train_cnn(
    onehot: NDArray[np.bool_],
    expression: NDArray[np.floating],
    config: CnnConfig,
    *,
    seed: int,
    epochs: int = 100,
    learning_rate: float = 0.001,
    batch_size: int = 25,
    validation: NDArray[np.integer] | None = None,
    shift: int = 10,
    progress: Callable[[int, float], None] | None = None,
    device: str = "cpu",
) -> Cnn:
    """Train a CNN on the reference windows of genes: mean squared error, Adam, windows shifted at random.

    The same arguments give the same weights on the same machine, and torch's global random state stays as it was. A
    hidden layer much smaller than the published 200 may die in the first epochs, all its units at zero for every gene.

    Parameters
    ----------
    onehot : ndarray of bool, shape (genes, window_length + 2 * shift, 4)
        The genes' windows, `shift` bp longer on either side than the CNN's: see `CnnConfig.training_window`.
    expression : ndarray of float, shape (genes,)
        Mean expression of each gene; predictions will be in its unit.
    config : CnnConfig
        Window and sizes.
    seed : int
        Seed of the first weights, of the order of the genes and of the shifts.
    epochs, batch_size : int
        Passes over the genes, and genes a step.
    learning_rate : float, default 0.001
        Adam's, as published.
    validation : ndarray of int, optional
        Indices of genes to hold out. Nothing is chosen by them, so they are a fair test.
    shift : int, default 10
        A step's windows lie up to this many bp beside the true ones.
    progress : callable, optional
        Called after every epoch with its number, from 1, and the mean squared error: that of the held-out genes where
        there are any, else the mean over the epoch's steps.
    device : str, default "cpu"
        Torch's name of the device to train on, and to predict on afterwards.

    Raises
    ------
    JobError
        If the trained network predicts the same for every gene, or no number.
    """
    expected = (len(expression), config.window_length + 2 * shift, 4)
    if onehot.shape != expected:
        raise ModelError(f"cnn: training windows of shape {onehot.shape}, expected {expected}")
    held_out = np.zeros(0, np.int64) if validation is None else np.asarray(validation, np.int64)
    training = np.setdiff1d(np.arange(len(expression)), held_out)
    # Centred, or the first epochs go into finding the mean; the output's bias gets it back at the end.
    mean = expression[training].mean()
    targets = torch.from_numpy((expression - mean).astype(np.float32)).to(device)
    rng = np.random.default_rng(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build_network(config).to(device)
    optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate)

    def predict(genes: NDArray[np.int64], start: int) -> Tensor:
        windows = channels_first(onehot[genes, start : start + config.window_length])
        return cast(Tensor, network(windows.to(device))[:, 0])

    def predict_unshifted(genes: NDArray[np.int64]) -> Tensor:
        with torch.no_grad():
            return torch.cat([predict(genes[i : i + batch_size], shift) for i in range(0, len(genes), batch_size)])

    for epoch in range(1, epochs + 1):
        losses, order = [], rng.permutation(training)
        for batch in (order[i : i + batch_size] for i in range(0, len(order), batch_size)):
            loss = nn.functional.mse_loss(predict(batch, int(rng.integers(2 * shift + 1))), targets[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        if progress is not None and len(held_out):
            progress(epoch, nn.functional.mse_loss(predict_unshifted(held_out), targets[held_out]).item())
        elif progress is not None:
            progress(epoch, sum(losses) / len(losses))
    if not predict_unshifted(training).std() > 0:  # also where it is NaN
        raise JobError("cnn: training collapsed, every gene is predicted the same: try a lower learning rate")
    with torch.no_grad():
        network.get_parameter("output.bias").add_(float(mean))
    return Cnn(config, network, device, hashlib.sha256(serialise(config, network)).hexdigest())
