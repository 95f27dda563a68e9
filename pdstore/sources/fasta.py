"""The reference genome: FASTA by pyfaidx, with GA4GH refget digests."""

import base64
import gzip
import hashlib
import shutil
import zlib
from pathlib import Path

import numpy as np
import pyfaidx
from numpy.typing import NDArray

from pdstore.errors import InputError
from pdstore.sources.text import existing_file, is_gzip

_IUPAC = frozenset(b"ACGTURYSWKMBDHVN-*.")


class Fasta:
    """A reference genome.

    Parameters
    ----------
    path : Path
        FASTA, plain or (b)gzipped.
    scratch : Path
        Folder for the index, and for the decompressed text of a gzipped file: nothing is written beside the user's
        file.

    Raises
    ------
    InputError
        No such file, not FASTA, or one contig twice.
    """

    def __init__(self, path: Path, scratch: Path) -> None:
        self.path = existing_file(path, "FASTA")
        plain = path
        if is_gzip(path):
            plain = scratch / "reference.fa"
            try:
                with gzip.open(path) as packed, plain.open("wb") as unpacked:
                    shutil.copyfileobj(packed, unpacked, 1 << 20)
            except (EOFError, gzip.BadGzipFile, zlib.error) as error:
                raise InputError(f"FASTA {path}: truncated or damaged gzip file") from error
        with plain.open("rb") as file:
            if file.read(1) != b">":
                raise InputError(f"FASTA {path}: does not begin with '>'")
        try:
            self._fasta = pyfaidx.Fasta(
                str(plain), indexname=str(scratch / "reference.fai"), as_raw=True, sequence_always_upper=True
            )
        except (pyfaidx.FastaIndexingError, ValueError) as error:
            raise InputError(f"FASTA {path}: {str(error).splitlines()[0]}") from error

    @property
    def lengths(self) -> dict[str, int]:
        """Contig → length in bp, in the order of the file."""
        return {name: len(self._fasta[name]) for name in self._fasta.keys()}  # noqa: SIM118 - not a dict

    def sequence(self, contig: str) -> NDArray[np.uint8]:
        """Upper-case ASCII letters of a whole contig, uint8, shape (bases,)."""
        try:
            letters = np.frombuffer(self._fasta[contig][:].encode("ascii"), dtype=np.uint8)
        except UnicodeError as error:
            raise InputError(f"FASTA {self.path}: contig {contig} has letters that are not ASCII") from error
        strange = set(np.flatnonzero(np.bincount(letters, minlength=256)).tolist()) - _IUPAC
        if strange:
            found = ", ".join(repr(chr(letter)) for letter in sorted(strange))
            raise InputError(f"FASTA {self.path}: contig {contig} holds {found}, which no nucleotide code of IUPAC is")
        return letters


def refget_digest(sequence: NDArray[np.uint8]) -> str:
    """GA4GH refget identifier of a sequence: ``SQ.`` and the base64url of SHA-512 truncated to 24 bytes.

    Parameters
    ----------
    sequence : ndarray of uint8, shape (bases,)
        Upper-case ASCII letters.

    References
    ----------
    GA4GH refget sequences v2, "Refget checksum algorithm" (sha512t24u).
    """
    digest = hashlib.sha512(sequence.tobytes()).digest()[:24]
    return "SQ." + base64.urlsafe_b64encode(digest).decode("ascii")
