"""Genes as commands take them: names, and files of names."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .output import note

if TYPE_CHECKING:
    from pdstore.store import Store

_TOLD = 10
"""Unknown names that a message lists."""


def genes_once(store: "Store", given: Sequence[str]) -> list[str]:
    """Genes of the line and of @files, each once, in the order in which they are first named.

    Raises
    ------
    UnknownGeneError
        Some are no gene of the store, or several: the first is told whole, with its place, and the others are named.
    """
    from pdstore.errors import UnknownGeneError
    from pdstore.query import find_gene

    if len(given) == 1 and not given[0].startswith("@"):
        # Whoever asks for it looks it up.
        return list(given)
    named: dict[int, str] = {}
    twice = 0
    unknown: list[tuple[str, str]] = []
    for place, gene in _named(given):
        try:
            row = find_gene(store, gene)
        except UnknownGeneError as error:
            unknown.append((gene, f"{place}{error}"))
            continue
        twice += row in named
        named.setdefault(row, gene)
    if unknown:
        others = [name for name, _ in unknown[1:]]
        more = f"; nor can {', '.join(others[:_TOLD])}{' …' if len(others) > _TOLD else ''} be shown" if others else ""
        raise UnknownGeneError(
            f"{unknown[0][1]}{more} ({len(unknown):,} of {len(unknown) + len(named) + twice:,} names)"
        )
    if twice:
        note(f"genes named more than once: {twice:,}; each is shown once")
    return list(named.values())


def _named(given: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Where each name stands, for messages, and the name."""
    from pdstore.errors import UsageError
    from pdstore.sources.text import existing_file, read_lines

    for gene in given:
        if not gene.startswith("@"):
            yield "", gene
            continue
        path = Path(gene.removeprefix("@"))
        lines = [(number, line.strip()) for number, line in read_lines(existing_file(path, "genes"))]
        found = [(number, line.split("\t")[0]) for number, line in lines if line and not line.startswith("#")]
        if not found:
            raise UsageError(f"genes {path}: the file names none")
        yield from ((f"genes {path}, line {number}: ", name) for number, name in found)
