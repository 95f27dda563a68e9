"""pdstore publish: a copy to share."""

import json
import sys
from dataclasses import asdict
from typing import Annotated, Literal

import typer

from pdstore.words import counted, plain

from .output import DEFAULT_STORE, Format, StoreOption, note, size
from .progress import CopyProgress


def command(
    target: Annotated[
        str, typer.Argument(metavar="DEST", help="A new folder, a new .zarr.zip, or an empty s3://bucket/prefix.")
    ],
    level: Annotated[
        Literal["summary", "full"],
        typer.Option("--level", help="summary: what was found, of nobody in particular. full: people's genomes, too."),
    ],
    store: StoreOption = DEFAULT_STORE,
    min_carriers: Annotated[
        int | None,
        typer.Option(
            "--min-carriers",
            help="Of a summary: the least number of people who carry a shown variant, and who do not.",
            show_default="5",
        ),
    ] = None,
    individual_level: Annotated[
        bool, typer.Option("--yes-individual-level", help="Publish people's genomes, names and predictions.")
    ] = False,
    title: Annotated[str | None, typer.Option("--title", help="Title of the store, for those who cite it.")] = None,
    author: Annotated[
        list[str] | None, typer.Option("--author", help='"Family, Given"; repeat it for several.', metavar="AUTHOR")
    ] = None,
    format: Annotated[Literal["table", "json"], typer.Option("--format", "-f", help="How to print it.")] = "table",
) -> None:
    """Make a copy of a store to share: checked, never to be changed, with a page for browsers, README.md, CITATION.cff
    and manifest.json. Copy it to any web server, or give s3://bucket/prefix.

    --level summary has no person, no name and no genotype in it: genes, statistics, and ISM, eQTL slopes and drivers of
    variants that enough people carry, and enough do not. --level full has everything.

    Example:
    pdstore publish shared/ --level summary -s cohort.zarr
    """
    from pdstore.sharing.publish import publish

    with CopyProgress("copying") as progress:
        published = publish(store, target, level, progress, min_carriers, individual_level, title, author or ())
    for remark in published.notes:
        note(f"warning: {remark}")
    if published.strays:
        note(f"left out: {counted(published.strays, 'file')} in the store's folder, no part of it")
    if format == Format.json:
        json.dump(asdict(published), sys.stdout, indent=2)
        sys.stdout.write("\n")
        return
    typer.echo(plain(f"{target}: {level}, {counted(published.files, 'file')}, {size(published.bytes)}"))
    withheld = published.withheld
    if withheld is not None:
        typer.echo(
            f"variants shown  {withheld.variants_shown:,} of {withheld.variants:,} in windows; too few of the "
            f"{withheld.people:,} people carry the others, or do not"
        )
        typer.echo(
            f"not shown       {counted(withheld.drivers, 'driver')}, {counted(withheld.slopes, 'more eQTL slope')}"
        )
        if withheld.genes_without_correlation:
            few = counted(withheld.genes_without_correlation, "gene")
            typer.echo(f"                R of {few} whose expression too few people have")
    typer.echo(f"sha256 of manifest.json  {published.digest}")
