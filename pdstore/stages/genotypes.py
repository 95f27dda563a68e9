"""genotypes/ and variants/: VCF Zarr copied into our codecs, every record checked, one row per alternate allele."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import zarr
from numpy.typing import NDArray

from pdstore.errors import InputError
from pdstore.schema import schema_of
from pdstore.sources.fasta import Fasta
from pdstore.sources.variants import (
    Alleles,
    alternate_alleles,
    first_out_of_order,
    first_wrong_reference,
    unphased_heterozygotes,
)
from pdstore.store import Store

Unphased = Literal["error", "reference"]


@dataclass(frozen=True)
class CopiedGenotypes:
    """What `copy_genotypes` found.

    Attributes
    ----------
    contig : ndarray of int32, shape (alleles,)
        Index of each allele's contig in the order of `contig_names`.
    alleles : Alleles
        The alternate alleles, in the order of records.
    carriers : ndarray of int32, shape (alleles,)
        People with at least one copy.
    frequency : ndarray of float32, shape (alleles,)
        Copies over called alleles; NaN where none is called.
    records, unphased_calls, missing_calls : int
        Records; heterozygotes without a phase that are read as reference; alleles that are not called.
    """

    contig: NDArray[np.int32]
    alleles: Alleles
    carriers: NDArray[np.int32]
    frequency: NDArray[np.float32]
    records: int
    unphased_calls: int
    missing_calls: int


def variants_a_chunk() -> int:
    """Variants a chunk of genotypes/."""
    chunk = schema_of("genotypes").arrays["call_genotype"].chunks[0]
    assert isinstance(chunk, int)
    return chunk


def copy_genotypes(
    store: Store,
    converted: zarr.Group,
    people: NDArray[np.int64],
    contig_names: Mapping[int, str],
    fasta: Fasta,
    unphased: Unphased,
) -> CopiedGenotypes:
    """Copy VCF Zarr into genotypes/, chunk by chunk, for some of the people.

    Parameters
    ----------
    store : Store
        The store that is made.
    converted : zarr.Group
        What bio2zarr made of the VCF.
    people : ndarray of int64, shape (people,)
        0-based columns of the people to keep.
    contig_names : mapping of int to str
        Index of each contig that has records → its name in the FASTA.
    fasta : Fasta
        The reference.
    unphased : {"error", "reference"}
        What becomes of heterozygotes without a phase.

    Raises
    ------
    InputError
        Records out of order, a REF that is not the FASTA's, or unphased heterozygotes where they are refused.
    """
    names = _create_group(store, converted, people)
    refuse_disorder(converted)
    per_variant = [name for name in names if schema_of("genotypes").arrays[name].dims[0] == "variants"]
    records = _array(converted, "variant_position").shape[0]
    order_of = {index: rank for rank, index in enumerate(contig_names)}
    contig_order = np.array([order_of.get(index, -1) for index in range(max(order_of) + 1)], dtype=np.int32)
    sequence_of = _OneContig(fasta)
    parts: list[tuple[NDArray[Any], ...]] = []
    checked = CheckedCalls(people, contig_names)
    for start in range(0, records, variants_a_chunk()):
        rows = slice(start, start + variants_a_chunk())
        chunk = {name: np.asarray(_array(converted, name)[rows]) for name in per_variant}
        _refuse_wrong_reference(chunk, contig_names, sequence_of)
        calls, phased = checked.of(chunk)
        for name, values in (chunk | {"call_genotype": calls, "call_genotype_phased": phased}).items():
            store.write(f"genotypes/{name}", rows, values)
        alleles = alternate_alleles(chunk["variant_position"], chunk["variant_allele"].astype(object))
        contig = contig_order[chunk["variant_contig"][alleles.record]]
        parts.append(
            (
                contig,
                *carriers_and_frequency(calls, alleles.record, alleles.allele_index),
                *alleles._replace(record=alleles.record + start),
            )
        )
    checked.require_phased(unphased)
    contig, carriers, frequency, *columns = (np.concatenate(column) for column in zip(*parts, strict=True))
    alleles = Alleles(*columns)
    _refuse_repeated(contig, alleles, list(contig_names.values()))
    return CopiedGenotypes(contig, alleles, carriers, frequency, records, checked.unphased, checked.missing)


@dataclass
class CheckedCalls:
    """Calls of some of the people of a VCF, chunk by chunk, and what is found in them.

    Attributes
    ----------
    people : ndarray of int64, shape (people,)
        0-based columns of the people.
    contig_names : mapping of int to str
        Index of each contig that has records → its name in the store.
    unphased, missing : int
        Heterozygotes without a phase, which are read as reference; alleles that are not called.
    """

    people: NDArray[np.int64]
    contig_names: Mapping[int, str]
    unphased: int = 0
    missing: int = 0
    _first_unphased: str = ""

    def of(self, chunk: Mapping[str, NDArray[Any]]) -> tuple[NDArray[np.int8], NDArray[np.bool_]]:
        """Calls of the people, and whether they are phased.

        Parameters
        ----------
        chunk : mapping
            Some records of VCF Zarr, by name of the array.

        Returns
        -------
        (ndarray of int8, shape (records, people, ploidy); ndarray of bool, shape (records, people))

        Raises
        ------
        InputError
            A call names an allele that its record lacks.
        """
        _refuse_unknown_alleles(chunk, self.contig_names)
        calls, phased = chunk["call_genotype"][:, self.people], chunk["call_genotype_phased"][:, self.people]
        heterozygous = unphased_heterozygotes(calls, phased)
        if heterozygous.any():
            self.unphased += int(heterozygous.sum())
            first = int(np.nonzero(heterozygous)[0][0])
            self._first_unphased = self._first_unphased or _place(chunk, self.contig_names, first)
            calls = np.where(heterozygous[:, :, None], np.int8(0), calls)
        self.missing += int((calls == -1).sum())
        return calls, phased

    def require_phased(self, unphased: Unphased) -> None:
        """Raise `InputError` where heterozygotes without a phase were found and are refused."""
        if self.unphased and unphased == "error":
            raise InputError(
                f"{self.unphased} heterozygous calls are not phased, the first at {self._first_unphased}; phase the "
                "genotypes, or read such calls as reference with --unphased reference"
            )


def write_variants(store: Store, copied: CopiedGenotypes, contig_names: Sequence[str]) -> None:
    """Write variants/: the alternate alleles, sorted by contig and position, then as in the VCF."""
    alleles = copied.alleles
    order = np.lexsort((alleles.allele_index, alleles.record, alleles.position, copied.contig))
    store.create_group("variants", {"variants": len(order), "contigs": len(contig_names)}, {})
    columns: dict[str, NDArray[Any]] = {
        "contig": copied.contig,
        "position": alleles.position,
        "ref": alleles.ref,
        "alt": alleles.alt,
        "kind": alleles.kind,
        "allele_frequency": copied.frequency,
        "carriers": copied.carriers,
        "genotype_record": alleles.record,
        "allele_index": alleles.allele_index,
        "record_position": alleles.record_position,
        "record_length": alleles.record_length,
        "length_change": alleles.length_change,
    }
    store.write("variants/contig_id", ..., np.array(contig_names, dtype=object))
    for name, values in columns.items():
        store.write(f"variants/{name}", ..., values[order])


def _create_group(store: Store, converted: zarr.Group, people: NDArray[np.int64]) -> list[str]:
    """Create genotypes/ and write what is not per variant; returns the names of its arrays."""
    schema = schema_of("genotypes")
    names = [name for name in schema.arrays if name in converted]
    sizes = {
        dim: size
        for name in names
        for dim, size in zip(schema.arrays[name].dims, _array(converted, name).shape, strict=True)
    } | {"samples": len(people)}
    attributes = {name: converted.attrs[name] for name in ("vcf_zarr_version", "source")}
    store.create_group("genotypes", sizes, attributes, without=set(schema.arrays) - set(names))
    for name in names:
        if schema.arrays[name].dims[0] != "variants":
            values = np.asarray(_array(converted, name)[...])
            store.write(f"genotypes/{name}", ..., values[people] if name == "sample_id" else values)
    return names


def carriers_and_frequency(
    calls: NDArray[np.int8], record: NDArray[np.int64], allele_index: NDArray[np.int8]
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """People with each allele, and its frequency among called alleles.

    Parameters
    ----------
    calls : ndarray of int8, shape (records, people, ploidy)
        Allele of each haplotype: 0 reference, -1 missing, -2 no second haplotype.
    record : ndarray of int64, shape (alleles,)
        Row of `calls` of each allele, 0-based.
    allele_index : ndarray of int8, shape (alleles,)
        Which alternate allele of that record, from 1.

    Returns
    -------
    (ndarray of int32, ndarray of float32), both of shape (alleles,)
        NaN where no allele is called.
    """
    copies = (calls[record] == allele_index[:, None, None]).sum(axis=2)
    called = (calls >= 0).sum(axis=(1, 2))[record]
    frequency = np.divide(copies.sum(axis=1), called, out=np.full(len(called), np.nan), where=called > 0)
    return (copies > 0).sum(axis=1, dtype=np.int32), frequency.astype(np.float32)


class _OneContig:
    """The sequence of the contig asked for last: records come contig by contig."""

    def __init__(self, fasta: Fasta) -> None:
        self._fasta = fasta
        self._contig: str | None = None
        self._sequence = np.empty(0, dtype=np.uint8)

    def __call__(self, contig: str) -> NDArray[np.uint8]:
        if contig != self._contig:
            self._contig, self._sequence = contig, self._fasta.sequence(contig)
        return self._sequence


def refuse_disorder(converted: zarr.Group) -> None:
    """Raise `InputError` where records of VCF Zarr are not sorted; contigs may come in any order."""
    contig = np.asarray(_array(converted, "variant_contig")[...])
    position = np.asarray(_array(converted, "variant_position")[...])
    row = first_out_of_order(contig, position)
    if row is not None:
        contig_ids = np.asarray(_array(converted, "contig_id")[...])
        raise InputError(
            f"VCF records are out of order: record {row + 1}, {contig_ids[contig[row]]}:{position[row]}, comes after "
            f"{contig_ids[contig[row - 1]]}:{position[row - 1]}; sort the VCF (bcftools sort)"
        )


def _refuse_wrong_reference(
    chunk: Mapping[str, NDArray[Any]], contig_names: Mapping[int, str], sequence_of: _OneContig
) -> None:
    for index in np.unique(chunk["variant_contig"]):
        rows = np.flatnonzero(chunk["variant_contig"] == index)
        position, ref = chunk["variant_position"][rows], chunk["variant_allele"][rows, 0].astype(object)
        sequence = sequence_of(contig_names[int(index)])
        wrong = first_wrong_reference(sequence, position, ref)
        if wrong is not None:
            start = int(position[wrong]) - 1
            there = sequence[max(start, 0) : start + len(ref[wrong])].tobytes().decode() or "no base"
            raise InputError(
                f"REF at {contig_names[int(index)]}:{position[wrong]} is {ref[wrong]} in the VCF but {there} in the "
                "FASTA; are they of one genome build?"
            )


def _refuse_unknown_alleles(chunk: Mapping[str, NDArray[Any]], contig_names: Mapping[int, str]) -> None:
    """htslib reads ``0|3`` of a record with one alternate allele without a word."""
    alleles = (chunk["variant_allele"] != "").sum(axis=1)
    highest = chunk["call_genotype"].max(axis=(1, 2))
    beyond = np.flatnonzero(highest >= alleles)
    if len(beyond):
        row = int(beyond[0])
        raise InputError(
            f"the record at {_place(chunk, contig_names, row)} has {alleles[row]} alleles, but a genotype names allele "
            f"{highest[row]}"
        )


def _refuse_repeated(contig: NDArray[np.int32], alleles: Alleles, contig_names: Sequence[str]) -> None:
    """An allele in two records would count twice in every sum over variants."""
    order = np.lexsort((alleles.position, contig))
    same_place = (np.diff(contig[order]) == 0) & (np.diff(alleles.position[order]) == 0)
    # Alleles at one position stand together; few share one, and only those are looked at.
    for group in np.split(order, np.flatnonzero(~same_place) + 1) if same_place.any() else []:
        seen: set[tuple[str, str]] = set()
        for row in group if len(group) > 1 else []:
            if (alleles.ref[row], alleles.alt[row]) in seen:
                variant = f"{contig_names[contig[row]]}:{alleles.position[row]}:{alleles.ref[row]}:{alleles.alt[row]}"
                raise InputError(
                    f"{variant} stands in two records of the VCF, or twice in one; remove one of them "
                    "(bcftools norm -f FASTA -m -any -d exact)"
                )
            seen.add((alleles.ref[row], alleles.alt[row]))


def _place(chunk: Mapping[str, NDArray[Any]], contig_names: Mapping[int, str], row: int) -> str:
    return f"{contig_names[int(chunk['variant_contig'][row])]}:{chunk['variant_position'][row]}"


def _array(group: zarr.Group, name: str) -> zarr.Array[Any]:
    node = group[name]
    assert isinstance(node, zarr.Array)
    return node
