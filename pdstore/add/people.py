"""New people into a store."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pdstore.add.genotypes import append_genotypes, take_arrays
from pdstore.add.haplotypes import grow_groups
from pdstore.add.replacement import replaced_store
from pdstore.analysis.residuals import expression_pcs
from pdstore.chunk_files import ChunkFiles
from pdstore.counts import Counts
from pdstore.errors import InputError, ProvenanceError, UsageError
from pdstore.location.copying import Progress
from pdstore.merge import united_digests
from pdstore.sources.covariates import Covariates, read_covariates
from pdstore.sources.expression import read_every_gene, read_expression, read_sample_map
from pdstore.sources.genes import Gene
from pdstore.sources.genome_build import agreed_build
from pdstore.sources.text import file_sha256
from pdstore.sources.vcf import convert_to_vcf_zarr, read_vcf_headers
from pdstore.stages.expression import Adjustment, write_expression
from pdstore.stages.genotypes import Unphased, variants_a_chunk
from pdstore.status import require_sound
from pdstore.store import Store, create_store, mark_complete

_OF_A_GENE = ("id", "name", "contig", "tss", "strand")


@dataclass(frozen=True)
class NewPeople:
    """The files that new people come from.

    Attributes
    ----------
    vcf : sequence of Path
        Phased genotypes of the new people, at the records that the store has; who is in the store already may be in
        them, too.
    expression : Path
        Measured expression of the new people.
    covariates : Path or None
        Covariates of everybody, where the store has covariates.
    sample_map : Path or None
        Names of people in the genotypes and in the expression, where they differ.
    unphased : {"error", "reference"} or None
        What becomes of heterozygotes without a phase; what the store was made with, where not given.
    """

    vcf: Sequence[Path]
    expression: Path
    covariates: Path | None = None
    sample_map: Path | None = None
    unphased: Unphased | None = None


@dataclass(frozen=True)
class _Cohort:
    """Everybody: the store's people, then the new ones.

    Attributes
    ----------
    new : ndarray of int64, shape (new people,)
        0-based columns of the new people in the VCF.
    observed : ndarray of float32, shape (genes, people)
        NaN where not measured.
    adjustment : Adjustment
        What is taken out of it.
    """

    new: NDArray[np.int64]
    observed: NDArray[np.float32]
    adjustment: Adjustment


def add_people(url: str, new: NewPeople, progress: Progress) -> Counts:
    """Add people to a store.

    A gene's new haplotypes come behind the old ones. Outputs of models for haplotypes and alleles stay as they are;
    what follows from all people is left for a fill to derive. A kill leaves the old store or the new one, whole; what
    else it leaves, the next call removes.

    Parameters
    ----------
    url : str
        Folder of the store.
    new : NewPeople
        The new people; those that the store has are left out.
    progress : Progress
        Told how far it is.

    Returns
    -------
    Counts

    Raises
    ------
    InputError
        A file cannot be used, has no new person, or does not agree with the store. The store stays as it is.
    ProvenanceError
        People of the store have other expression or covariates in the files.
    UsageError
        The covariates are needed, or the sample map.
    LeaseError
        Somebody else writes to the store.
    """
    added = Counts()
    with replaced_store(url, added) as (store, grown, scratch):
        progress.step("checking the sources")
        require_sound(store)
        header = read_vcf_headers(new.vcf)
        agreed_build(store.attributes.get("genome_build"), header.builds)
        cohort = _read_cohort(store, header.sample_names, new, added)
        progress.step("converting genotypes")
        converted = convert_to_vcf_zarr(new.vcf, scratch / "genotypes", variants_a_chunk())
        progress.copying(store.size_on_disk(""))
        out = create_store(grown)
        files = ChunkFiles(out, progress, link=True)
        unphased = new.unphased or (store.attributes.get("options") or {}).get("unphased", "error")
        for reason, count in append_genotypes(out, store, converted, cohort.new, unphased, files).items():
            added.leave_out(reason, count)
        for group in ("genes", "reference"):
            take_arrays(out, store, group, files)
        write_expression(out, cohort.observed, cohort.adjustment)
        grow_groups(out, store, files, added)
        mark_complete(out, _attributes(store, new, cohort))
    return added


def _read_cohort(store: Store, sample_names: Sequence[str], new: NewPeople, added: Counts) -> _Cohort:
    """What the small files say of everybody."""
    held = store.read("genotypes/sample_id").tolist()
    columns = [column for column, name in enumerate(sample_names) if name not in set(held)]
    added.leave_out("people of the VCF whom the store has already", len(sample_names) - len(columns))
    if not columns:
        raise InputError(f"VCF {new.vcf[0]}: all of its {len(sample_names):,} people are in the store already")
    names = _names_in_expression(store, [*held, *(sample_names[column] for column in columns)], new)
    genes = [
        Gene(*of_gene)
        for of_gene in zip(*(store.read(f"genes/gene_{what}").tolist() for what in _OF_A_GENE), strict=True)
    ]
    found = read_expression(new.expression, genes, names)
    is_new = found.people >= len(held)
    chosen = found.people[is_new] - len(held)
    if not len(chosen):
        raise InputError(
            f"expression {new.expression}: none of the {len(columns):,} new people of the VCF is in it; if they go by "
            "other names there, give --sample-map"
        )
    observed = store.read("expression/observed")
    _require_same_expression(new.expression, observed[:, found.people[~is_new]], found.observed[:, ~is_new])
    added.leave_out("new people of the VCF without expression", len(columns) - len(chosen))
    for reason, count in found.left_out.items():
        if reason != "people without expression":
            added.leave_out(reason, count)
    unmeasured = np.isnan(found.observed[:, is_new]).all(axis=1) & ~np.isnan(observed).all(axis=1)
    added.leave_out("measured genes that are measured in no new person", int(unmeasured.sum()))
    added.taken["new people"] = len(chosen)
    added.taken["people now"] = len(held) + len(chosen)
    everybody = [*names[: len(held)], *(names[len(held) + person] for person in chosen)]
    return _Cohort(
        np.array(columns)[chosen],
        np.concatenate([observed, found.observed[:, is_new]], axis=1),
        _adjustment(store, new, everybody, len(held), int((~is_new).sum())),
    )


def _names_in_expression(store: Store, names: Sequence[str], new: NewPeople) -> list[str]:
    """Names of people of the VCF as the expression and the covariates have them."""
    if new.sample_map is None:
        if (store.attributes.get("options") or {}).get("sample_map"):
            raise UsageError("the store was made with a sample map: give one of everybody with --sample-map")
        return list(names)
    of = read_sample_map(new.sample_map)
    mapped = [of.get(name, name) for name in names]
    if len(set(mapped)) != len(mapped):
        raise InputError(f"sample map {new.sample_map}: it gives two people the same name")
    return mapped


def _require_same_expression(path: Path, held: NDArray[np.float32], given: NDArray[np.float32]) -> None:
    """Expression that was normalised anew is of another scale than the store's."""
    people = int((~np.isnan(given) & (given != held)).any(axis=0).sum())
    if people:
        raise ProvenanceError(
            f"expression {path}: {people:,} of the {held.shape[1]:,} people of the store who are in it have other "
            "values than in the store; was it normalised anew? Make a new store of it with pdstore init, or give a "
            "file that was normalised as the store's"
        )


def _adjustment(store: Store, new: NewPeople, people: Sequence[str], held: int, measured_again: int) -> Adjustment:
    """What is taken out of expression, of everybody; `held` of the people are the store's."""
    of: Mapping[str, Any] = store.group("expression").attrs.asdict()
    components = int(of["expression_pcs"])
    pcs = np.empty((len(people), 0))
    if components:
        if measured_again < held:
            raise UsageError(
                f"the store takes {components} expression PCs out, which are of everybody: --expression needs all "
                f"{held:,} people of the store beside the new ones, but has {measured_again:,} of them"
            )
        pcs = expression_pcs(read_every_gene(new.expression, people), components)
    covariates = _covariates(store, new.covariates, people, held)
    return Adjustment(covariates, tuple(of["residualised"]), pcs)


def _covariates(store: Store, path: Path | None, people: Sequence[str], held: int) -> Covariates:
    if "expression/covariates" not in store:
        if path is not None:
            raise UsageError("the store has no covariates: leave --covariates out, or make a store with pdstore init")
        return Covariates((), np.empty((len(people), 0)))
    names = store.read("expression/covariate_name").tolist()
    if path is None:
        raise UsageError(f"the store has {len(names)} covariates ({', '.join(names)}): give everybody's --covariates")
    given = read_covariates(path, people)
    if sorted(given.names) != sorted(names):
        raise ProvenanceError(
            f"covariates {path}: it has {', '.join(given.names)}, but the store has {', '.join(names)}; give the same"
        )
    values = given.values[:, [given.names.index(name) for name in names]]
    differ = int((values[:held] != store.read("expression/covariates")).any(axis=1).sum())
    if differ:
        raise ProvenanceError(
            f"covariates {path}: {differ:,} of the {held:,} people of the store have other values than in the store; "
            "give the same, or make a new store with pdstore init"
        )
    return Covariates(tuple(names), values)


def _attributes(store: Store, new: NewPeople, cohort: _Cohort) -> dict[str, Any]:
    """Attributes of the grown root: those of the store, with the new files."""
    of = store.attributes
    inputs = of["inputs"] | {
        "vcf": [*of["inputs"]["vcf"], *map(file_sha256, new.vcf)],
        "expression": united_digests([of["inputs"]["expression"], file_sha256(new.expression)]),
    }
    if new.covariates is not None:
        inputs["covariates"] = united_digests([inputs["covariates"], file_sha256(new.covariates)])
    counts = of["counts"]
    people = cohort.observed.shape[1]
    added = f"{len(cohort.new):,} people added by pdstore {version('pdstore')}: {people:,} now"
    return {
        "pdstore_version": version("pdstore"),
        "level": "full",
        "genome_build": of.get("genome_build"),
        "inputs": inputs,
        "options": of.get("options"),
        "counts": counts | {"notes": [*counts["notes"], added]},
    }
