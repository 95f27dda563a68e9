"""PrediXcan (Gamazon et al. 2015): expression as a weighted sum of dosages, from PredictDB files."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from pdstore.haplotypes.window import WindowSpec
from pdstore.models.protocol import (
    NO_OPTIONS,
    NO_READOUT,
    About,
    AlleleWeights,
    GeneAlleles,
    ModelDescription,
    ModelOptions,
)
from pdstore.models.weights import existing_weights, weights_sha256
from pdstore.sources.contigs import contig_aliases
from pdstore.sources.genes import without_version
from pdstore.sources.predictdb import FINAL, PredictDb, read_predictdb

REACH = 1_000_000
"""PredictDB's models hold variants up to so many bp from a gene."""

WINDOW = WindowSpec(length=2 * REACH + 1, tss_offset=REACH, strand="forward")

COUNTS = (
    "variants with a weight",
    "of these found in the store",
    "of these with alleles swapped, sign flipped",
    "swapped A/T or C/G variants, strand unknown, skipped",
    "variants with other alleles in the store, skipped",
    "variants that are not applied in the store (indels need --variants all), skipped",
)
_WEIGHTS, _FOUND, _SWAPPED, _PALINDROMIC, _OTHER, _ABSENT = range(len(COUNTS))

_PALINDROMES = (frozenset("AT"), frozenset("CG"))


class PrediXcan:
    """PrediXcan as a `DosageModel`: no sequence, but the alleles around a gene."""

    name: ClassVar[str] = "predixcan"
    about: ClassVar[About] = About(
        reads="dosages of alleles up to 1 Mb from the TSS",
        gives="expression, gene by gene",
        weights="PredictDB's files, or those of pdstore train predixcan",
        licence="pdstore: Apache 2.0; weights: as PredictDB says",
        reference="Gamazon et al. 2015, Nature Genetics 47:1091",
    )
    takes: ClassVar[frozenset[str]] = frozenset()
    counts: ClassVar[tuple[str, ...]] = COUNTS
    description = ModelDescription(WINDOW, 0, (), NO_READOUT)

    def __init__(self, database: PredictDb, weights_digest: str) -> None:
        self._database = database
        self.weights_digest = weights_digest
        self.build = database.build

    @classmethod
    def window_of(cls, weights: Path | None) -> WindowSpec:
        """1 Mb on either side of the TSS."""
        return WINDOW

    @classmethod
    def describe(
        cls, weights: Path | None, options: ModelOptions = NO_OPTIONS, device: str = "cpu"
    ) -> ModelDescription:
        """No track; the file is not read."""
        existing_weights(weights, cls.name)
        return cls.description

    @classmethod
    def digest(cls, weights: Path | None) -> str:
        """SHA-256 of the file."""
        return weights_sha256(existing_weights(weights, cls.name))

    @classmethod
    def load(cls, weights: Path | None, options: ModelOptions = NO_OPTIONS, device: str = "cpu") -> Self:
        """Load a PredictDB file; raises `ModelError` where it is none."""
        path = existing_weights(weights, cls.name)
        return cls(read_predictdb(path), weights_sha256(path))

    def has_weights(self, gene_id: str) -> bool:
        """Whether the file has the gene."""
        return without_version(gene_id) in self._database.genes

    def allele_weights(self, gene_id: str, alleles: GeneAlleles) -> AlleleWeights:
        """Match a gene's weights to alleles by position, reference and alternate.

        A weight whose alleles are swapped counts for every other allele: its sign is flipped, and twice the weight goes
        into the offset. Where both alleles are each other's complement, swapped alleles may also be those of the other
        strand: such a weight is skipped.
        """
        of = self._database.genes.get(without_version(gene_id))
        folds = 0 if of is None else of.folds
        weight = np.full((folds + 1, len(alleles.position)), np.nan)
        offset, counts = np.zeros(folds + 1), np.zeros(len(COUNTS), dtype=np.int64)
        if of is None:
            return AlleleWeights(weight, offset, counts)
        # Weights of several folds share a variant: it is counted once.
        fates: dict[tuple[int, str, str], tuple[int, ...]] = {}
        rows_at = _rows_by_position(alleles) if alleles.contig in contig_aliases(of.contig) else {}
        for position, ref, effect, fold, value, mean in zip(*of[1:7], strict=True):
            there = rows_at.get(int(position), [])
            found = [row for row in there if (alleles.ref[row], alleles.alt[row]) == (ref, effect)][:1]
            swapped = not found and any((alleles.ref[row], alleles.alt[row]) == (effect, ref) for row in there)
            if swapped:
                # Copies of the reference are what no alternate allele leaves, this one or a third.
                found = [row for row in there if alleles.ref[row] == effect]
            if not found:
                fate: tuple[int, ...] = (_OTHER,) if there else (_ABSENT,)
            elif swapped and frozenset((ref, effect)) in _PALINDROMES:
                fate = (_PALINDROMIC,)
            else:
                fate = (_FOUND, _SWAPPED) if swapped else (_FOUND,)
                # An allele with a weight in one fold has one, if of 0, in each.
                weight[:, found] = np.nan_to_num(weight[:, found])
                weight[fold, found] += -value if swapped else value
                offset[fold] += value * ((2 if swapped else 0) - mean)
            fates[int(position), str(ref), str(effect)] = fate
        counts[_WEIGHTS] = len(fates)
        for fate in fates.values():
            counts[list(fate)] += 1
        return AlleleWeights(weight, offset, counts)

    def fold_of(self, people: Sequence[str]) -> NDArray[np.int64]:
        """Which row of `allele_weights` was trained without each person: int64, shape (people,)."""
        if not self._database.fold_of:
            return np.full(len(people), FINAL)
        digests = (person_digest(self._database.salt, person) for person in people)
        return np.array([self._database.fold_of.get(digest, FINAL) for digest in digests], dtype=np.int64)


def _rows_by_position(alleles: GeneAlleles) -> dict[int, list[int]]:
    rows: dict[int, list[int]] = {}
    for row, position in enumerate(alleles.position.tolist()):
        rows.setdefault(position, []).append(row)
    return rows


def person_digest(salt: str, person: str) -> str:
    """What a file of weights says of a person it was trained on, instead of a name: SHA-256, hexadecimal."""
    return hashlib.sha256(f"{salt}{person}".encode()).hexdigest()
