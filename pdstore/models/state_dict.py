"""State dicts of torch: where they lie, which config stands beside them, their shapes and their digest.

A folder as Hugging Face keeps it (config.json beside model.safetensors or pytorch_model.bin), a state dict alone
(.safetensors, or what torch.save writes), or the name of a model on the hub, which is downloaded by its own client.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from pdstore.errors import ModelError
from pdstore.models.weights import weights_sha256

CONFIG_FILE = "config.json"
WEIGHTS_FILES = ("model.safetensors", "pytorch_model.bin")

Shapes = Mapping[str, tuple[int, ...]]

# What parsers say of files that are not what they should be.
_MALFORMED = (
    RuntimeError,
    EOFError,
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    AttributeError,
    OverflowError,
    AssertionError,
)


def local_weights(weights: Path) -> Path:
    """The folder or file of weights; those of a model on the hub are downloaded, or found where they were before.

    Raises
    ------
    ModelError
        There is neither, or the hub does not give them.
    """
    if weights.exists():
        return weights
    name = str(weights)
    if not re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", name):
        raise ModelError(f"weights {weights}: no such file or folder")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=[CONFIG_FILE, *WEIGHTS_FILES]))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise ModelError(
            f"weights {weights}: no such file or folder, and the hub does not give a model of this name "
            f"({type(error).__name__}); is the path right, and does this machine reach the hub?"
        ) from error


def weights_file(weights: Path) -> Path:
    """The state dict of a folder, or the file itself."""
    if weights.is_file():
        return weights
    found = [weights / name for name in WEIGHTS_FILES if (weights / name).is_file()]
    if not found:
        raise ModelError(f"weights {weights}: the folder has neither {' nor '.join(WEIGHTS_FILES)}")
    return found[0]


def weights_digest(weights: Path) -> str:
    """SHA-256 of the state dict, hexadecimal; what of its sizes no tensor shows is among the options of the model."""
    return weights_sha256(weights_file(local_weights(weights)))


def read_config(folder: Path, model: str, sizes: type[Any]) -> dict[str, Any]:
    """What the config.json of a folder says of the fields of a dataclass; raises `ModelError` where it is no model's.

    Parameters
    ----------
    folder : Path
        The folder.
    model : str
        The model type that it must have, if it says any.
    sizes : type
        A dataclass.
    """
    config = folder / CONFIG_FILE
    if not config.is_file():
        raise ModelError(f"the folder has no {CONFIG_FILE}")
    try:
        found = json.loads(config.read_text())
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{CONFIG_FILE} is not JSON ({str(error)[:100]})") from error
    if not isinstance(found, dict):
        raise ModelError(f"{CONFIG_FILE} is not a JSON object")
    says = found.get("model_type", model)
    if says != model:
        raise ModelError(f"{CONFIG_FILE} is of a model {str(says)[:50]!r}, expected {model!r}")
    names = {option.name for option in fields(sizes)}
    return {name: value for name, value in found.items() if name in names}


def read_shapes(file: Path) -> Shapes:
    """Shapes of a state dict, by name; no tensor is read."""
    from safetensors import SafetensorError, safe_open

    if file.suffix == ".safetensors":
        try:
            with safe_open(file, framework="np") as tensors:
                return {name: tuple(tensors.get_slice(name).get_shape()) for name in tensors.keys()}  # noqa: SIM118
        except (OSError, SafetensorError) as error:
            raise ModelError(f"not a safetensors file ({error})") from error
    return {name: tuple(tensor.shape) for name, tensor in read_pickled(file, "meta").items()}


def read_pickled(file: Path, device: str) -> dict[str, Any]:
    """A state dict that torch.save wrote, tensors only; on the device "meta" nothing but shapes."""
    import pickle
    import struct

    import torch

    try:
        state = torch.load(file, map_location=device, weights_only=True)
    except (pickle.UnpicklingError, struct.error, OSError, *_MALFORMED) as error:
        # Torch's advice about files that it will not open is not for a user: such a file has no weights.
        raise ModelError(f"{file.name} is not a state dict that torch.save wrote ({type(error).__name__})") from error
    if not isinstance(state, dict) or not all(
        isinstance(name, str)
        and isinstance(value, torch.Tensor)
        and value.layout is torch.strided
        and value.is_meta == (device == "meta")
        for name, value in state.items()
    ):
        raise ModelError(
            f"{file.name} does not hold a state dict: expected what torch.save(model.state_dict(), …) writes"
        )
    return state
