"""Drop what a fill computed, to fill it anew: a model, a stage, or some genes, and whatever was derived from it."""

from collections.abc import Sequence
from dataclasses import dataclass

from pdstore.errors import JobError, MissingDataError, UsageError
from pdstore.fill import ALL_STAGES, STAGES
from pdstore.lease import held_lease
from pdstore.location.locate import require_no_url
from pdstore.query import find_gene
from pdstore.schema import schema_of
from pdstore.stages.model_group import GROUPS_OF_A_MODEL, arrays_of_stages
from pdstore.stages.optional import OPTIONAL_STAGES
from pdstore.stages.statistics import gather_fdr
from pdstore.stages.windows import total_counts
from pdstore.store import Store, genes_written, open_store

_OF_A_MODEL = (*GROUPS_OF_A_MODEL, "statistics")


@dataclass(frozen=True)
class Clearing:
    """What `clear` would drop.

    Attributes
    ----------
    groups : list of str
        Paths of groups, those first that are derived from others.
    arrays : list of str
        Paths of arrays that optional stages fill, of other groups.
    genes : list of int
        Rows of genes/ to drop from them; none means the whole groups.
    label, stages, gene_names
        What was asked for.
    """

    groups: list[str]
    arrays: list[str]
    genes: list[int]
    label: str | None
    stages: tuple[str, ...]
    gene_names: tuple[str, ...]

    @property
    def paths(self) -> list[str]:
        """Of all that is to be dropped."""
        return [*self.arrays, *self.groups]


def plan_clearing(
    store: Store, label: str | None = None, stages: Sequence[str] = (), genes: Sequence[str] = ()
) -> Clearing:
    """Find what is to be dropped, and what follows from it.

    Parameters
    ----------
    store : Store
        The store.
    label : str, optional
        Name of a set of predictions: a model's, or what `--as` named. Needed where the store holds several and a stage
        of models is dropped.
    stages : sequence of str
        Names of stages; none means those of the model: predictions, attributions and statistics.
    genes : sequence of str
        Symbols or ids; none means all.

    Raises
    ------
    UsageError
        A stage that does not exist, or it is not clear of which model.
    MissingDataError
        The store holds none of it.
    """
    for name in stages:
        if name not in ALL_STAGES:
            raise UsageError(f"there is no stage {name!r}: the stages are {', '.join(ALL_STAGES)}")
    if not stages and label is None:
        raise UsageError("clear what? Name a model with --model, or stages: " + ", ".join(ALL_STAGES))
    labels = {name: _windows_of(store, name) for parent in _OF_A_MODEL for name in store.members(parent)}
    if label is not None and label not in labels:
        raise MissingDataError(
            f"store {store.url} holds nothing of {label!r}; it holds {', '.join(labels) or 'no predictions'}"
        )
    wanted: set[str] = set()
    arrays: list[str] = []
    for stage in stages or _OF_A_MODEL:
        if stage in _OF_A_MODEL:
            wanted.add(f"{stage}/{label or _only(labels)}")
        elif stage in OPTIONAL_STAGES:
            arrays += arrays_of_stages(store, f"attributions/{label or _only(labels)}", stage)
        else:
            windows = labels[label] if label is not None else set(store.members(stage))
            wanted.update(f"{stage}/{window}" for window in windows)
    for name, windows in labels.items():
        for window in windows:
            if f"windows/{window}" in wanted:
                wanted.update({f"predictions/{name}", f"attributions/{name}", f"eqtl/{window}"})
            if f"eqtl/{window}" in wanted:
                wanted.add(f"statistics/{name}")
        if {f"predictions/{name}", f"attributions/{name}"} & wanted:
            wanted.add(f"statistics/{name}")
    wanted.update(f"eqtl/{path.removeprefix('windows/')}" for path in tuple(wanted) if path.startswith("windows/"))
    groups = [
        f"{parent}/{name}"
        for parent in reversed(STAGES)
        for name in store.members(parent)
        if f"{parent}/{name}" in wanted
    ]
    # The others go with their group.
    arrays = [path for path in dict.fromkeys(arrays) if path.rpartition("/")[0] not in groups]
    if not groups and not arrays:
        what = f"{', '.join(stages)} of {label}" if stages and label else ", ".join(stages) or label
        raise MissingDataError(f"store {store.url} holds nothing of {what}: nothing to clear")
    rows = sorted({find_gene(store, gene) for gene in genes})
    return Clearing(groups, arrays, rows, label, tuple(stages), tuple(genes))


def clear(url: str, clearing: Clearing) -> None:
    """Drop it. What a kill leaves of it is dropped by the next `clear` of the same, and filled by the next fill.

    Raises
    ------
    LeaseError
        A fill writes to the store.
    """
    require_no_url(url)
    with held_lease(url, "clear") as lease:
        store = open_store(url, "r+", lease)
        store.require_people()
        store.remove_leftovers()
        if plan_clearing(store, clearing.label, clearing.stages, clearing.gene_names) != clearing:
            raise JobError(f"store {url} was filled meanwhile: clear again to see what there is to drop now")
        for path in clearing.paths:
            if not clearing.genes:
                store.delete(path)
            elif path in clearing.arrays:
                _clear_chunks(store, path, clearing.genes)
            else:
                _clear_genes(store, path, clearing.genes)


def _clear_genes(store: Store, group: str, genes: Sequence[int]) -> None:
    schema = schema_of(group)
    by_gene = [name for name, array in schema.arrays.items() if array.dims[0] == "genes" and f"{group}/{name}" in store]
    gathered = [name for name in by_gene if schema.arrays[name].chunks[0] != 1]
    if group.startswith("windows/"):
        # Where windows lie is known before they are filled.
        gathered = [name for name in gathered if name == schema.gathered_array]
    # First what was gathered, so that a gene that is half cleared counts as not filled; last what marks it as done is
    # no longer there.
    for name in sorted(gathered, key=lambda name: name != schema.gathered_array):
        values = store.read_if_filled(f"{group}/{name}")
        values[list(genes)] = store.array(f"{group}/{name}").fill_value
        store.write(f"{group}/{name}", ..., values)
    names = [name for name in by_gene if schema.arrays[name].chunks[0] == 1]
    for name in sorted(names, key=lambda name: name != schema.filled_array):
        _clear_chunks(store, f"{group}/{name}", genes)
    if group.startswith("statistics/"):
        gather_fdr(store, group)
    if "counts" in schema.attributes:
        filled = sorted(genes_written(store, f"{group}/{schema.filled_array}"))
        store.set_attribute(group, "counts", total_counts(store, group, filled))


def _clear_chunks(store: Store, array: str, genes: Sequence[int]) -> None:
    for gene in genes:
        store.delete(f"{array}/c/{gene}")


def _windows_of(store: Store, label: str) -> set[str]:
    """Names of the windows that the groups of a label are of."""
    groups = (f"{parent}/{label}" for parent in _OF_A_MODEL if label in store.members(parent))
    return {str(store.group(path).attrs.get("window")) for path in groups}


def _only(labels: Sequence[str] | dict[str, set[str]]) -> str:
    names = list(labels)
    if len(names) != 1:
        held = ", ".join(names) or "no predictions"
        raise UsageError(f"clear of which model? Give --model: the store holds {held}")
    return names[0]
