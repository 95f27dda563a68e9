"""Personal gene-expression predictions in a Zarr store: `open_store`, then ask.

Examples
--------
>>> import pdstore
>>> store = pdstore.open_store("pdstore-demo/demo.zarr")  # doctest: +SKIP
>>> pdstore.query_gene(store, "GSTM3")["correlation"]["pearson_r"]  # doctest: +SKIP
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pdstore.haplotypes.window import WindowSpec
    from pdstore.personal import gene_haplotypes
    from pdstore.query import query_gene
    from pdstore.store import Store, open_store

__all__ = ["Store", "WindowSpec", "gene_haplotypes", "open_store", "query_gene"]


def __getattr__(name: str) -> Any:
    # Imported when asked for: `pdstore --help` needs no zarr.
    if name in ("Store", "open_store"):
        from pdstore import store

        return getattr(store, name)
    if name == "query_gene":
        from pdstore.query import query_gene

        return query_gene
    if name == "WindowSpec":
        from pdstore.haplotypes.window import WindowSpec

        return WindowSpec
    if name == "gene_haplotypes":
        from pdstore.personal import gene_haplotypes

        return gene_haplotypes
    raise AttributeError(f"module 'pdstore' has no attribute {name!r}")
