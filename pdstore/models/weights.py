"""What every weights file is asked first."""

from functools import lru_cache
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
    """SHA-256 of a weights file, hexadecimal; read once for as long as size and time of the file stay the same."""
    stat = weights.stat()
    return _sha256(weights, stat.st_size, stat.st_mtime_ns)


@lru_cache
def _sha256(weights: Path, size: int, changed: int) -> str:
    return file_sha256(weights)
