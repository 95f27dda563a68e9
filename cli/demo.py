"""pdstore demo: a simulated cohort, from sources to an answer."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from .output import note


def command(
    directory: Annotated[Path, typer.Argument(metavar="[DIR]", help="A new folder.")] = Path("pdstore-demo"),
    model: Annotated[
        Literal["cnn", "enformer"],
        typer.Option("--model", "-m", help="A CNN, trained here; or a small Enformer of random weights."),
    ] = "cnn",
) -> None:
    """Simulate a small cohort, train a CNN, build and fill a store, and show two genes.

    Everything in it is simulated. One gene is predicted well, the other with the wrong sign. With --model enformer the
    weights are random, and so are the answers: it shows the path, not the science.

    Example:
    pdstore demo && pdstore query GSTM3 -s pdstore-demo/demo.zarr
    """
    from pdstore.demo import SHOWN_GENES, make_demo
    from pdstore.query import query_gene
    from pdstore.store import open_store

    from .gene_answer import answer_console, print_gene
    from .progress import FillProgress

    with FillProgress() as progress:
        demo = make_demo(directory, progress, note, model)
    store = open_store(demo.store)
    if demo.held_out_r is None:
        typer.echo("A simulated cohort, and an Enformer of random weights: what follows means nothing.\n")
    else:
        typer.echo(f"A simulated cohort; the CNN's R over held-out genes is {demo.held_out_r:.2f}.\n")
    for gene in SHOWN_GENES:
        print_gene(answer_console(), query_gene(store, gene))
    typer.echo(f"Ask on: pdstore query GENE -s {demo.store}")
