"""What grows a store: new genes, or new people. What is filled stays, and a fill computes only what is new."""

from pdstore.add.genes import NewGenes, add_genes
from pdstore.add.people import NewPeople, add_people

__all__ = ["NewGenes", "NewPeople", "add_genes", "add_people"]
