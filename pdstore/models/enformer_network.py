"""The network of an Enformer: enformer-pytorch's, its weights read strictly, its outputs at a few bins and tracks."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from enformer_pytorch import Enformer as Network
from enformer_pytorch.config_enformer import EnformerConfig
from enformer_pytorch.modeling_enformer import Attention
from torch import Tensor, nn

from pdstore.errors import ModelError
from pdstore.models.enformer_weights import EnformerSizes, canonical
from pdstore.models.state_dict import CONFIG_FILE, WEIGHTS_FILES, Shapes, read_pickled, read_shapes, weights_file


def build_network(sizes: EnformerSizes, use_tf_gamma: bool) -> Any:
    """Build an untrained network, from torch's global generator."""
    options = {name: value for name, value in asdict(sizes).items() if name != "sequence_length"}
    try:
        return Network(EnformerConfig(**options | {"use_tf_gamma": use_tf_gamma})).eval()
    except (ValueError, AssertionError, RuntimeError, ZeroDivisionError, TypeError, KeyError) as error:
        raise ModelError(f"there is no Enformer of these sizes: {error}") from error


def check_shapes(weights: Path, sizes: EnformerSizes) -> None:
    """Raise `ModelError` where a tensor of the weights is not what their sizes make it; no tensor is read."""
    with _named(weights):
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            expected = _shapes(build_network(sizes, False).state_dict())
        _compare(canonical(read_shapes(weights_file(weights))), expected)


def read_network(weights: Path, sizes: EnformerSizes, use_tf_gamma: bool) -> Any:
    """Read a network from its weights."""
    file = weights_file(weights)
    with _named(weights):
        try:
            read = safetensors.torch.load_file(file) if file.suffix == ".safetensors" else read_pickled(file, "cpu")
        except (safetensors.SafetensorError, OSError) as error:
            raise ModelError(f"not a safetensors file ({error})") from error
        # Saved in half precision, they are computed with as float32 all the same.
        state = {
            name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in canonical(read).items()
        }
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            network = build_network(sizes, use_tf_gamma)
        _compare(_shapes(state), _shapes(network.state_dict()))
    # The same tensor twice, once under each of its names: the network was built without memory, so tensors are taken
    # over as they are.
    network.load_state_dict(state, strict=False, assign=True)
    for name, buffer in network.named_buffers():
        if buffer.is_meta:
            parent, _, leaf = name.rpartition(".")
            network.get_submodule(parent).register_buffer(leaf, torch.zeros(buffer.shape, dtype=buffer.dtype))
    return network.eval().requires_grad_(False)


def save_network(network: Any, sizes: EnformerSizes, folder: Path) -> None:
    """Write weights and sizes as a folder that `read_network` reads; `folder` is made."""
    folder.mkdir(parents=True)
    state = {name: tensor.contiguous() for name, tensor in canonical(network.state_dict()).items()}
    safetensors.torch.save_file(state, folder / WEIGHTS_FILES[0])
    known = {name: value for name, value in asdict(sizes).items() if value is not None}
    (folder / CONFIG_FILE).write_text(json.dumps({"model_type": "enformer", **known}, indent=1) + "\n")


def random_network(sizes: EnformerSizes, use_tf_gamma: bool, seed: int) -> Any:
    """A network of random weights, in which every part changes the output: for demonstrations and tests.

    As enformer-pytorch makes it, attention does nothing, because its last layer is zero, and pools are nearly fixed.
    Batch norms take the statistics of random bases, so that activations neither vanish nor explode.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build_network(sizes, use_tf_gamma).requires_grad_(False)
        for module in network.modules():
            if isinstance(module, Attention):
                nn.init.normal_(module.to_out.weight, std=module.to_out.in_features**-0.5)
                nn.init.normal_(module.to_out.bias, std=0.02)
        for name, parameter in network.named_parameters():
            if "to_attn_logits" in name:
                parameter.add_(torch.randn(parameter.shape) * 0.5 * len(parameter) ** -0.5)
        _set_batch_norms(network, min(sizes.sequence_length, 128 * sizes.bases_a_bin))
    return network


def outputs_at(network: Any, onehot: Tensor, bins: Tensor, head: str, tracks: Tensor) -> Tensor:
    """Outputs at some bins and tracks: float32, shape (batch, bins, tracks).

    The last layers see one bin at a time, so they are run for these bins and tracks alone.

    Parameters
    ----------
    network : enformer_pytorch.Enformer
        The network.
    onehot : Tensor of float, shape (batch, positions, 4)
        A, C, G, T.
    bins, tracks : Tensor of int64, shape (bins,) and (tracks,)
        Which bins of the cropped output, and which tracks of the head.
    head : str
        Which head.
    """
    hidden = network.conv_tower(network.stem(onehot.transpose(1, 2)))
    hidden = network.crop_final(network.transformer(hidden.transpose(1, 2)))
    hidden = network.final_pointwise(hidden[:, bins])
    linear, softplus = network._heads[head]
    outputs: Tensor = softplus(nn.functional.linear(hidden, linear.weight[tracks], linear.bias[tracks]))
    return outputs.float()


def bins_from(numbers: Sequence[int], device: str) -> Tensor:
    """Numbers as an index of tensors on a device."""
    return torch.tensor(list(numbers), dtype=torch.int64, device=device)


def _set_batch_norms(network: Any, bases: int) -> None:
    """Statistics of random bases, jittered; affine parts at random."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm1d)]
    onehot = nn.functional.one_hot(torch.randint(4, (1, bases)), 4).float()
    for norm in norms:
        norm.momentum = 1.0
        norm.train()
    hidden = network.conv_tower(network.stem(onehot.transpose(1, 2)))
    network.final_pointwise(hidden.transpose(1, 2))
    for norm in norms:
        norm.momentum = 0.1
        norm.eval()
        mean, variance = norm.get_buffer("running_mean"), norm.get_buffer("running_var")
        spread = variance.sqrt()
        mean.add_(torch.randn(spread.shape) * 0.2 * spread)
        variance.mul_(torch.rand(spread.shape) * 0.8 + 0.6)
        norm.weight.copy_(torch.rand(spread.shape) + 0.5)
        norm.bias.copy_(torch.randn(spread.shape) * 0.3)


def _shapes(state: dict[str, Tensor]) -> Shapes:
    return {name: tuple(tensor.shape) for name, tensor in canonical(state).items()}


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
            raise ModelError(f"tensor {name!r} is {has}, but an Enformer of these sizes has {needs}")
