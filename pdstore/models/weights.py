"""What every weights file is asked first."""

from functools import lru_cache
from pathlib import Path

from pdstore.errors import ModelError
from pdstore.sources.text import file_sha256

Stamp = tuple[tuple[str, int, int], ...]
"""Name, size and time of each file."""


def weights_stamp(weights: Path | None) -> Stamp:
    """What changes when weights are replaced: of a file, or of the files of a folder; nothing for a name of the hub."""
    if weights is None or not weights.exists():
        return ()
    files = [weights] if weights.is_file() else sorted(path for path in weights.iterdir() if path.is_file())
    return tuple((file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files)


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
