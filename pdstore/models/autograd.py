"""Gradients of small networks, by torch's autograd."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def weighted_gradient(
    outputs_of: Callable[[Tensor], Tensor], onehot: NDArray[np.bool_], weights: NDArray[np.float64], device: str
) -> NDArray[np.float32]:
    """Gradient of the weighted sum of a window's outputs with respect to its one-hot bases.

    Parameters
    ----------
    outputs_of : callable
        The network: float32, shape (1, positions, 4), to shape (1, bins, tracks).
    onehot : ndarray of bool, shape (positions, 4)
        The window; A, C, G, T, and N all zeros.
    weights : ndarray of float64, shape (bins, tracks)
        Weight of each output.
    device : str
        Torch device of the network.

    Returns
    -------
    ndarray of float32, shape (positions, 4)
    """
    with torch.enable_grad():
        given = torch.from_numpy(np.array(onehot[np.newaxis], order="C")).to(device, torch.float32).requires_grad_()
        of_outputs = torch.from_numpy(weights[np.newaxis]).to(device, torch.float32)
        (gradient,) = torch.autograd.grad(outputs_of(given), given, of_outputs)
    found: NDArray[np.float32] = gradient[0].cpu().numpy()
    return found
