"""One gene's window in a store: the rows of variants/ in it, its SNVs, and who carries them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pdstore.errors import MissingDataError
from pdstore.haplotypes.build import WindowSnvs, carried_alleles
from pdstore.haplotypes.onehot import nucleotide_index
from pdstore.haplotypes.window import WindowSpec
from pdstore.sources.variants import SNV
from pdstore.store import Store


@dataclass(frozen=True)
class GeneWindow:
    """The variants of one gene's window.

    Attributes
    ----------
    gene : int
        Row of genes/.
    rows : slice
        Rows of variants/ in the window.
    is_snv : ndarray of bool, shape (window_variants,)
        Which of the rows are SNVs: the alleles that are applied.
    position : ndarray of int32, shape (window_variants,)
        1-based.
    snvs : WindowSnvs
        The SNVs, in the window's reading direction.
    """

    gene: int
    rows: slice
    is_snv: NDArray[np.bool_]
    position: NDArray[np.int32]
    snvs: WindowSnvs


def window_path(window: WindowSpec) -> str:
    """Path of a window's group."""
    return f"windows/{window.name}"


def read_gene_window(store: Store, window: WindowSpec, gene: int) -> GeneWindow:
    """Read where the variants of a gene's window lie and what they change."""
    path = window_path(window)
    start = int(store.read(f"{path}/window_start", gene))
    first = int(store.read(f"{path}/variant_start", gene))
    count = int(store.read(f"{path}/variant_count", gene))
    rows = slice(first, first + count)
    position = store.read("variants/position", rows)
    is_snv = store.read("variants/kind", rows) == SNV
    letters = "".join(store.read("variants/alt", rows)[is_snv].tolist())
    alternate = nucleotide_index(np.frombuffer(letters.encode("ascii"), dtype=np.uint8))
    offset = position[is_snv].astype(np.int64) - 1 - start
    if window.reverses(str(store.read("genes/gene_strand", gene))):
        # Reversing the order A, C, G, T complements a base.
        offset, alternate = window.length - 1 - offset, np.int8(3) - alternate
    return GeneWindow(gene, rows, is_snv, position, WindowSnvs(offset, alternate))


def read_carried(store: Store, window: GeneWindow) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Who carries the SNVs of a window.

    Returns
    -------
    carried : ndarray of bool, shape (snvs, people, ploidy)
        Which haplotypes carry the alternate allele.
    absent : ndarray of bool, shape (people, ploidy)
        True where a person has no such haplotype at any record of the window.
    """
    record = store.read("variants/genotype_record", window.rows)
    allele_index = store.read("variants/allele_index", window.rows)
    people, ploidy = store.array("genotypes/call_genotype").shape[1:]
    if not len(record):
        return np.zeros((0, people, ploidy), dtype=bool), np.zeros((people, ploidy), dtype=bool)
    # Trimming moves alleles by some bases, so records of neighbours may stand in another order than the alleles.
    first, last = int(record.min()), int(record.max())
    calls = store.read("genotypes/call_genotype", slice(first, last + 1))
    snv = window.is_snv
    return carried_alleles(calls, record[snv] - first, allele_index[snv]), (calls == -2).all(axis=0)


def read_reference_window(store: Store, window: WindowSpec, gene: int) -> NDArray[np.bool_]:
    """One-hot reference window of a gene, in the window's reading direction: bool, shape (positions, 4)."""
    values: NDArray[np.bool_] = store.read(f"{window_path(window)}/reference_onehot", gene)
    return values


def require_windows(store: Store, window: WindowSpec) -> None:
    """Raise `MissingDataError` where the windows were never begun."""
    if window.name not in store.members("windows"):
        raise MissingDataError(f"store {store.url} has no windows {window.name}: run pdstore fill windows first")


def window_variant_sizes(store: Store, window: WindowSpec) -> dict[str, int]:
    """Sizes of the dimensions genes and window_variants: padded to the largest window, and to one at least."""
    require_windows(store, window)
    count = store.read(f"{window_path(window)}/variant_count")
    return {"genes": len(count), "window_variants": max(1, int(count.max()))}
