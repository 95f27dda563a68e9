"""genotypes/ and variants/ with more people: the store's records, called in the new people by another VCF."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from pdstore.chunk_files import ChunkFiles, all_chunks
from pdstore.errors import InputError
from pdstore.merge import create_like
from pdstore.sources.contigs import match_contigs
from pdstore.stages.genotypes import (
    CheckedCalls,
    Unphased,
    carriers_and_frequency,
    refuse_disorder,
    variants_a_chunk,
)
from pdstore.store import Store

_OF_A_RECORD = ("variant_contig", "variant_position", "variant_allele")
_OF_A_CALL = (*_OF_A_RECORD, "call_genotype", "call_genotype_phased")

_Key = tuple[str, ...]
"""Contig, 1-based position and alleles of a record."""


def append_genotypes(
    out: Store,
    store: Store,
    converted: zarr.Group,
    people: NDArray[np.int64],
    unphased: Unphased,
    files: ChunkFiles,
) -> dict[str, int]:
    """Write genotypes/ and variants/ of a store's people and of new ones, who come last.

    Parameters
    ----------
    out : Store
        The new store.
    store : Store
        The store that grows.
    converted : zarr.Group
        What bio2zarr made of the new people's VCF.
    people : ndarray of int64, shape (people,)
        0-based columns of the new people in it.
    unphased : {"error", "reference"}
        What becomes of heterozygotes without a phase.
    files : ChunkFiles
        Of the new store.

    Returns
    -------
    dict of str to int
        What was left out, or read as reference: in words → how many.

    Raises
    ------
    InputError
        A new person carries an allele of a record that the store lacks, so that nobody knows it of the others; the VCF
        lacks a contig of the store, or is out of order; unphased heterozygotes where they are refused.
    """
    refuse_disorder(converted)
    held = store.array("genotypes/call_genotype").shape
    ploidy = _array(converted, "call_genotype").shape[2]
    if ploidy > held[2]:
        raise InputError(f"the VCF has calls of {ploidy} alleles, but the store has at most {held[2]} of a person")
    names = _contig_names(store, converted)
    at = _rows_of_records(store, converted, names)
    _refuse_lost_contig(store, at)
    checked = CheckedCalls(people, names)
    beyond = np.setdiff1d(np.arange(_array(converted, "variant_position").shape[0]), at)
    _refuse_carried(converted, beyond, people, names)

    written = ("call_genotype", "call_genotype_phased", "sample_id")
    take_arrays(out, store, "genotypes", files, {"samples": held[1] + len(people)}, written)
    sample_id = [store.read("genotypes/sample_id"), _whole(converted, "sample_id")[people]]
    out.write("genotypes/sample_id", ..., np.concatenate(sample_id).astype(object))
    record, allele_index = store.read("variants/genotype_record"), store.read("variants/allele_index")
    carriers = np.zeros(len(record), dtype=np.int32)
    frequency = np.full(len(record), np.nan, dtype=np.float32)
    for start in range(0, held[0], variants_a_chunk()):
        rows = slice(start, min(start + variants_a_chunk(), held[0]))
        calls, phased = _calls_of(converted, at[rows], checked, held[2])
        calls = np.concatenate([store.read("genotypes/call_genotype", rows), calls], axis=1)
        phased = np.concatenate([store.read("genotypes/call_genotype_phased", rows), phased], axis=1)
        out.write("genotypes/call_genotype", rows, calls)
        out.write("genotypes/call_genotype_phased", rows, phased)
        of = np.flatnonzero((record >= rows.start) & (record < rows.stop))
        carriers[of], frequency[of] = carriers_and_frequency(calls, record[of] - start, allele_index[of])
    checked.require_phased(unphased)
    take_arrays(out, store, "variants", files, without=("carriers", "allele_frequency"))
    out.write("variants/carriers", ..., carriers)
    out.write("variants/allele_frequency", ..., frequency)
    return {
        "records of the VCF that the store lacks, whose alleles no new person carries": len(beyond),
        "records of the store that the VCF lacks, read as reference in new people": int((at < 0).sum()),
        "unphased heterozygous calls, read as reference": checked.unphased,
        "missing allele calls, read as reference": checked.missing,
    }


def take_arrays(
    out: Store,
    store: Store,
    group: str,
    files: ChunkFiles,
    sizes: Mapping[str, int] | None = None,
    without: Collection[str] = (),
) -> None:
    """Create a group like a store's, with other sizes, and take over all its arrays but some, which are empty then."""
    create_like(out, store, group, sizes or {})
    for name in store.arrays(group):
        if name not in without:
            files.take_all(f"{group}/{name}", store, all_chunks(store, f"{group}/{name}"))


def _contig_names(store: Store, converted: zarr.Group) -> dict[int, str]:
    """Index of each contig of the VCF that has records → its name in the store, or its own where the store lacks it."""
    given = _whole(converted, "contig_id").tolist()
    with_records = np.unique(_whole(converted, "variant_contig")).tolist()
    matched = match_contigs({given[index] for index in with_records}, store.read("genotypes/contig_id").tolist())
    return {index: matched.get(given[index], given[index]) for index in with_records}


def _rows_of_records(store: Store, converted: zarr.Group, names: Mapping[int, str]) -> NDArray[np.int64]:
    """Row of each record of the store in the VCF, -1 where the VCF lacks it: int64, shape (records,)."""
    # Only records without an alternate allele may stand there twice: the first will do.
    row_of: dict[_Key, int] = {}
    for row, key in enumerate(_keys({name: _whole(converted, name) for name in _OF_A_RECORD}, names)):
        row_of.setdefault(key, row)
    contig_ids = dict(enumerate(store.read("genotypes/contig_id").tolist()))
    of_store = {name: store.read(f"genotypes/{name}") for name in _OF_A_RECORD}
    return np.array([row_of.get(key, -1) for key in _keys(of_store, contig_ids)], dtype=np.int64)


def _keys(of: Mapping[str, NDArray[Any]], names: Mapping[int, str]) -> Iterable[_Key]:
    """Where records lie and what they are; the order of alternate alleles counts, since calls go by it."""
    for index, place, of_record in zip(*(of[name].tolist() for name in _OF_A_RECORD), strict=True):
        yield names[index], str(place), *(allele.upper() for allele in of_record if allele)


def _refuse_lost_contig(store: Store, at: NDArray[np.int64]) -> None:
    contig, names = store.read("genotypes/variant_contig"), store.read("genotypes/contig_id").tolist()
    for index in np.unique(contig):
        records = at[contig == index]
        if (records < 0).all():
            raise InputError(
                f"the VCF has none of the {len(records):,} records that the store has on contig {names[index]}: give "
                "calls of the same records in the new people, on all contigs (--vcf once for each file)"
            )


def _refuse_carried(
    converted: zarr.Group, rows: NDArray[np.int64], people: NDArray[np.int64], names: Mapping[int, str]
) -> None:
    """Refuse records that the store lacks where a new person carries an alternate allele."""
    count, first = 0, ""
    for start in range(0, len(rows), variants_a_chunk()):
        part = rows[start : start + variants_a_chunk()]
        chunk = _rows(converted, part)
        carried = np.flatnonzero((chunk["call_genotype"][:, people] > 0).any(axis=(1, 2)))
        if len(carried) and not first:
            contig, position, *alleles = next(iter(_keys({name: chunk[name][carried] for name in chunk}, names)))
            first = f"{contig}:{position} {alleles[0]}>{','.join(alleles[1:])}"
        count += len(carried)
    if count:
        raise InputError(
            f"new people carry alleles of {count:,} records that the store lacks, the first {first}: nobody was called "
            "there before; call everybody together, and make a store of that with pdstore init"
        )


def _calls_of(
    converted: zarr.Group, at: NDArray[np.int64], checked: CheckedCalls, ploidy: int
) -> tuple[NDArray[np.int8], NDArray[np.bool_]]:
    """Calls of the new people at some records of the store, missing where the VCF lacks the record."""
    calls = np.full((len(at), len(checked.people), ploidy), -1, dtype=np.int8)
    phased = np.zeros(calls.shape[:2], dtype=bool)
    known = np.flatnonzero(at >= 0)
    if len(known):
        found, phased[known] = checked.of(_rows(converted, at[known]))
        calls[known] = -2
        calls[known, :, : found.shape[2]] = found
    return calls, phased


def _rows(converted: zarr.Group, rows: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    """Some records, by name of the array; reads the chunks alone that they are in."""
    return {name: np.asarray(_array(converted, name).oindex[rows]) for name in _OF_A_CALL}


def _whole(converted: zarr.Group, name: str) -> NDArray[Any]:
    return np.asarray(_array(converted, name)[...])


def _array(group: zarr.Group, name: str) -> zarr.Array[Any]:
    node = group.get(name)
    if not isinstance(node, zarr.Array):
        raise InputError("the VCF's records have no GT; pdstore needs phased genotypes")
    return node
