"""Room on a disk: whether what is to be written fits, and one clear error where it did not."""

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pdstore.errors import DiskFullError

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
"""What a system says of a full disk, and of a quota that is used up."""


def require_room(folder: Path, sizes: Sequence[int]) -> None:
    """Raise `DiskFullError` where files take more than what is free.

    Parameters
    ----------
    folder : Path
        Where they are to be.
    sizes : sequence of int
        Bytes of each: on the disk they take whole blocks, and most have a folder of their own.
    """
    disk = os.statvfs(folder)
    needed, free = sum(sizes) + len(sizes) * disk.f_frsize, disk.f_bavail * disk.f_frsize
    if needed > free:
        raise DiskFullError(
            f"the new store takes about {needed / 1e9:,.3g} GB, but {free / 1e9:,.3g} GB are free at {folder}: make "
            "room, or make it on another disk"
        )


@contextmanager
def room_named(folder: Path) -> Iterator[None]:
    """Raise `DiskFullError` where no room is left for a store that is made there, and is removed then."""
    try:
        yield
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        raise DiskFullError(
            f"no room is left at {folder} ({error.strerror}); nothing half-done was kept: make room, and run it again"
        ) from error
