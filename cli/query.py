"""pdstore query: everything about a gene."""

import csv
import json
import sys
from typing import Annotated, Any, Literal

import typer

from .output import DEFAULT_STORE, Format, StoreOption, note

Part = Literal["correlation", "drivers", "support"]


def command(
    genes: Annotated[list[str], typer.Argument(metavar="GENE...", help="Symbols in any case, or Ensembl ids.")],
    store: StoreOption = DEFAULT_STORE,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="One of the filled models.", show_default="the first filled")
    ] = None,
    only: Annotated[Part | None, typer.Option("--only", help="Only this part of the answer.")] = None,
    alpha: Annotated[float, typer.Option("--alpha", help="False discovery rate that is called significant.")] = 0.05,
    fdr_kind: Annotated[
        Literal["published", "empirical"], typer.Option("--fdr-kind", help="Which false discovery rate decides.")
    ] = "published",
    format: Annotated[Format, typer.Option("--format", "-f", help="How to print the answer.")] = Format.table,
) -> None:
    """Show how well a gene's expression is predicted over people, which variants drive the prediction, and whether
    eQTL slopes support them.

    Example:
    pdstore query GSTM3 -s cohort.zarr --format json
    """
    from pdstore.query import filled_models, query_gene
    from pdstore.store import open_store

    opened = open_store(store)
    if model is None and len(models := filled_models(opened)) > 1:
        note(f"this is model {models[0]}; the store also holds {', '.join(models[1:])} (--model)")
    answers = [query_gene(opened, gene, model, alpha, fdr_kind) for gene in genes]
    if only is not None:
        answers = [{part: answer[part] for part in ("gene", "model", "n_samples", only)} for answer in answers]
    if format is Format.json:
        json.dump(answers[0] if len(answers) == 1 else answers, sys.stdout, indent=2, allow_nan=False)
        sys.stdout.write("\n")
    elif format is Format.csv:
        _print_csv(answers)
    else:
        from .gene_table import NOT_FILLED, print_gene

        missing = "not in the published tables" if opened.is_summary else NOT_FILLED
        for answer in answers:
            print_gene(answer, missing)


def _print_csv(answers: list[dict[str, Any]]) -> None:
    """One row a driver; a gene without drivers has one row with those columns empty."""
    rows = []
    for answer in answers:
        whole = {f"gene_{name}": value for name, value in answer["gene"].items()}
        whole |= {"model": answer["model"], "n_samples": answer["n_samples"]}
        whole |= {
            "correlation_status" if name == "status" else name: value
            for name, value in answer.get("correlation", {}).items()
        }
        whole |= {f"support_{name}": value for name, value in answer.get("support", {}).items()}
        rows += [
            whole | {f"driver_{name}": value for name, value in driver.items()}
            for driver in answer.get("drivers") or [{}]
        ]
    header = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(sys.stdout, header, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
