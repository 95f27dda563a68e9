"""genes/: written whole, by what makes a store."""

from collections.abc import Sequence

import numpy as np

from pdstore.sources.genes import Gene
from pdstore.store import Store


def write_genes(store: Store, genes: Sequence[Gene]) -> None:
    """Write genes/, in the order given."""
    store.create_group("genes", {"genes": len(genes)}, {})
    for name, values in {
        "gene_id": [gene.gene_id for gene in genes],
        "gene_name": [gene.name for gene in genes],
        "gene_contig": [gene.contig for gene in genes],
        "gene_strand": [gene.strand for gene in genes],
    }.items():
        store.write(f"genes/{name}", ..., np.array(values, dtype=object))
    store.write("genes/gene_tss", ..., np.array([gene.tss for gene in genes], dtype=np.int64))
