"""One person at one gene: the haplotypes, what they carry, what is predicted of each, and what was measured."""

from typing import Any

import numpy as np

from pdstore.errors import MissingDataError, UsageError
from pdstore.haplotypes.overlaps import first_wins
from pdstore.query import chosen_model, find_gene, query_gene, variant_name, window_of
from pdstore.stages.expression import read_expression
from pdstore.stages.gene_window import read_calls, read_gene_window, window_spec
from pdstore.stages.readouts import stored_readout
from pdstore.store import Store


def query_person(store: Store, gene: str, person: str, model: str | None = None) -> dict[str, Any]:
    """A person's two haplotypes at a gene.

    Parameters
    ----------
    store : Store
        The store; a summary has no people.
    gene : str
        Symbol in any case, or identifier with or without version.
    person : str
        Name of the person, as in the VCF.
    model : str, optional
        Name of a filled model; the first filled where not given.

    Returns
    -------
    dict
        ``person``, ``observed`` (what statistics see) and ``prediction``, each with its ``percentile`` among people;
        and ``haplotypes``: for each ``haplotype`` (1 or 2, as the VCF counts), ``prediction``, and ``variants``, the
        applied alternate alleles that it carries in the window, as in `query_gene`'s ``variants``. What is not filled
        is None.

    Raises
    ------
    StoreError
        The store is a summary.
    UsageError
        Nobody of the store has the name.
    """
    store.require_people()
    model = chosen_model(store, model)
    names = store.read("genotypes/sample_id").tolist()
    if person not in names:
        # The name stays out of messages: they are logged, and may be shared.
        raise UsageError(f"nobody of the store's {len(names):,} people has that name")
    column, row = names.index(person), find_gene(store, gene)
    window = window_of(store, model)
    if window is None:
        raise MissingDataError(f"store {store.url} does not say which window {model} reads")
    of = read_gene_window(store, window_spec(store, window), row)
    calls = read_calls(store, of, np.array([column]))
    applied = first_wins(calls.carried, of.footprints)[of.scored, 0]
    everything = query_gene(store, gene, model, all_variants=True)["variants"] or []
    known = {variant["variant"]: variant for variant in everything}
    contig = str(store.read("genes/gene_contig", row))
    position, ref, alt = (store.read(f"variants/{name}", of.rows) for name in ("position", "ref", "alt"))
    haplotypes = []
    for haplotype in np.flatnonzero(~calls.absent[0]).tolist():
        carried = of.scored_columns[applied[:, haplotype]]
        named = [variant_name(contig, int(position[i]), str(ref[i]), str(alt[i])) for i in carried]
        haplotypes.append(
            {
                "haplotype": haplotype + 1,
                "prediction": _haplotype_prediction(store, model, window, row, column, haplotype),
                "variants": [known[name] for name in named if name in known],
            }
        )
    observed, predicted = read_expression(store, row), store.read_if_filled(f"predictions/{model}/expression", row)
    return {
        "person": person,
        "observed": _among(observed, column),
        "prediction": _among(predicted, column),
        "haplotypes": haplotypes,
    }


def _haplotype_prediction(
    store: Store, model: str, window: str, gene: int, person: int, haplotype: int
) -> float | None:
    """Readout of a haplotype's tracks; None where it is not filled, and for a model without tracks."""
    if f"predictions/{model}/tracks" not in store:
        return None
    index = int(store.read_if_filled(f"windows/{window}/haplotype_index", gene)[person, haplotype])
    if index < 0:
        return None
    tracks = store.read_if_filled(f"predictions/{model}/tracks", (gene, index))
    value = float(stored_readout(store, f"predictions/{model}").of(tracks))
    return None if np.isnan(value) else value


def _among(values: np.ndarray[Any, Any], person: int) -> dict[str, float | None]:
    """A person's value, and the share of the others that lie below it, in percent; ties count half."""
    value = float(values[person])
    if np.isnan(value):
        return {"value": None, "percentile": None}
    others = np.delete(values, person)
    others = others[~np.isnan(others)]
    if not others.size:
        return {"value": value, "percentile": None}
    below = (others < value).sum() + 0.5 * (others == value).sum()
    return {"value": value, "percentile": float(100 * below / others.size)}
