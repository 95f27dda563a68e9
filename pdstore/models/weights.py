"""What every weights file is asked first."""

from pathlib import Path

from pdstore.errors import ModelError
from pdstore.sources.text import file_sha256


def existing_weights(weights: Path | None, model: str) -> Path:
    """The weights file of a model that needs one; raises `ModelError` where it is not given or not a file."""
    if weights is None:
        raise ModelError(f"model {model} needs a weights file: give it with --weights")
    if weights.is_dir():
        raise ModelError(f"weights {weights}: is a folder, not a file")
    if not weights.is_file():
        raise ModelError(f"weights {weights}: no such file")
    return weights


def weights_sha256(weights: Path) -> str:
    """SHA-256 of a weights file, hexadecimal."""
    return file_sha256(weights)
