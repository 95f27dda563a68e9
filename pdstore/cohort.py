"""Whether several stores are of one cohort: the same people and inputs, and the same of every gene that they share."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pdstore.errors import DamagedDataError, MissingDataError, ProvenanceError
from pdstore.schema import schema_of
from pdstore.store import Store, read_required

_SAME_INPUTS = ("vcf", "covariates")


def same_values(first: NDArray[Any], second: NDArray[Any]) -> bool:
    """Whether two arrays hold the same values; NaN is NaN."""
    return first.shape == second.shape and np.array_equal(first, second, equal_nan=first.dtype.kind == "f")


def require_one_cohort(stores: Sequence[Store]) -> None:
    """Hold the inputs of several stores against each other; genotypes, which are large, are compared by `merge`.

    Parameters
    ----------
    stores : sequence of Store
        Two or more.

    Raises
    ------
    MissingDataError
        One is a summary.
    ProvenanceError
        People, genome build, reference, digests of the inputs, or what was taken out of expression differ.
    """
    for store in stores:
        if store.is_summary:
            raise MissingDataError(
                f"store {store.url} is a summary: it holds nobody's data, and so nothing to merge; merge the full "
                "stores that summaries were made of"
            )
    for other in stores[1:]:
        _require_same_people(stores[0], other)
        _require_same_reference(stores, other)
        _require_same_inputs(stores[0], other)


def united_genes(stores: Sequence[Store]) -> tuple[list[NDArray[np.int64]], dict[str, NDArray[Any]]]:
    """The genes of all stores: those of the first in its order, then the new ones of the next.

    Parameters
    ----------
    stores : sequence of Store
        The stores.

    Returns
    -------
    (list of ndarray of int64, dict)
        For each store the row of each of its genes among all, shape (genes of the store,); and the arrays of genes/
        by name, shape (genes,).

    Raises
    ------
    ProvenanceError
        A gene that two stores have lies elsewhere in the second; both values are named.
    """
    names = tuple(schema_of("genes").arrays)
    of_stores = [_by_name(store, "genes", names) for store in stores]
    row_of: dict[str, int] = {}
    first_of: list[tuple[int, int]] = []
    rows = []
    for index, genes in enumerate(of_stores):
        own = []
        for row, gene_id in enumerate(genes["gene_id"].tolist()):
            if gene_id not in row_of:
                row_of[gene_id] = len(first_of)
                first_of.append((index, row))
            own.append(row_of[gene_id])
            before, at = first_of[row_of[gene_id]]
            for name in names:
                held, given = of_stores[before][name][at], genes[name][row]
                if held != given:
                    raise ProvenanceError(
                        f"gene {gene_id} has {name} {held} in {stores[before].url}, but {given} in {stores[index].url}:"
                        " one of them was made from another gene table; make it again with pdstore init"
                    )
        rows.append(np.array(own, dtype=np.int64))
    united = {
        name: np.array([of_stores[index][name][row] for index, row in first_of], dtype=of_stores[0][name].dtype)
        for name in names
    }
    return rows, united


def united_expression(
    stores: Sequence[Store], rows: Sequence[NDArray[np.int64]], gene_ids: Sequence[str], name: str
) -> NDArray[np.float32]:
    """An array of expression/ over the genes of all stores.

    Parameters
    ----------
    stores : sequence of Store
        The stores.
    rows : sequence of ndarray of int64, shape (genes of the store,)
        Of `united_genes`.
    gene_ids : sequence of str
        Identifiers of all genes.
    name : {"observed", "residual"}
        Name of the array.

    Returns
    -------
    ndarray of float32, shape (genes, people)

    Raises
    ------
    ProvenanceError
        A gene that two stores have was measured otherwise in the second.
    """
    united: NDArray[np.float32] | None = None
    holder = np.full(len(gene_ids), -1)
    for index, (store, own) in enumerate(zip(stores, rows, strict=True)):
        values = store.read(f"expression/{name}")
        if united is None:
            united = np.full((len(gene_ids), values.shape[1]), np.nan, dtype=values.dtype)
        known = np.flatnonzero(holder[own] >= 0)
        held, given = united[own[known]], values[known]
        differs = (held != given) & ~(np.isnan(held) & np.isnan(given))
        for gene in np.flatnonzero(differs.any(axis=1))[:1]:
            row = own[known[gene]]
            people, before = int(differs[gene].sum()), stores[holder[row]].url
            raise ProvenanceError(
                f"expression/{name} of gene {gene_ids[row]} is not the same in {before} and {store.url}: it differs "
                f"for {people:,} of {differs.shape[1]:,} people; make both from the same expression"
            )
        united[own] = values
        holder[own] = np.where(holder[own] < 0, index, holder[own])
    assert united is not None
    return united


def _require_same_people(first: Store, other: Store) -> None:
    names = [store.read("genotypes/sample_id").tolist() for store in (first, other)]
    if names[0] == names[1]:
        return
    if len(names[0]) != len(names[1]):
        differ = f"{len(names[0]):,} people, but {other.url} has {len(names[1]):,}"
    elif set(names[0]) == set(names[1]):
        differ = f"the people of {other.url} in another order"
    else:
        differ = f"{len(names[0]):,} people, of whom {other.url} lacks {len(set(names[0]) - set(names[1])):,}"
    raise ProvenanceError(f"store {first.url} has {differ}: only stores of the same people can be merged")


def _require_same_reference(stores: Sequence[Store], other: Store) -> None:
    first = stores[0]
    builds = [store.attributes.get("genome_build") or "not given" for store in (first, other)]
    if builds[0] != builds[1]:
        raise _differ("genome build", first, other, builds[0], builds[1])
    digests = contig_digests(other)
    for store in stores:
        held = contig_digests(store)
        for contig in held.keys() & digests.keys():
            if held[contig] != digests[contig]:
                raise _differ(f"contig {contig}", store, other, held[contig], digests[contig])


def mapping_of(store: Store, name: str) -> dict[str, Any]:
    """An attribute of the root that maps names to values; empty where it is not given."""
    value = store.attributes.get(name)
    if value is not None and not isinstance(value, dict):
        raise DamagedDataError(
            f"store {store.url}: its attribute {name} is {value!r}, which pdstore never writes; get the store again "
            "from a copy"
        )
    return value or {}


def contig_digests(store: Store) -> dict[str, str]:
    """Contig of the reference → its digest, in the store's order."""
    of = _by_name(store, "reference", ("contig_id", "contig_digest"))
    return dict(zip(of["contig_id"].tolist(), of["contig_digest"].tolist(), strict=True))


def contig_lengths(store: Store) -> dict[str, int]:
    """Contig of the reference → its length in bp, in the store's order."""
    of = _by_name(store, "reference", ("contig_id", "contig_length"))
    return dict(zip(of["contig_id"].tolist(), of["contig_length"].tolist(), strict=True))


def _require_same_inputs(first: Store, other: Store) -> None:
    inputs = [mapping_of(store, "inputs") for store in (first, other)]
    for name in _SAME_INPUTS:
        held, given = (_in_words(of.get(name)) for of in inputs)
        if held != given:
            raise _differ(f"the digest of its {name}", first, other, held, given)
    attributes = [store.group("expression").attrs.asdict() for store in (first, other)]
    for name in schema_of("expression").attributes:
        held, given = (_in_words(of.get(name)) for of in attributes)
        if held != given:
            raise _differ(f"expression with {name}", first, other, held, given)
    if attributes[0].get("expression_pcs") and inputs[0].get("expression") != inputs[1].get("expression"):
        held, given = (_in_words(of.get("expression")) for of in inputs)
        raise _differ(
            "expression PCs, which are of all genes of its file, and the digest of its expression",
            first,
            other,
            held,
            given,
        )
    for name in ("covariate_name", "covariates"):
        path = f"expression/{name}"
        has = [path in store for store in (first, other)]
        if has[0] != has[1] or (all(has) and not same_values(first.read(path), other.read(path))):
            raise ProvenanceError(
                f"{path} is not the same in {first.url} and {other.url}: make both with the same --covariates"
            )


def _differ(what: str, first: Store, other: Store, held: Any, given: Any) -> ProvenanceError:
    return ProvenanceError(
        f"store {first.url} has {what} {held}, but {other.url} has {given}: only stores that were made from the same "
        "sources can be merged"
    )


def _in_words(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)


def _by_name(store: Store, group: str, names: Sequence[str]) -> dict[str, NDArray[Any]]:
    found = read_required(store, {f"{group}/{name}": ... for name in names})
    return {name: found[f"{group}/{name}"] for name in names}
