"""The network of a Borzoi: borzoi-pytorch's, its weights read strictly, its outputs at a few bins and tracks."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from borzoi_pytorch import Borzoi as Network
from borzoi_pytorch.config_borzoi import BorzoiConfig
from borzoi_pytorch.pytorch_borzoi_transformer import Attention, get_positional_embed
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from pdstore.errors import ModelError
from pdstore.models.borzoi import BASES_A_TOKEN, BorzoiSizes, Selection
from pdstore.models.state_dict import Shapes, read_pickled, read_shapes, weights_file

_TRAINED_TOKENS = 4_096
"""Tokens of the window that relative positions are measured by, whatever the window's own."""


class BorzoiNetwork(nn.Module):
    """Windows to coverage at some bins and tracks.

    Parameters
    ----------
    network : borzoi_pytorch.Borzoi
        The network.
    sizes : BorzoiSizes
        Its sizes.
    selection : Selection
        What of its outputs is kept.
    ensemble : bool
        Whether outputs are the mean over both strands.
    device : str
        Torch device.
    """

    def __init__(self, network: Any, sizes: BorzoiSizes, selection: Selection, ensemble: bool, device: str) -> None:
        super().__init__()
        tracks, mates = selection.tracks, [track.mate for track in selection.table]
        head = getattr(network, f"{selection.head}_head")
        # Forward, and of the reverse complement, which is read from the other end and has the other strand's tracks.
        self._bins = [selection.bins]
        self.heads = nn.ModuleList([_rows_of_head(head, tracks)])
        if ensemble:
            self._bins.append([sizes.bins - 1 - bin_ for bin_ in selection.bins])
            self.heads.append(_rows_of_head(head, mates))
        # All other rows of the heads go.
        network.human_head = network.mouse_head = None
        network.conv_dna = _Recomputed(network.conv_dna)
        # A convolution and its pool each.
        tower = list(network.res_tower)
        network.res_tower = nn.Sequential(*(_Recomputed(*tower[at : at + 2]) for at in range(0, len(tower), 2)))
        network.transformer = nn.Sequential(*map(_Recomputed, network.transformer))
        self.trunk = network
        for name in ("scale", "clip", "power"):
            self.register_buffer(name, torch.tensor([getattr(track, name) for track in selection.table]))
        self.to(device).eval().requires_grad_(False)
        _set_positions(self.trunk, sizes, device)

    def forward(self, onehot: Tensor) -> Tensor:
        """(batch, positions, 4) → (batch, bins, tracks), coverage."""
        strands = [onehot, onehot.flip(1, 2)]
        squashed = [
            self._squashed(window, bins, head)
            for window, bins, head in zip(strands, self._bins, self.heads, strict=False)
        ]
        return coverage(
            torch.stack(squashed).mean(dim=0),
            self.get_buffer("scale"),
            self.get_buffer("clip"),
            self.get_buffer("power"),
        )

    def _squashed(self, onehot: Tensor, bins: list[int], head: nn.Module) -> Tensor:
        """What the network gives, (batch, bins, tracks): its last layers see one bin at a time."""
        hidden = self.trunk.get_embs_after_crop(onehot.transpose(1, 2))
        hidden = self.trunk.final_joined_convs(hidden[:, :, bins])
        return functional.softplus(head(hidden)).transpose(1, 2)


class _Recomputed(nn.Module):
    """Layers of which a gradient keeps the input alone, and computes the rest again: half of the memory, or less."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self._layers = nn.Sequential(*layers)

    def forward(self, values: Tensor) -> Tensor:
        if not torch.is_grad_enabled():
            plain: Tensor = self._layers(values)
            return plain
        again: Tensor = checkpoint(self._layers, values, use_reentrant=False, preserve_rng_state=False)
        return again


def coverage(squashed: Tensor, scale: Tensor, clip: Tensor, power: Tensor) -> Tensor:
    """Undo the squashing of outputs: (..., tracks), and of each track as `Track` has it → (..., tracks)."""
    clipped = squashed / scale
    return torch.where(clipped > clip, (clipped - clip) ** 2 + clip, clipped) ** power


def build_network(sizes: BorzoiSizes) -> Any:
    """Build an untrained network, from torch's global generator."""
    options = {name: value for name, value in asdict(sizes).items() if name != "sequence_length"}
    try:
        return Network(BorzoiConfig(**options)).eval()
    except (ValueError, AssertionError, RuntimeError, ZeroDivisionError, TypeError, KeyError) as error:
        raise ModelError(f"there is no Borzoi of these sizes: {error}") from error


def check_shapes(weights: Path, sizes: BorzoiSizes) -> None:
    """Raise `ModelError` where a tensor of the weights is not what their sizes make it; no tensor is read."""
    with _named(weights):
        _compare(read_shapes(weights_file(weights)), _shapes(_without_memory(sizes).state_dict()))


def read_network(weights: Path, sizes: BorzoiSizes) -> Any:
    """Read a network from its weights."""
    file = weights_file(weights)
    with _named(weights):
        try:
            read = safetensors.torch.load_file(file) if file.suffix == ".safetensors" else read_pickled(file, "cpu")
        except (safetensors.SafetensorError, OSError) as error:
            raise ModelError(f"not a safetensors file ({error})") from error
        network = _without_memory(sizes)
        expected = network.state_dict()
        _compare(_shapes(read), _shapes(expected))
    # Saved in half precision, they are computed with as float32 all the same.
    state = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in read.items()}
    for name, tensor in expected.items():
        if name not in state:
            state[name] = torch.zeros(tensor.shape, dtype=tensor.dtype)
    network.load_state_dict(state, assign=True)
    return network


def _without_memory(sizes: BorzoiSizes) -> Any:
    """A network of shapes alone."""
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        return build_network(sizes)


def _set_positions(network: Any, sizes: BorzoiSizes, device: str) -> None:
    # Else attention keeps those of the first window it sees, wherever and in whatever mode it was computed.
    tokens = sizes.sequence_length // BASES_A_TOKEN
    attentions = [module for module in network.modules() if isinstance(module, Attention)]
    positions = get_positional_embed(tokens, _TRAINED_TOKENS, attentions[0].num_rel_pos_features, device)
    for attention in attentions:
        attention.positions = positions


def _rows_of_head(head: Any, tracks: list[int]) -> nn.Conv1d:
    """The last layer, of some tracks alone."""
    rows = nn.Conv1d(head.in_channels, len(tracks), 1, device="meta")
    state = {"weight": head.weight.detach()[tracks], "bias": head.bias.detach()[tracks]}
    rows.load_state_dict(state, assign=True)
    return rows


def _shapes(state: Mapping[str, Tensor]) -> Shapes:
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


@contextmanager
def _named(weights: Path) -> Iterator[None]:
    """Say in errors which weights they are about."""
    try:
        yield
    except ModelError as error:
        raise ModelError(f"weights {weights}: {error}") from error


def _compare(found: Shapes, expected: Shapes) -> None:
    for name in sorted(found.keys() | expected.keys()):
        # How many batches a norm has seen changes no output.
        if found.get(name) != expected.get(name) and not name.endswith(".num_batches_tracked"):
            has, needs = (str(shapes[name]) if name in shapes else "absent" for shapes in (found, expected))
            raise ModelError(f"tensor {name!r} is {has}, but a Borzoi of these sizes has {needs}")
