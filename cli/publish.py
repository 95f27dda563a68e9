"""pdstore publish: a copy to share."""

import json
import signal
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
            help="Of a summary: the least number of people who carry a shown variant, and who do not; at least 3.",
            show_default="5",
        ),
    ] = None,
    all_slopes: Annotated[
        bool,
        typer.Option("--all-slopes", help="Of a summary: eQTL slopes of all shown variants, not of drivers."),
    ] = False,
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

    # As Ctrl-C: what was begun is removed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with CopyProgress("copying") as progress:
        published = publish(
            store, target, level, progress, min_carriers, all_slopes, individual_level, title, author or ()
        )
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
        typer.echo(f"variants shown  {withheld.variants_shown:,} of {withheld.variants:,} in windows")
        hidden = [
            counted(withheld.drivers, "driver"),
            counted(withheld.slopes, "eQTL slope") + " of shown drivers",
            "correlations of " + counted(withheld.genes, "gene"),
        ]
        typer.echo(f"withheld        {', '.join(hidden)}: too few of the {withheld.people:,} people are behind them")
    typer.echo(f"sha256 of manifest.json  {published.digest}")
