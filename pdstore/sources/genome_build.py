"""Which genome build the sources say they are of, and whether they agree."""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from pdstore.errors import InputError
from pdstore.sources.contigs import contig_aliases

# Lengths (bp) of the chromosomes that differ between the builds, from the Genome Reference Consortium's assemblies.
_CHROMOSOMES = (*(str(number) for number in range(1, 23)), "X", "Y")
_LENGTHS = {
    "GRCh37": (
        *(249250621, 243199373, 198022430, 191154276, 180915260, 171115067, 159138663, 146364022, 141213431),
        *(135534747, 135006516, 133851895, 115169878, 107349540, 102531392, 90354753, 81195210, 78077248, 59128983),
        *(63025520, 48129895, 51304566, 155270560, 59373566),
    ),
    "GRCh38": (
        *(248956422, 242193529, 198295559, 190214555, 181538259, 170805979, 159345973, 145138636, 138394717),
        *(133797422, 135086622, 133275309, 114364328, 107043718, 101991189, 90338345, 83257441, 80373285, 58617616),
        *(64444167, 46709983, 50818468, 156040895, 57227415),
    ),
}
_BUILD_OF_LENGTH = {
    (chromosome, length): build
    for build, lengths in _LENGTHS.items()
    for chromosome, length in zip(_CHROMOSOMES, lengths, strict=True)
}
# Whole names only: a folder `lab37` or `hg190` names no build.
_NAMES = {
    "GRCh37": r"(?<![a-z0-9])(GRCh37|hg19|b37|hs37|human_g1k_v37)(?![0-9])",
    "GRCh38": r"(?<![a-z0-9])(GRCh38|hg38|b38|hs38)(?![0-9])",
}


class BuildClaim(NamedTuple):
    """What a source says: its build, and why we think so."""

    build: str
    source: str


def build_named_in(text: str) -> str | None:
    """The build that a header line or an option names under any of its usual names; None for no build, or for two."""
    named = [build for build, pattern in _NAMES.items() if re.search(pattern, text, re.IGNORECASE)]
    return named[0] if len(named) == 1 else None


def builds_of_lengths(lengths: Mapping[str, int], source: str) -> list[BuildClaim]:
    """Claims of contigs whose length is that of a chromosome of a known build."""
    claims: dict[str, BuildClaim] = {}
    for contig, length in lengths.items():
        for alias in contig_aliases(contig):
            build = _BUILD_OF_LENGTH.get((alias, length))
            if build is not None:
                claims.setdefault(build, BuildClaim(build, f"{source} (contig {contig} is {length} bp)"))
    return list(claims.values())


def agreed_build(given: str | None, claims: Iterable[BuildClaim]) -> str | None:
    """The one build that the option and all sources agree on.

    Parameters
    ----------
    given : str or None
        What the user gave as --genome-build.
    claims : iterable of BuildClaim
        What the sources say.

    Returns
    -------
    str or None
        The build as given, else as the sources say, else None.

    Raises
    ------
    InputError
        Two of them contradict each other.
    """
    claims = list(claims)
    if given is not None:
        claims.insert(0, BuildClaim(build_named_in(given) or given, "--genome-build"))
    for claim in claims[1:]:
        if claim.build != claims[0].build:
            raise InputError(
                f"genome builds contradict each other: {claims[0].source} says {claims[0].build}, "
                f"{claim.source} says {claim.build}"
            )
    return given or (claims[0].build if claims else None)
