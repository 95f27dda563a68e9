"""pdstore plot: figures."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from .completion import complete_gene, complete_model
from .named_genes import genes_once
from .output import DEFAULT_STORE, CacheOption, StoreOption, note

if TYPE_CHECKING:
    from pdstore.figures.write import Written


def command(
    genes: Annotated[
        list[str] | None,
        typer.Argument(metavar="[GENE...]", help="Symbols or ids; @FILE has one a line.", autocompletion=complete_gene),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="The figures over all genes, and a page of them.")] = False,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="A folder; or a .png, .svg or .pdf that has all in one figure.")
    ] = Path("figures"),
    store: StoreOption = DEFAULT_STORE,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            help="One of the filled models.",
            show_default="the first filled",
            autocompletion=complete_model,
        ),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            "--against",
            help="With --all: the model that R is compared with.",
            show_default="predixcan, or the next filled",
            autocompletion=complete_model,
        ),
    ] = None,
    figure: Annotated[
        list[str] | None, typer.Option("--figure", help="Only this figure; repeat it for several.", show_default="all")
    ] = None,
    format: Annotated[
        Literal["png", "svg", "pdf"], typer.Option("--format", "-f", help="Of the files in a folder.")
    ] = "png",
    alpha: Annotated[float, typer.Option("--alpha", help="False discovery rate that is called significant.")] = 0.05,
    fdr_kind: Annotated[
        Literal["published", "empirical"], typer.Option("--fdr-kind", help="Which false discovery rate decides.")
    ] = "published",
    cache: CacheOption = None,
) -> None:
    """Draw the figures of genes (prediction, slopes, ism, logo, attention) or of all genes (significance, models,
    support, drivers, driver-count, population), at a journal's column width. Files that are there are replaced.

    Example:
    pdstore plot GSTM3 -s pdstore-demo/demo.zarr --out figures
    """
    from pdstore.errors import MissingDataError, UsageError
    from pdstore.store import open_store

    if bool(genes) == everything:
        raise UsageError("name genes for their figures, or give --all for those over all genes: one of both")
    opened = open_store(store, cache=cache)
    asked = genes_once(opened, genes or [])
    from pdstore.figures.gene import GeneSubject
    from pdstore.figures.genes import GenesSubject
    from pdstore.figures.write import names_file, plot_gene, plot_genes

    if len(asked) > 1 and names_file(out):
        raise UsageError(f"--out {out}: a file shows one gene; name a folder for {len(asked)} genes")
    if everything:
        of_store = GenesSubject.of(opened, model, against, alpha, fdr_kind)
        _tell(plot_genes(opened, of_store, out, format, figure or ()))
    without = 0
    for gene in asked:
        subject = GeneSubject.of(opened, gene, model, alpha, fdr_kind)
        try:
            _tell(plot_gene(opened, subject, out, format, figure or ()))
        except MissingDataError as error:
            if len(asked) == 1:
                raise
            note(f"not drawn: {subject.name}: {error}")
            without += 1
    if without:
        raise MissingDataError(f"of {without:,} of {len(asked):,} genes nothing could be drawn")


def _tell(written: "Written") -> None:
    for name, why in written.left_out.items():
        note(f"not drawn: {name}: {why}")
    for path in written.files:
        typer.echo(path)
