"""What every weights file is asked first."""

import hashlib
from pathlib import Path

from pdstore.errors import ModelError


def existing_weights(weights: Path | None, model: str) -> Path:
    """The weights file of a model that needs one; raises `ModelError` where it is not given or not a file."""
    if weights is None:
        raise ModelError(f"model {model} needs a weights file: give it with --weights")
    if not weights.is_file():
        raise ModelError(f"weights {weights}: no such file")
    return weights


def weights_sha256(weights: Path) -> str:
    """SHA-256 of a weights file, hexadecimal."""
    with weights.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
