"""Weights of an Enformer: what sizes of a network they are of."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from pdstore.errors import ModelError
from pdstore.models.state_dict import Shapes, read_config, read_shapes

OFFICIAL = "EleutherAI/enformer-official-rough"
"""The official weights on the hub: their relative positions are TensorFlow's."""

# enformer-pytorch holds its blocks twice: by name, and in one sequence, which is what wins when it loads both.
_TRUNK = {
    "_trunk.1.": "stem.",
    "_trunk.2.": "conv_tower.",
    "_trunk.4.": "transformer.",
    "_trunk.6.": "final_pointwise.",
}

_LARGEST = 1_000_000


@dataclass(frozen=True)
class EnformerSizes:
    """Sizes of a network; the defaults are the published ones.

    Attributes
    ----------
    dim, depth, heads, attn_dim_key, num_downsamples, dim_divisible_by, target_length, output_heads
        As `enformer_pytorch.EnformerConfig` has them; `target_length` is the number of bins of an output, and
        `output_heads` the number of tracks of each head.
    sequence_length : int
        Length of the window, bp; a field of pdstore's own in config.json, which a published model does without.
    use_tf_gamma : bool or None
        Whether the relative positions are TensorFlow's; None where the weights do not say.
    """

    dim: int = 1536
    depth: int = 11
    heads: int = 8
    attn_dim_key: int = 64
    num_downsamples: int = 7
    dim_divisible_by: int = 128
    target_length: int = 896
    sequence_length: int = 196_608
    output_heads: Mapping[str, int] = field(default_factory=lambda: {"human": 5313, "mouse": 1643})
    use_tf_gamma: bool | None = None

    def __post_init__(self) -> None:
        for name in (option.name for option in fields(self) if option.type is int):
            value = getattr(self, name)
            largest = 10**9 if name == "sequence_length" else _LARGEST if name in ("dim", "target_length") else 1_000
            if type(value) is not int or not 0 < value <= largest:
                raise ModelError(f"{name} is {repr(value)[:50]}, expected a whole number above 0, at most {largest:,}")
        heads = self.output_heads
        if not (
            isinstance(heads, dict)
            and heads
            and all(str(name).isidentifier() and type(n) is int and 0 < n <= _LARGEST for name, n in heads.items())
        ):
            raise ModelError(f"output_heads is {repr(heads)[:100]}, expected the number of tracks of each head")
        if self.dim % self.heads or self.dim // self.heads % 6:
            raise ModelError(
                f"heads is {self.heads} and dim {self.dim}: dim must be a multiple of 6 x heads, {6 * self.heads}"
            )
        if self.use_tf_gamma not in (None, True, False):
            raise ModelError(f"use_tf_gamma is {self.use_tf_gamma!r}, expected true or false")
        bases = self.bases_a_bin
        if self.sequence_length % bases or self.rows < self.target_length:
            raise ModelError(
                f"sequence_length {self.sequence_length} is not at least {self.target_length} bins of {bases} bp"
            )
        if (self.rows - self.target_length) % 2:
            raise ModelError(f"{self.target_length} bins cannot be cut from the middle of {self.rows}")

    @property
    def bases_a_bin(self) -> int:
        """Bases of a bin; 128 in the published network."""
        return int(2**self.num_downsamples)

    @property
    def rows(self) -> int:
        """Bins of the whole window, before its edges are cropped; 1,536 in the published network."""
        return self.sequence_length // self.bases_a_bin


def read_sizes(weights: Path) -> EnformerSizes:
    """Sizes of the network from the config beside the weights, or from the shapes of a state dict alone.

    Parameters
    ----------
    weights : Path
        A folder or a file.

    Raises
    ------
    ModelError
        The config, or the weights, are not those of an Enformer.
    """
    try:
        if not weights.is_dir():
            return _sizes_of_shapes(canonical(read_shapes(weights)))
        return EnformerSizes(**read_config(weights, "enformer", EnformerSizes))
    except ModelError as error:
        raise ModelError(f"weights {weights}: {error}") from error


def canonical(state: Mapping[str, Any]) -> dict[str, Any]:
    """A state dict with each tensor under one name; see `_TRUNK`."""
    named = {name: value for name, value in state.items() if not name.startswith("_trunk.")}
    for name, value in state.items():
        prefix = next((prefix for prefix in _TRUNK if name.startswith(prefix)), None)
        if prefix is not None:
            named[_TRUNK[prefix] + name.removeprefix(prefix)] = value
    return named


def _sizes_of_shapes(shapes: Shapes) -> EnformerSizes:
    def count(prefix: str) -> int:
        return len({name.removeprefix(prefix).split(".")[0] for name in shapes if name.startswith(prefix)})

    bias = "transformer.0.0.fn.1.rel_content_bias"
    heads = {
        name.split(".")[1]: shape for name, shape in shapes.items() if re.fullmatch(r"_heads\.\w+\.0\.weight", name)
    }
    if (
        len(shapes.get("stem.0.weight", ())) != 3
        or len(shapes.get(bias, ())) != 4
        or any(len(shape) != 2 for shape in heads.values())
    ):
        raise ModelError("no stem.0.weight and attention as every Enformer has: are these another model's weights?")
    return EnformerSizes(
        dim=2 * shapes["stem.0.weight"][0],
        depth=count("transformer."),
        heads=shapes[bias][1],
        attn_dim_key=shapes[bias][3],
        num_downsamples=count("conv_tower.") + 1,
        output_heads={name: shape[0] for name, shape in heads.items()},
    )
