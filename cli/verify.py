"""pdstore verify: every byte of a published store."""

import json
import sys
from dataclasses import asdict
from typing import Annotated, Literal

import typer

from pdstore.words import counted, plain

from .output import note, size
from .progress import CopyProgress

_GENES_SHOWN = 5


def command(
    url: Annotated[str, typer.Argument(metavar="URL", help="A published store: folder, .zarr.zip, https:// or s3://.")],
    digest: Annotated[
        str | None,
        typer.Option("--digest", help="SHA-256 that manifest.json has to have, as pdstore publish gave it."),
    ] = None,
    format: Annotated[Literal["table", "json"], typer.Option("--format", "-f", help="How to print it.")] = "table",
) -> None:
    """Hold every byte of a published store against its manifest, and name what is damaged, missing or not of it: file,
    array and gene. Exits 1 if there is any.

    Example:
    pdstore verify https://example.org/shared
    """
    from pdstore.sharing.verify import verify

    with CopyProgress("reading") as progress:
        found = verify(url, digest, progress.copying, progress.copied)
    if format == "json":
        json.dump(asdict(found), sys.stdout, indent=2)
        sys.stdout.write("\n")
    else:
        for finding in found.findings:
            more = len(finding.genes) - _GENES_SHOWN
            genes = ", ".join(finding.genes[:_GENES_SHOWN]) + (f" and {more:,} more" if more > 0 else "")
            of = "".join(
                [f" ({finding.array}" if finding.array else "", f": {genes})" if genes else ")" * bool(finding.array)]
            )
            typer.echo(plain(f"{finding.key} {finding.what}{of}"))
        whole = f"{counted(found.files, 'file')}, {size(found.bytes)}, sha256 of manifest.json {found.digest}"
        if not found.findings:
            typer.echo(plain(f"{url} is whole: {whole}"))
    if found.findings:
        note(
            f"{counted(len(found.findings), 'file')} of {url} differ from its manifest; get it again from its publisher"
        )
        raise typer.Exit(1)
