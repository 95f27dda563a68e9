"""Models that are trained on what a store holds: PrediXcan on its people, a readout on its genes."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pdstore.analysis.elastic_net import (
    INNER_FOLDS,
    L1_RATIO,
    MIN_MINOR_ALLELE_FREQUENCY,
    common_alleles,
    nested_elastic_nets,
)
from pdstore.errors import JobError, UsageError
from pdstore.fill import Observer, selected_genes
from pdstore.haplotypes.build import diploid_dosage
from pdstore.haplotypes.overlaps import Reach
from pdstore.haplotypes.window import Variants, WindowSpec
from pdstore.jobs.cluster import local_client, usable_cores
from pdstore.jobs.run import run_tasks
from pdstore.location.locate import absolute
from pdstore.models.predixcan import REACH, person_digest
from pdstore.personal import people_of_file
from pdstore.sources.genome_build import build_named_in
from pdstore.sources.predictdb import (
    FORMAT,
    TrainedGene,
    add_gene,
    begin_predictdb,
    settings_of_predictdb,
    trained_genes,
)
from pdstore.sources.text import check_new_file
from pdstore.stages.expression import read_expression
from pdstore.stages.gene_window import reaches, read_calls, read_gene_window
from pdstore.store import open_store

FOLDS = 5
# So that a digest of a name in one file says nothing of another's.
_SALT_BYTES = 16
_SHORT_BUILDS = {"GRCh37": "b37", "GRCh38": "b38"}


@dataclass(frozen=True)
class PredixcanReport:
    """What a training made.

    Attributes
    ----------
    trained, before : int
        Genes that were trained now, and by an interrupted run of the same.
    without_weights : int
        Genes for which cross-validation chose no allele, or whose expression was measured in too few people.
    not_converged : int
        Genes of which a fit did not reach its tolerance.
    genes_with_r : int
        Genes with an R of out-of-fold prediction and observed expression.
    mean_r : float
        Its mean over them, NaN where there are none.
    """

    trained: int
    before: int
    without_weights: int
    not_converged: int
    genes_with_r: int
    mean_r: float


def train_predixcan(
    url: str,
    path: Path,
    observer: Observer,
    people: Path | None = None,
    genes: Sequence[str] = (),
    folds: int = FOLDS,
    seed: int = 0,
    variants: Variants = "snv",
    distance: int = REACH,
    workers: int | None = None,
) -> PredixcanReport:
    """Train an elastic net a gene on people's dosages, and one more for each fold of people, without them.

    Parameters
    ----------
    url : str
        The store.
    path : Path
        PredictDB file that is made. While it is not whole it stands beside as ``.NAME.partial``, from which the same
        call goes on.
    observer : Observer
        Told how it goes.
    people : Path, optional
        Names of the people to train on, one a line; everybody where not given.
    genes : sequence of str
        Symbols or ids; none means all.
    folds : int
        Of people, for predictions of those a model was trained on.
    seed : int
        Of all folds.
    variants : {"snv", "all"}
        Which alleles.
    distance : int, bp
        How far from the TSS, 1,000,000 at most.
    workers : int, optional
        Processes; one a core where not given.

    Raises
    ------
    UsageError
        The file exists, or one half made with other settings does.
    InputError
        A line of `people` names nobody of the store.
    """
    if not 2 <= folds <= 100:
        raise UsageError(f"--folds {folds}: expected 2 to 100")
    if not 1 <= distance <= REACH:
        raise UsageError(f"--distance {distance}: expected 1 to {REACH:,} bp")
    check_new_file(path)
    url = absolute(url)
    store = open_store(url)
    store.require_people()
    rows = selected_genes(store, genes)
    names = store.read("genotypes/sample_id").tolist()
    chosen = np.arange(len(names)) if people is None else people_of_file(people, names)
    if len(chosen) < 2 * folds:
        raise UsageError(f"{len(chosen)} people to train on: at least {2 * folds} are needed for {folds} folds")
    rng = np.random.default_rng(seed)
    fold = np.zeros(len(names), dtype=np.int64)
    fold[chosen] = rng.permutation(np.arange(len(chosen)) % folds) + 1
    settings = {
        "store": hashlib.sha256(repr(sorted(store.attributes.get("inputs", {}).items())).encode()).hexdigest(),
        "expression": repr(sorted(store.group("expression").attrs.asdict().items())),
        "people": hashlib.sha256("\n".join(names[row] for row in chosen).encode()).hexdigest(),
        "folds": str(folds),
        "seed": str(seed),
        "variants": variants,
        "distance": str(distance),
        "l1_ratio": str(L1_RATIO),
        "minimum_maf": str(MIN_MINOR_ALLELE_FREQUENCY),
        "inner_folds": str(INNER_FOLDS),
        "format": FORMAT,
    }
    unfinished = path.with_name(f".{path.name}.partial")
    if unfinished.exists():
        _require_same_settings(unfinished, settings)
    else:
        salt = os.urandom(_SALT_BYTES).hex()
        fold_of = {person_digest(salt, names[row]): int(fold[row]) for row in chosen}
        # In another order than the store's.
        begin_predictdb(unfinished, settings, salt, dict(sorted(fold_of.items())))
    done = {trained.gene_id for trained in trained_genes(unfinished)}
    ids = store.read("genes/gene_id").tolist()
    todo = [row for row in rows if ids[row] not in done]
    window = WindowSpec(2 * distance + 1, distance, "forward", variants)
    tasks = list(zip(todo, reaches(store, window, todo), strict=True)) if todo else []
    observer.step_begins("genes", "genes", len(tasks), len(tasks), len(rows) - len(todo))
    failures: list[str] = []
    if tasks:
        with local_client(workers or usable_cores()) as client:
            train = partial(_train_gene, url, str(unfinished), window, fold, seed)
            failed = run_tasks(client, train, tasks, lambda _, worked: observer.block_done(1, worked))
            failures = [f"{ids[failure.task[0]]}: {failure.error}" for failure in failed]
    observer.step_ends()
    if failures:
        raise JobError(
            f"{len(failures):,} genes could not be trained, first {failures[0]}; what was trained is kept in "
            f"{unfinished}, train again to go on"
        )
    os.link(unfinished, path)
    unfinished.unlink()
    return _report(path, len(tasks), len(rows) - len(todo))


def _train_gene(
    url: str, path: str, window: WindowSpec, fold: NDArray[np.int64], seed: int, task: tuple[int, Reach]
) -> None:
    """Train one gene in a worker, and add it to the file."""
    gene, reach = task
    store = open_store(url)
    of = read_gene_window(store, window, gene, reach)
    people = np.flatnonzero(fold > 0)
    calls = read_calls(store, of, people)
    # Nobody without a haplotype is predicted, as women on Y.
    observed = np.where(calls.absent.all(axis=1), np.nan, read_expression(store, gene)[people])
    dosage = diploid_dosage(calls.carried[of.scored], calls.absent)
    common = np.flatnonzero(common_alleles(dosage))
    rows = of.scored_columns[common]
    fit = nested_elastic_nets(dosage[common].T, observed, fold[people], seed)
    contig = str(store.read("genes/gene_contig", gene))
    build = _SHORT_BUILDS.get(build_named_in(str(store.attributes.get("genome_build"))) or "")
    ref, alt = (store.read(f"variants/{name}", of.rows)[rows] for name in ("ref", "alt"))
    variants = [
        (contig, int(of.position[row]), ref_allele, alt_allele, *([build] if build else []))
        for row, ref_allele, alt_allele in zip(rows, ref, alt, strict=True)
    ]
    gene_id, name = (str(store.read(f"genes/gene_{what}", gene)) for what in ("id", "name"))
    records = store.read("genotypes/variant_id")[of.record[rows]]
    rsids = ["" if rsid == "." else rsid for rsid in records.tolist()]
    trained = TrainedGene(
        gene_id=gene_id,
        gene_name=name,
        variants=variants,
        rsids=rsids,
        weight=fit.weight,
        mean=fit.mean,
        people=int((~np.isnan(observed)).sum()),
        pearson_r=fit.pearson_r,
        p_value=fit.p_value,
        converged=fit.converged,
    )
    add_gene(Path(path), trained)


def _require_same_settings(unfinished: Path, settings: dict[str, str]) -> None:
    held = settings_of_predictdb(unfinished)
    differing = [name for name, value in settings.items() if held.get(name) != value]
    if differing:
        shown = ", ".join(
            f"{name} {held.get(name)}, now {settings[name]}" if len(settings[name]) < 20 else f"another {name}"
            for name in differing
        )
        raise UsageError(f"{unfinished} was begun otherwise ({shown}): train with the same, or remove it first")


def _report(path: Path, trained: int, before: int) -> PredixcanReport:
    genes = trained_genes(path)
    r = np.array([gene.pearson_r for gene in genes])
    return PredixcanReport(
        trained=trained,
        before=before,
        without_weights=sum(not gene.alleles for gene in genes),
        not_converged=sum(not gene.converged for gene in genes),
        genes_with_r=int((~np.isnan(r)).sum()),
        mean_r=float(np.nanmean(r)) if not np.isnan(r).all() else np.nan,
    )
