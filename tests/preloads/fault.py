"""Loaded by dask workers of a test: what their disk does, as $PDSTORE_TEST_FAULT says, e.g. "full after 20"."""

import errno
import os
import time

from zarr.core.buffer import Buffer
from zarr.storage import LocalStore

KIND, _, NUMBER = os.environ["PDSTORE_TEST_FAULT"].rpartition(" ")

# dask loads this twice.
_write = getattr(LocalStore, "undisturbed_set", LocalStore.set)
_writes = 0


async def _faulty_write(self: LocalStore, key: str, value: Buffer, **options: object) -> None:
    global _writes
    _writes += 1
    if KIND == "full after" and _writes > int(NUMBER):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), key)
    if KIND == "broken at" and _writes == int(NUMBER):
        raise OSError(errno.EIO, os.strerror(errno.EIO), key)
    if KIND == "slow":
        time.sleep(float(NUMBER))
    await _write(self, key, value, **options)


LocalStore.undisturbed_set = _write  # type: ignore[attr-defined]
LocalStore.set = _faulty_write  # type: ignore[method-assign]
