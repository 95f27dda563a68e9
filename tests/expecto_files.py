"""Random files as ExPecto's are: Beluga's state dict, and a linear head as xgboost 0.7 writes it."""

import struct
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from pdstore.models.expecto import ExpectoSizes

BELUGA, HEAD = "deepsea.beluga.pth", "head.save"


def expecto_weights(folder: Path, seed: int, sizes: ExpectoSizes) -> Path:
    """A folder with a Beluga and a head of random values everywhere."""
    made = folder / "expecto"
    made.mkdir()
    rng = np.random.default_rng(seed)
    state = {}
    for name, shape in sizes.tensors.items():
        # With as much variance behind a layer as before it, so that features are neither all 0 nor all 1.
        scale = np.sqrt(2 / np.prod(shape[1:])) if name.endswith("weight") else 0.1
        state[name] = torch.from_numpy(rng.standard_normal(shape, np.float32)).mul_(float(scale))
    torch.save(state, made / BELUGA)
    number = 10 * (sizes.features + 1)
    (made / HEAD).write_bytes(head_bytes(rng.normal(size=number + 1).astype(np.float32)))
    return made


def head_bytes(
    values: NDArray[np.float32],
    features: int | None = None,
    groups: int = 1,
    objective: bytes = b"reg:linear",
    booster: bytes = b"gblinear",
    base_score: float = 2.0,
) -> bytes:
    """A head: weights, and the bias behind them."""
    number = len(values) - 1 if features is None else features
    learner = struct.pack("<fIi", base_score, number, 0).ljust(136, b"\0")
    linear = struct.pack("<Ii", len(values) - 1, groups).ljust(136, b"\0")
    names = b"".join(struct.pack("<Q", len(name)) + name for name in (objective, booster))
    return b"binf" + learner + names + linear + struct.pack("<Q", len(values)) + values.astype("<f4").tobytes()
