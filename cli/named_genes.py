"""Genes as commands take them: names, and files of names."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .output import note

if TYPE_CHECKING:
    from pdstore.store import Store


def genes_once(store: "Store", given: Sequence[str]) -> list[str]:
    """Genes of the line and of @files, each once, in the order in which they are first named."""
    from pdstore.query import find_gene

    named: dict[int, str] = {}
    twice = 0
    for gene in _named(given):
        row = find_gene(store, gene)
        twice += row in named
        named.setdefault(row, gene)
    if twice:
        note(f"genes named more than once: {twice:,}; each is shown once")
    return list(named.values())


def _named(given: Sequence[str]) -> Iterator[str]:
    from pdstore.errors import UsageError
    from pdstore.sources.text import existing_file, read_lines

    for gene in given:
        if not gene.startswith("@"):
            yield gene
            continue
        path = Path(gene.removeprefix("@"))
        lines = [line.strip() for _, line in read_lines(existing_file(path, "genes"))]
        found = [line.split("\t")[0] for line in lines if line and not line.startswith("#")]
        if not found:
            raise UsageError(f"genes {path}: the file names none")
        yield from found
