"""Personal gene-expression predictions in a Zarr store: `open_store`, then ask.

Examples
--------
>>> import pdstore
>>> s = pdstore.open_store("pdstore-demo/demo.zarr")  # doctest: +SKIP
>>> s.query("GSTM3")["correlation"]["pearson_r"]  # doctest: +SKIP
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pdstore.haplotypes.window import WindowSpec
    from pdstore.notebook import open_store
    from pdstore.personal import gene_haplotypes
    from pdstore.query import query_gene
    from pdstore.store import Store

__all__ = ["Store", "WindowSpec", "gene_haplotypes", "open_store", "query_gene"]

_MODULES = {
    "Store": "store",
    "WindowSpec": "haplotypes.window",
    "gene_haplotypes": "personal",
    "open_store": "notebook",
    "query_gene": "query",
}


def __getattr__(name: str) -> Any:
    # Imported when asked for: `pdstore --help` needs no zarr.
    if name in _MODULES:
        return getattr(importlib.import_module(f"pdstore.{_MODULES[name]}"), name)
    raise AttributeError(f"module 'pdstore' has no attribute {name!r}")
