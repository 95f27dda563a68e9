"""Figures of a gene and of a whole store: `gene` and `genes` say what is drawn, `write` makes files of them."""
