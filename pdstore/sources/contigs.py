"""Contig names of one source in the words of another: ``chr1`` and ``1``, ``chrM`` and ``MT``."""

from collections.abc import Collection, Iterable


def contig_aliases(name: str) -> list[str]:
    """A contig's name and the other names that it goes by, most alike first."""
    bare = name.removeprefix("chr")
    names = [name, bare, f"chr{bare}"]
    if bare in ("M", "MT"):
        names += ["MT", "chrM", "M", "chrMT"]
    return list(dict.fromkeys(names))


def match_contigs(names: Iterable[str], reference_names: Collection[str]) -> dict[str, str]:
    """Name in the reference of each contig that the reference has.

    Parameters
    ----------
    names : iterable of str
        Contig names of a VCF or a gene table.
    reference_names : collection of str
        Contig names of the FASTA.

    Returns
    -------
    dict
        Name → name in the reference; contigs that the reference lacks are left out.
    """
    matched = {}
    for name in names:
        found = next((alias for alias in contig_aliases(name) if alias in reference_names), None)
        if found is not None:
            matched[name] = found
    return matched
