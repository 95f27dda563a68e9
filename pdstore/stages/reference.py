"""reference/: written whole by what makes a store."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from pdstore.sources.fasta import refget_digest
from pdstore.store import Store


def write_reference(
    store: Store, lengths: Mapping[str, int], sequence_of: Callable[[str], NDArray[np.uint8]]
) -> dict[str, str]:
    """Write contigs, one after the other.

    Parameters
    ----------
    store : Store
        The store that is made.
    lengths : mapping of str to int
        Contig → length in bp.
    sequence_of : callable
        Gives the upper-case ASCII letters of a contig: uint8, shape (bases,).

    Returns
    -------
    dict of str to str
        Contig → GA4GH refget digest.
    """
    length = np.array(list(lengths.values()), dtype=np.int64)
    offsets = np.cumsum(length) - length
    store.create_group("reference", {"bases": int(length.sum()), "contigs": len(lengths)}, {})
    digests = {}
    for contig, offset in zip(lengths, offsets, strict=True):
        sequence = sequence_of(contig)
        digests[contig] = refget_digest(sequence)
        store.write("reference/sequence", slice(offset, offset + len(sequence)), sequence)
    store.write("reference/contig_id", ..., np.array(list(lengths), dtype=object))
    store.write("reference/contig_offset", ..., offsets)
    store.write("reference/contig_length", ..., length)
    store.write("reference/contig_digest", ..., np.array(list(digests.values()), dtype=object))
    return digests
