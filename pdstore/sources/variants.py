"""Records of a VCF → alternate alleles, each in its shortest form; and what is wrong with the records."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

KINDS = (
    "SNV",
    "insertion",
    "deletion",
    "MNV",
    "complex",
    "symbolic",
    "breakend",
    "overlapping deletion (*)",
    "ambiguous",
)
"""What an allele is, by the number that `variants/kind` holds; ambiguous are letters other than A, C, G, T."""

SNV, INSERTION, DELETION, MNV, COMPLEX, SYMBOLIC, BREAKEND, OVERLAPPING_DELETION, AMBIGUOUS = range(len(KINDS))

APPLIED_KINDS = {"snv": (SNV,), "all": (SNV, INSERTION, DELETION, MNV, COMPLEX)}
"""Kinds that are applied to haplotypes, by the variant policy of a window: the alleles that are spelt out."""


class Alleles(NamedTuple):
    """Alternate alleles, one row each.

    Attributes
    ----------
    record : ndarray of int64, shape (alleles,)
        Row of the record, 0-based.
    allele_index : ndarray of int8, shape (alleles,)
        Which alternate allele of the record, from 1.
    position : ndarray of int32, shape (alleles,)
        1-based position of the trimmed allele.
    ref, alt : ndarray of object (str), shape (alleles,)
        Trimmed alleles, upper case.
    kind : ndarray of int8, shape (alleles,)
        Index into `KINDS`.
    record_position, record_length : ndarray of int32, shape (alleles,)
        1-based position of the record, and bases of its reference allele: what it overlaps with.
    length_change : ndarray of int32, shape (alleles,)
        Bases that the allele adds, negative where it takes some; 0 where it is not spelt out.
    """

    record: NDArray[np.int64]
    allele_index: NDArray[np.int8]
    position: NDArray[np.int32]
    ref: NDArray[np.object_]
    alt: NDArray[np.object_]
    kind: NDArray[np.int8]
    record_position: NDArray[np.int32]
    record_length: NDArray[np.int32]
    length_change: NDArray[np.int32]


def alternate_alleles(position: NDArray[np.int32], alleles: NDArray[np.object_]) -> Alleles:
    """One row per alternate allele.

    Parameters
    ----------
    position : ndarray of int32, shape (records,)
        1-based.
    alleles : ndarray of object (str), shape (records, alleles)
        Reference first; "" where the record has fewer alleles.

    Returns
    -------
    Alleles
        In the order of records, then of alleles.
    """
    record, column = np.nonzero((alleles[:, 1:] != "") & (alleles[:, 1:] != "."))
    ref = np.array([text.upper() for text in alleles[record, 0]], dtype=object)
    alt = np.array([text.upper() for text in alleles[record, column + 1]], dtype=object)
    record_position = position[record].astype(np.int32)
    record_length = np.fromiter(map(len, ref), dtype=np.int32, count=len(ref))
    where = record_position.copy()
    kind, change = np.zeros(len(record), dtype=np.int8), np.zeros(len(record), dtype=np.int32)
    for row in range(len(record)):
        shift, ref[row], alt[row] = trimmed(ref[row], alt[row])
        where[row] += shift
        kind[row] = allele_kind(ref[row], alt[row])
        if kind[row] in APPLIED_KINDS["all"]:
            change[row] = len(alt[row]) - len(ref[row])
    return Alleles(
        record.astype(np.int64),
        (column + 1).astype(np.int8),
        where,
        ref,
        alt,
        kind,
        record_position,
        record_length,
        change,
    )


def trimmed(ref: str, alt: str) -> tuple[int, str, str]:
    """An allele without the bases that reference and alternate share, but at least one base each.

    The end is trimmed first, then the beginning, as VCF's parsimony asks; symbolic alleles stay as they are.

    Returns
    -------
    (int, str, str)
        By how many bases the position moves, reference and alternate.
    """
    if len(ref) == len(alt) == 1 or not _is_sequence(ref, alt):
        return 0, ref, alt
    while len(ref) > 1 and len(alt) > 1 and ref[-1] == alt[-1]:
        ref, alt = ref[:-1], alt[:-1]
    shift = 0
    while len(ref) > 1 and len(alt) > 1 and ref[0] == alt[0]:
        ref, alt, shift = ref[1:], alt[1:], shift + 1
    return shift, ref, alt


def allele_kind(ref: str, alt: str) -> int:
    """What a trimmed allele is: an index into `KINDS`."""
    if not _is_sequence(ref, alt) or ref == alt:
        return _unspelt_kind(alt)
    if len(ref) == len(alt):
        return SNV if len(ref) == 1 else MNV
    if len(ref) == 1 and ref == alt[0]:
        return INSERTION
    if len(alt) == 1 and alt == ref[0]:
        return DELETION
    return COMPLEX


def _unspelt_kind(alt: str) -> int:
    """Kind of an alternate allele that is not spelt out in A, C, G, T (VCF specification, section 1.6.1)."""
    if alt == "*":
        return OVERLAPPING_DELETION
    if alt.startswith("<"):
        return SYMBOLIC
    # A mate in brackets, or a single breakend: a dot before or behind the letters.
    if set(alt) & set("[].<"):
        return BREAKEND
    return AMBIGUOUS


def first_out_of_order(contig: NDArray[np.integer], position: NDArray[np.integer]) -> int | None:
    """Row of the first record that stands before its predecessor, or whose contig was left before; else None.

    Parameters
    ----------
    contig, position : ndarray of int, shape (records,)
        Index of the contig and 1-based position of each record.
    """
    backwards = (contig[1:] == contig[:-1]) & (position[1:] < position[:-1])
    begins = np.flatnonzero(np.r_[True, contig[1:] != contig[:-1]]) if len(contig) else np.empty(0, dtype=np.int64)
    _, first = np.unique(contig[begins], return_index=True)
    returns = np.setdiff1d(begins, begins[first])
    rows = np.r_[np.flatnonzero(backwards) + 1, returns]
    return int(rows.min()) if len(rows) else None


def unphased_heterozygotes(calls: NDArray[np.int8], phased: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which calls are heterozygous without a phase, where a missing allele is read as reference (``./1``).

    Parameters
    ----------
    calls : ndarray of int8, shape (records, people, ploidy)
        Alleles; -1 is missing, -2 no second haplotype.
    phased : ndarray of bool, shape (records, people)
        Whether the call is phased.

    Returns
    -------
    ndarray of bool, shape (records, people)
    """
    read = np.where(calls == -1, np.int8(0), calls)
    # -2 pads calls of fewer alleles: a haploid call has no phase to lack.
    lowest = np.where(read >= 0, read, np.int8(127)).min(axis=-1)
    result: NDArray[np.bool_] = ~phased & (read.max(axis=-1) > lowest)
    return result


def first_wrong_reference(
    sequence: NDArray[np.uint8], position: NDArray[np.int32], ref: NDArray[np.object_]
) -> int | None:
    """Row of the first record whose reference allele is not what the contig has there, or None.

    A letter of the contig other than A, C, G, T and N is taken to agree: VCF writes such bases as it likes.

    Parameters
    ----------
    sequence : ndarray of uint8, shape (bases,)
        Upper-case ASCII letters of the contig.
    position : ndarray of int32, shape (records,)
        1-based.
    ref : ndarray of object (str), shape (records,)
        Reference alleles.
    """
    lengths = np.array([len(text) for text in ref], dtype=np.int64)
    start = position.astype(np.int64) - 1
    outside = (start < 0) | (start + lengths > len(sequence))
    if outside.any():
        return int(np.flatnonzero(outside)[0])
    # Every base of every reference allele, one after the other.
    letters = np.frombuffer("".join(ref).upper().encode("ascii", "replace"), dtype=np.uint8)
    record = np.repeat(np.arange(len(ref)), lengths)
    within = np.arange(len(letters)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    contig_letters = sequence[start[record] + within]
    ambiguous = ~np.isin(contig_letters, np.frombuffer(b"ACGTN", dtype=np.uint8))
    wrong = record[(letters != contig_letters) & ~ambiguous]
    return int(wrong[0]) if len(wrong) else None


def _is_sequence(ref: str, alt: str) -> bool:
    return bool(ref) and bool(alt) and not (set(ref) | set(alt)) - set("ACGT")
