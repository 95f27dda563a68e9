"""Which genes of a store a network is trained on, and which are held out."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pdstore.errors import InputError, MissingDataError, UnknownGeneError, UsageError
from pdstore.fill import selected_genes
from pdstore.haplotypes.window import WindowSpec
from pdstore.sources.text import existing_file, read_lines
from pdstore.stages.gene_window import window_starts
from pdstore.store import Store

FEWEST_EXAMPLES = 5
"""To train on."""


@dataclass(frozen=True)
class Split:
    """Which genes are kept from the training.

    Attributes
    ----------
    validation_contigs, test_contigs : tuple of str
        All genes of these contigs.
    validation_genes, test_genes : Path or None
        Files of symbols or ids, one a line.
    """

    validation_contigs: tuple[str, ...] = ()
    test_contigs: tuple[str, ...] = ()
    validation_genes: Path | None = None
    test_genes: Path | None = None


def require_examples(found: int, what: str, fewest: int = FEWEST_EXAMPLES) -> None:
    """Raise `MissingDataError` where fewer examples are found than there have to be."""
    if found < fewest:
        raise MissingDataError(f"{found} {what} are left to train on: at least {fewest} are needed")


def mean_expression(store: Store) -> NDArray[np.float64]:
    """The mean over people of each gene, NaN where it is measured in nobody: shape (genes,)."""
    observed = store.read("expression/observed").astype(np.float64)
    measured = ~np.isnan(observed).all(axis=1)
    mean = np.full(len(observed), np.nan)
    mean[measured] = np.nanmean(observed[measured], axis=1)
    return mean


def genes_of_parts(
    store: Store, split: Split, usable: NDArray[np.bool_], fewest: int = FEWEST_EXAMPLES
) -> tuple[list[int], list[int], list[int]]:
    """Rows of the genes to train on, to choose the epoch by, and to test with.

    Parameters
    ----------
    store : Store
        The store.
    split : Split
        What is held out.
    usable : ndarray of bool, shape (genes,)
        Which genes can be in a part.
    fewest : int
        To train on.

    Raises
    ------
    UsageError
        A gene is in two parts, or a contig has none.
    InputError
        A line of a file names no gene of the store.
    MissingDataError
        Fewer than that are left to train on.
    """
    of_validation, of_test = _parts(store, split)
    both = sorted(of_validation & of_test)
    if both:
        raise UsageError(
            f"gene {store.read('genes/gene_name', both[0])} is in both parts, validation and test, of {len(both):,}: "
            "name it in one"
        )
    kept = set(np.flatnonzero(usable).tolist())
    training = sorted(kept - of_validation - of_test)
    require_examples(len(training), "genes with expression", fewest)
    return training, sorted(kept & of_validation), sorted(kept & of_test)


def _parts(store: Store, split: Split) -> tuple[set[int], set[int]]:
    """Rows of the genes to validate and to test with."""
    contigs = store.read("genes/gene_contig").tolist()
    parts = []
    for option, names, file in (
        ("validation", split.validation_contigs, split.validation_genes),
        ("test", split.test_contigs, split.test_genes),
    ):
        for name in names:
            if name not in contigs:
                raise UsageError(
                    f"--{option}-contigs {name}: no gene of the store is there; its contigs are "
                    f"{', '.join(sorted(set(contigs)))}"
                )
        rows = {row for row, contig in enumerate(contigs) if contig in names}
        parts.append(rows if file is None else rows | _genes_of(store, file, option))
    return parts[0], parts[1]


def _genes_of(store: Store, path: Path, option: str) -> set[int]:
    rows = set()
    for number, line in read_lines(existing_file(path, f"--{option}-genes")):
        if line.strip():
            try:
                rows.update(selected_genes(store, [line.strip()]))
            except UnknownGeneError as error:
                raise InputError(f"--{option}-genes {path}, line {number}: {error}") from error
    return rows


def overlapping_windows(store: Store, window: WindowSpec, training: list[int], others: list[int]) -> int:
    """How many training genes have a window that shares bases with one of the others; both are rows of genes."""
    contig, starts = store.read("genes/gene_contig"), window_starts(store, window)
    found = 0
    for name in set(contig[others].tolist()):
        of_others = np.sort(starts[[gene for gene in others if contig[gene] == name]])
        of_training = starts[[gene for gene in training if contig[gene] == name]]
        after = np.searchsorted(of_others, of_training)
        nearest = np.minimum(
            np.abs(of_training - of_others[np.minimum(after, len(of_others) - 1)]),
            np.abs(of_training - of_others[np.maximum(after - 1, 0)]),
        )
        found += int((nearest < window.length).sum())
    return found
