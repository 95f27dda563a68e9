"""What a shell completes from a store: genes and models. Whatever goes wrong, it completes nothing."""

from collections.abc import Iterator

from typer import Context

from .output import DEFAULT_STORE

_OFFERED = 200


def complete_gene(context: Context, incomplete: str) -> Iterator[str]:
    """Symbols, then identifiers."""
    from pdstore.errors import PdstoreError
    from pdstore.store import open_store

    try:
        store = open_store(_store_of(context))
        names, ids = (store.read(f"genes/{array}").tolist() for array in ("gene_name", "gene_id"))
    except (PdstoreError, OSError):
        return
    wanted = incomplete.upper()
    # As the person began it: genes go by any case, but what is offered must begin like that.
    found = [name for name in (*sorted(set(names)), *ids) if name.upper().startswith(wanted)]
    yield from [incomplete + name[len(incomplete) :] for name in found[:_OFFERED]]


def complete_model(context: Context, incomplete: str) -> Iterator[str]:
    """The filled models."""
    from pdstore.errors import PdstoreError
    from pdstore.query import filled_models
    from pdstore.store import open_store

    try:
        models = filled_models(open_store(_store_of(context)))
    except (PdstoreError, OSError):
        return
    yield from [name for name in models if name.startswith(incomplete)]


def _store_of(context: Context) -> str:
    return str(context.params.get("store") or DEFAULT_STORE)
