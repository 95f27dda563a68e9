"""Bring an older store to this format: what follows from what it holds is derived, what does not is dropped.

It is done in place: a store may be larger than what is free, and of its groups a migration adds to small ones and drops
others. First is written what the older format ignores, then groups are dropped, each at once, and last the format is
written: a store whose migration was killed has the older format, and the next migration goes on, since all of it may be
done again.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pdstore.errors import JobError, StoreError
from pdstore.lease import held_lease
from pdstore.schema import FORMAT_VERSION, ROOT, create_array, deviations, group_deviations, schema_of
from pdstore.sources.variants import alternate_alleles
from pdstore.store import Store, open_any_format

_FILLED = ("windows", "predictions", "attributions", "eqtl", "statistics")
"""Parents of the groups that `fill` makes, in the order in which data flows."""

_OF_ALLELES = ("kind", "record_position", "record_length", "length_change")
"""Arrays of variants/ that follow from the alleles of genotypes/; format 1 lacked some of them."""


@dataclass(frozen=True)
class Migration:
    """What `migrate` would do.

    Attributes
    ----------
    found : int
        Format of the store.
    dropped : dict of str to str
        Path of each group that has to be filled again, in the order in which data flows → why.
    kept : tuple of str
        Paths of the filled groups that stay as they are.
    """

    found: int
    dropped: dict[str, str]
    kept: tuple[str, ...]

    @property
    def models(self) -> tuple[str, ...]:
        """Sets of predictions that have to be filled again, in whole or in part."""
        names = (path.split("/") for path in self.dropped)
        return tuple(dict.fromkeys(name for parent, name in names if parent not in ("windows", "eqtl")))


@dataclass(frozen=True)
class _Step:
    """From one format to the next.

    Attributes
    ----------
    dropped : callable
        Path of each group that cannot stay → why; what is derived from them goes with them.
    derive : callable
        Writes what the next format has beside that, from what the store holds; may be called again.
    derives : tuple of str
        Deviations from schemas/ that are gone then.
    """

    dropped: Callable[[Store], dict[str, str]]
    derive: Callable[[Store], None]
    derives: tuple[str, ...]


def plan_migration(store: Store) -> Migration:
    """Find what a migration drops and keeps; reads metadata only.

    Parameters
    ----------
    store : Store
        Of `open_any_format`.

    Raises
    ------
    StoreError
        The store is newer than this pdstore, or lacks what cannot be derived.
    """
    found = store.root.attrs["pdstore_format"]
    if type(found) is not int or found not in (*_STEPS, FORMAT_VERSION):
        newer = type(found) is int and found > FORMAT_VERSION
        raise StoreError(
            f"store {store.url} has format {found}, but this pdstore knows formats 1 to {FORMAT_VERSION}: "
            + ("update pdstore" if newer else "get the store again from a copy, or make it again with pdstore init")
        )
    steps = _steps_from(found)
    derived = {deviation for step in steps for deviation in step.derives}
    for deviation in deviations(store.root) if steps else ():
        if deviation.split("/")[0].split(":")[0] not in _FILLED and deviation not in derived:
            raise StoreError(
                f"store {store.url} of format {found} cannot be migrated ({deviation}, which nothing in it says); make "
                "it again with pdstore init"
            )
    filled = [f"{parent}/{name}" for parent in _FILLED for name in store.members(parent)]
    reasons: dict[str, str] = {}
    for step in steps:
        reasons = step.dropped(store) | reasons
    for path in filled if steps else ():
        found_deviations = [] if path in reasons else group_deviations(path, store.group(path))
        if found_deviations:
            reasons[path] = (
                f"made before format {found} was final: {found_deviations[0].removeprefix(path)[1:].strip()}"
            )
    for path in filled:
        source = next((source for source in _sources(store, path) if source in reasons), None)
        if source is not None:
            reasons.setdefault(path, f"derived from {source}")
    dropped = {path: reasons[path] for path in filled if path in reasons}
    return Migration(found, dropped, tuple(path for path in filled if path not in dropped))


def migrate(url: str, migration: Migration) -> None:
    """Bring a store to the current format. After a kill, plan and call it again.

    Parameters
    ----------
    url : str
        Folder of the store.
    migration : Migration
        Of `plan_migration`: what the user agreed to.

    Raises
    ------
    LeaseError
        Somebody else writes to the store.
    JobError
        The store changed since the migration was planned.
    """
    with held_lease(url, "migrate") as lease:
        store = open_any_format(url, "r+", lease)
        if plan_migration(store) != migration:
            raise JobError(f"store {url} changed meanwhile: migrate again to see what there is to do now")
        store.remove_leftovers()
        for step in _steps_from(migration.found):
            step.derive(store)
        # Those first that are derived from others.
        for path in reversed(migration.dropped):
            store.delete(path)
        if migration.found != FORMAT_VERSION:
            store.set_attributes(ROOT, {"pdstore_format": FORMAT_VERSION, "counts": _noted(store, migration.found)})


def _to_2(store: Store) -> None:
    """What variants/ says of alleles, from their letters in genotypes/."""
    _write_alleles(store, _alleles_of_genotypes(store))


def _dropped_by_2(store: Store) -> dict[str, str]:
    reason = "format 1 let the windows of all variants reach further into the reference"
    return {
        path: reason
        for path in (f"windows/{name}" for name in store.members("windows"))
        if store.group(path).attrs.get("variants") != "snv"
    }


def _dropped_by_3(store: Store) -> dict[str, str]:
    reason = "format 2 did not record on which device a model ran, nor the reference that effects are relative to"
    return {f"{parent}/{name}": reason for parent in ("predictions", "attributions") for name in store.members(parent)}


def _to_3(store: Store) -> None:
    """Nothing: what format 3 has beside format 2 is of models."""


def _dropped_by_4(store: Store) -> dict[str, str]:
    reasons = {
        "eqtl": "format 3 has no R of eQTL slopes",
        "statistics": "format 3 has no levels of expression and no backward selection",
    }
    return {f"{parent}/{name}": why for parent, why in reasons.items() for name in store.members(parent)}


def _to_4(store: Store) -> None:
    """No older pdstore took anything out of expression."""
    store.set_attributes("expression", {"residualised": [], "expression_pcs": 0})


_STEPS = {
    1: _Step(_dropped_by_2, _to_2, tuple(f"variants/{name}: missing array" for name in _OF_ALLELES)),
    2: _Step(_dropped_by_3, _to_3, ()),
    3: _Step(
        _dropped_by_4,
        _to_4,
        tuple(f"expression: missing attribute {name!r}" for name in ("residualised", "expression_pcs")),
    ),
}
"""Format → the step that leads from it to the next."""


def _steps_from(found: int) -> list[_Step]:
    return [_STEPS[number] for number in range(found, FORMAT_VERSION)]


def _sources(store: Store, path: str) -> tuple[str, ...]:
    """Groups that a filled group is derived from."""
    parent, name = path.split("/")
    window = name if parent == "eqtl" else store.group(path).attrs.get("window")
    of_model = (f"predictions/{name}", f"attributions/{name}", f"eqtl/{window}") if parent == "statistics" else ()
    return () if parent == "windows" else (f"windows/{window}", *of_model)


def _noted(store: Store, found: int) -> Mapping[str, Any]:
    """Counts of the root, with a note of the migration: what `pdstore status` shows of how the store was made."""
    counts = dict(store.attributes["counts"])
    note = f"brought from format {found} to {FORMAT_VERSION} by pdstore {version('pdstore')}"
    return counts | {"notes": [*counts.get("notes", ()), note]}


def _alleles_of_genotypes(store: Store) -> dict[str, NDArray[Any]]:
    """Columns of variants/ by name, one row an alternate allele, in the order of records and of their alleles."""
    positions = store.array("genotypes/variant_position")
    columns: dict[str, list[NDArray[Any]]] = {}
    for start in range(0, positions.shape[0], positions.chunks[0]):
        rows = slice(start, start + positions.chunks[0])
        letters = store.read("genotypes/variant_allele", rows).astype(object)
        found = alternate_alleles(store.read("genotypes/variant_position", rows), letters)._asdict()
        for name, values in (found | {"record": found["record"] + start}).items():
            columns.setdefault(name, []).append(values)
    return {name: np.concatenate(values) for name, values in columns.items()}


def _write_alleles(store: Store, alleles: dict[str, NDArray[Any]]) -> None:
    names = ("genotype_record", "allele_index", "position", "ref", "alt")
    stored = {name: store.read(f"variants/{name}") for name in names}
    order = np.lexsort((stored["allele_index"], stored["genotype_record"]))
    given = alleles | {"genotype_record": alleles["record"]}
    for name, values in stored.items():
        if not np.array_equal(values[order].astype(given[name].dtype), given[name]):
            raise StoreError(
                f"store {store.url}: {name} of variants/ is not what its genotypes say; make the store again with "
                "pdstore init"
            )
    row_of = np.argsort(order)
    group, schema = store.group("variants"), schema_of("variants")
    for name in _OF_ALLELES:
        if name not in group:
            create_array(group, schema.arrays[name], {"variants": len(order)}, {})
        store.write(f"variants/{name}", ..., alleles[name][row_of])
