"""An oracle of haplotype windows in plain Python: one base after the other, on strings, slow and obvious.

It follows apply_variant of bcftools consensus for which alleles are applied, and METHODS, "Windows", for where the TSS
and the window go; nothing of it comes from pdstore but `placed`, which is what it is held against.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from pdstore.haplotypes.alleles import Stretch, StretchAlleles, stretch_alleles
from pdstore.haplotypes.build import carried_alleles, haplotype_letters, reference_map
from pdstore.haplotypes.onehot import complement
from pdstore.haplotypes.overlaps import Footprints, Reaches, first_wins
from pdstore.haplotypes.window import WindowSpec
from pdstore.sources.variants import APPLIED_KINDS, DELETION, INSERTION, alternate_alleles

COMPLEMENT = str.maketrans("ACGTN", "TGCAN")


class PlainRecord(NamedTuple):
    """A record of a VCF: 1-based position; `calls` has a number for each haplotype, two of them a person's."""

    position: int
    ref: str
    alts: tuple[str, ...]
    calls: tuple[int, ...]


class Case(NamedTuple):
    """A contig and its records, in the order of a VCF."""

    reference: str
    records: tuple[PlainRecord, ...]


@dataclass
class Base:
    """What stands in a haplotype where the reference has one base."""

    letter: str
    inserted: str = ""


class PlainBase(NamedTuple):
    """A base of a haplotype: its letter, the 0-based position that it stands for, and whether it is inserted there."""

    letter: str
    position: int
    is_inserted: bool


def is_pure_indel(ref: str, alt: str) -> bool:
    """Whether the longer of the two is the shorter one with letters put in at one place."""
    short, long = sorted((ref, alt), key=len)
    return len(short) < len(long) and any(
        long.startswith(short[:cut]) and long.endswith(short[cut:]) for cut in range(len(short) + 1)
    )


def shortest(position: int, ref: str, alt: str) -> tuple[int, str, str]:
    """An allele without shared letters: the end first, then the beginning, one letter stays."""
    while min(len(ref), len(alt)) > 1 and ref[-1] == alt[-1]:
        ref, alt = ref[:-1], alt[:-1]
    while min(len(ref), len(alt)) > 1 and ref[0] == alt[0]:
        position, ref, alt = position + 1, ref[1:], alt[1:]
    return position, ref, alt


def plain_haplotype(case: Case, haplotype: int, variants: str) -> list[Base]:
    """A haplotype along its contig, a `Base` for each base of the reference."""
    bases = [Base(letter) for letter in case.reference]
    last_base, after_insertion = 0, False
    substituted: set[int] = set()
    for record in case.records:
        call = record.calls[haplotype]
        alt = record.alts[call - 1] if call > 0 else ""
        if not alt or set(alt) - set("ACGT"):
            continue
        position, ref, alt = shortest(record.position, record.ref, alt)
        keeps_first = is_pure_indel(ref, alt) and ref[0] == alt[0]
        if variants == "snv":
            # An SNV claims its base alone, however its record is written.
            if len(ref) != 1 or len(alt) != 1 or position in substituted:
                continue
            substituted.add(position)
        else:
            begin = record.position
            if begin < last_base or (begin == last_base and (not keeps_first or after_insertion)):
                continue
            last_base, after_insertion = begin + len(record.ref) - 1, len(alt) > len(ref)
        here = bases[position - 1 : position - 1 + len(ref)]
        for offset, base in enumerate(here):
            if offset > 0 or not keeps_first:
                base.letter = alt[offset : offset + 1]
        here[-1].inserted += alt[len(ref) :]
    return bases


def spelt(bases: Sequence[Base]) -> str:
    """The letters of a haplotype."""
    return "".join(base.letter + base.inserted for base in bases)


def plain_window(case: Case, haplotype: int, window: WindowSpec, tss: int, gene_strand: str) -> list[PlainBase]:
    """A haplotype's window around a 1-based TSS, in the window's reading direction."""
    bases = plain_haplotype(case, haplotype, window.variants)
    row = [
        PlainBase(letter, position, is_inserted)
        for position, base in enumerate(bases)
        for letter, is_inserted in [*((one, False) for one in base.letter), *((one, True) for one in base.inserted)]
    ]
    before_tss = len(spelt(bases[: tss - 1]))
    reverses = window.strand == "gene" and gene_strand == "-"
    # Where the TSS is deleted, the next base in the reading direction is what follows, or what goes before.
    place = before_tss - 1 if reverses and not bases[tss - 1].letter else before_tss
    far = 2 * window.length + len(row)
    left = [PlainBase("N", -1 - step, False) for step in range(far)][::-1]
    right = [PlainBase("N", len(bases) + step, False) for step in range(far)]
    row, place = [*left, *row, *right], place + far
    if reverses:
        row = [base._replace(letter=base.letter.translate(COMPLEMENT)) for base in reversed(row)]
        place = len(row) - 1 - place
    return row[place - window.tss_offset : place - window.tss_offset + window.length]


@dataclass(frozen=True)
class Placed:
    """A case's window as pdstore makes it.

    Attributes
    ----------
    window : WindowSpec
        The window.
    stretch, alleles : Stretch, StretchAlleles
        The reference, and what its alleles replace.
    applied : ndarray of bool, shape (haplotypes, alleles)
        Which alleles each haplotype has.
    """

    window: WindowSpec
    stretch: Stretch
    alleles: StretchAlleles
    applied: NDArray[np.bool_]

    def spelt(self) -> list[str]:
        """The letters of each haplotype's window."""
        return [row.tobytes().decode() for row in haplotype_letters(*self.parts)]

    def bases(self) -> list[list[PlainBase]]:
        """The bases of each haplotype's window, as the oracle gives them."""
        where = reference_map(*self.parts)
        rows = zip(self.spelt(), where.position.tolist(), where.is_inserted.tolist(), strict=True)
        return [[PlainBase(*base) for base in zip(*row, strict=True)] for row in rows]

    @property
    def parts(self) -> tuple[WindowSpec, Stretch, StretchAlleles, NDArray[np.bool_]]:
        """Parameters of `haplotype_letters` and its like."""
        return self.window, self.stretch, self.alleles, self.applied


def placed(case: Case, window: WindowSpec, tss: int, gene_strand: str = "+") -> Placed:
    """Build a case's windows around a 1-based TSS by pdstore's own functions, without a store."""
    widest = max((len(record.alts) for record in case.records), default=1)
    texts = np.full((len(case.records), widest + 1), "", dtype=object)
    for row, record in enumerate(case.records):
        texts[row, : len(record.alts) + 1] = [record.ref, *record.alts]
    found = alternate_alleles(np.array([record.position for record in case.records], dtype=np.int32), texts)
    order = np.lexsort((found.allele_index, found.record, found.position))
    order = order[np.isin(found.kind[order], APPLIED_KINDS[window.variants])]
    record, allele_index, position, ref, alt, kind = (column[order] for column in found[:6])
    longer = np.array([len(more) - len(less) for more, less in zip(alt, ref, strict=True)], dtype=np.int64)
    if window.variants == "snv":
        first, last = position.astype(np.int64) - 1, position.astype(np.int64) - 1
    else:
        first = found.record_position[order].astype(np.int64) - 1
        last = first + found.record_length[order] - 1
    footprints = Footprints(first, last, record, np.isin(kind, (INSERTION, DELETION)), longer > 0)
    haplotypes = len(case.records[0].calls) if case.records else 4
    calls = np.array([record.calls for record in case.records], dtype=np.int8).reshape(-1, haplotypes // 2, 2)
    carried = carried_alleles(calls, record, allele_index)
    start = window.start(tss, gene_strand)
    lost = np.where(carried.any(axis=(1, 2)), np.maximum(-longer, 0), 0)
    reach = Reaches(footprints, lost).of(start, start + window.length, tss - 1)
    kept = reach.alleles
    stretch = stretch_of(case.reference, reach.start, reach.end, tss, window.reverses(gene_strand))
    footprints = footprints.of(np.arange(kept.start, kept.stop))
    alleles = stretch_alleles(stretch, position[kept], ref[kept], alt[kept], footprints.anchored)
    applied = first_wins(carried[kept], footprints)
    return Placed(window, stretch, alleles, applied.reshape(len(applied), haplotypes).T)


def stretch_of(reference: str, start: int, end: int, tss: int, reverses: bool) -> Stretch:
    """The reference from `start` to `end`, 0-based and half-open, N outside the contig; the TSS is 1-based."""
    text = "".join(reference[at] if 0 <= at < len(reference) else "N" for at in range(start, end))
    letters = np.frombuffer(text.encode(), dtype=np.uint8)
    offset = tss - 1 - start
    if reverses:
        return Stretch(complement(letters)[::-1].copy(), start, len(letters) - 1 - offset, reverses=True)
    return Stretch(letters, start, offset, reverses=False)


@st.composite
def alternate_texts(draw: st.DrawFn, ref: str) -> str:
    """An alternate allele of a reference allele: of every kind, in its shortest form or not."""
    letters = st.text("ACGT", min_size=1, max_size=4)
    at = draw(st.integers(0, len(ref)))
    return draw(
        st.one_of(
            st.just(ref[:1]),  # a deletion
            letters.map(lambda text: ref[:1] + text + ref[1:]),  # an insertion
            letters.map(lambda text: ref[:at] + text + ref[at:]),  # an insertion anywhere in the reference allele
            letters.map(lambda text: (ref[:at] + text + ref[at + len(text) :])[: len(ref)]),  # an SNV or MNV
            st.integers(1, len(ref)).map(lambda end: ref[:at] + ref[end:] if at < end else ref[end - 1 :]),  # a loss
            letters,
        ).filter(bool)
    )


@st.composite
def cases(
    draw: st.DrawFn, shortest_contig: int = 1, longest_contig: int = 60, haplotypes: int = 4, others: bool = True
) -> Case:
    """A contig with records of every kind, at one position and overlapping, and people's phased calls.

    No allele stands in two records, which init refuses. `others`: with the alleles that nothing spells out, which
    bcftools consensus refuses or takes for letters.
    """
    alphabet = draw(st.sampled_from(["ACGT", "AC"]))
    # Rather long ones, where variants have room to meet; but the shortest too.
    length = draw(st.sampled_from([longest_contig, longest_contig // 2, shortest_contig + 8, shortest_contig]))
    reference = "".join(Random(draw(st.integers(0, 2**32))).choices(alphabet, k=length))
    seen: set[tuple[int, str, str]] = set()
    records = []
    # Positions in a part of the contig: variants are dense there.
    begin = draw(st.integers(1, length))
    positions = st.integers(begin, min(length, begin + draw(st.sampled_from([12, 3, 300]))))
    fewest = draw(st.sampled_from([4, 2, 0]))
    for position in sorted(draw(st.lists(positions, min_size=fewest, max_size=fewest + 3))):
        ref = reference[position - 1 : position - 1 + draw(st.sampled_from([1, 1, 2, 3, 5, 12]))]
        alts = []
        for _ in range(draw(st.sampled_from([1, 1, 2, 3]))):
            alt = draw(alternate_texts(ref))
            if others and draw(st.integers(0, 9)) == 9:
                alt = draw(st.sampled_from(["*", "<DEL>", "RN", f"{ref}[2:7["]))
            name = shortest(position, ref, alt)
            if alt != ref and name not in seen:
                seen.add(name)
                alts.append(alt)
        if alts:
            # Most haplotypes carry most alleles, so that alleles meet.
            call = st.sampled_from([*range(1, len(alts) + 1)] * 3 + [0, -1])
            calls = draw(st.lists(call, min_size=haplotypes, max_size=haplotypes))
            records.append(PlainRecord(position, ref, tuple(alts), tuple(calls)))
    return Case(reference, tuple(records))


@st.composite
def specs(draw: st.DrawFn, longest: int = 40, variants: Sequence[str] = ("all", "all", "snv")) -> WindowSpec:
    """A window."""
    length = draw(st.integers(1, longest))
    offset = draw(st.integers(0, length - 1))
    strand: Any = draw(st.sampled_from(["forward", "gene"]))
    policy: Any = draw(st.sampled_from(list(variants)))
    return WindowSpec(length, offset, strand, policy)


@st.composite
def windowed_cases(draw: st.DrawFn) -> tuple[Case, WindowSpec, int, str]:
    """A case, a window, a TSS anywhere on the contig (1-based), and the gene's strand."""
    case = draw(cases())
    tss = draw(st.integers(1, len(case.reference)))
    if case.records and draw(st.integers(0, 3)):
        # At a variant or beside it.
        at = draw(st.sampled_from(case.records))
        tss = min(max(at.position + draw(st.integers(-1, len(at.ref))), 1), len(case.reference))
    return case, draw(specs()), tss, draw(st.sampled_from("+-"))
