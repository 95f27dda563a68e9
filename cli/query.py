"""pdstore query: everything about a gene."""

import csv
import json
import sys
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import typer

from .completion import complete_gene, complete_model
from .named_genes import genes_once
from .output import DEFAULT_STORE, CacheOption, Format, StoreOption, note

Part = Literal["correlation", "drivers", "support"]


def command(
    genes: Annotated[
        list[str],
        typer.Argument(
            metavar="GENE...",
            help="Symbols in any case, or Ensembl ids; @FILE has one a line.",
            autocompletion=complete_gene,
        ),
    ],
    store: StoreOption = DEFAULT_STORE,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            "-m",
            help="One of the filled models; give several to see them side by side.",
            show_default="the first filled",
            autocompletion=complete_model,
        ),
    ] = None,
    only: Annotated[Part | None, typer.Option("--only", help="Only this part of the answer.")] = None,
    all_variants: Annotated[
        bool, typer.Option("--all-variants", help="Every variant of the window, not the drivers alone.")
    ] = False,
    person: Annotated[
        str | None, typer.Option("--person", metavar="ID", help="What this person carries, and what is predicted.")
    ] = None,
    alpha: Annotated[float, typer.Option("--alpha", help="False discovery rate that is called significant.")] = 0.05,
    fdr_kind: Annotated[
        Literal["published", "empirical"], typer.Option("--fdr-kind", help="Which false discovery rate decides.")
    ] = "published",
    format: Annotated[Format, typer.Option("--format", "-f", help="How to print the answer.")] = Format.table,
    cache: CacheOption = None,
) -> None:
    """Show how well a gene's expression is predicted over people, which variants drive the prediction, and whether
    eQTL slopes support them.

    Example:
    pdstore query GSTM3 -s cohort.zarr --format json
    """
    from pdstore.errors import UsageError
    from pdstore.query import filled_models, query_gene
    from pdstore.store import open_store

    opened = open_store(store, cache=cache)
    if all_variants and only is not None:
        raise UsageError("--all-variants shows variants, and --only another part: leave one out")
    if person is not None and (only is not None or all_variants):
        raise UsageError("--person has an answer of its own: leave --only and --all-variants out")
    models: list[str | None] = [*dict.fromkeys(model or [])] or [None]
    if models == [None] and len(held := filled_models(opened)) > 1:
        note(f"this is model {held[0]}; the store also holds {', '.join(held[1:])} (--model)")
    asked = genes_once(opened, genes)
    if person is not None:
        from pdstore.person import query_person

        people = [
            {"gene": query_gene(opened, gene, of)["gene"], "model": of or filled_models(opened)[0]}
            | query_person(opened, gene, person, of)
            for gene in asked
            for of in models
        ]
        _print_people(people, format)
        return
    answers = [query_gene(opened, gene, of, alpha, fdr_kind, all_variants) for gene in asked for of in models]
    if only is not None:
        answers = [{part: answer[part] for part in ("gene", "model", "n_samples", only)} for answer in answers]
    if format is Format.json:
        _print_json(answers)
    elif format is Format.csv:
        _print_csv(answers)
    else:
        from .gene_answer import answer_console, print_gene, print_models, why_missing

        console = answer_console()
        for start in range(0, len(answers), len(models)):
            of_gene = answers[start : start + len(models)]
            missing = [why_missing(opened, answer) for answer in of_gene]
            if len(of_gene) > 1 and not all_variants:
                print_models(console, of_gene)
                continue
            for answer, why in zip(of_gene, missing, strict=True):
                print_gene(console, answer, why)


def _print_json(answers: list[dict[str, Any]]) -> None:
    json.dump(answers[0] if len(answers) == 1 else answers, sys.stdout, indent=2, allow_nan=False)
    sys.stdout.write("\n")


def _print_csv(answers: list[dict[str, Any]]) -> None:
    """One row a driver, or a variant; a gene without any has one row with those columns empty."""
    rows = []
    for answer in answers:
        whole = {f"gene_{name}": value for name, value in answer["gene"].items()}
        whole |= {"model": answer["model"], "n_samples": answer["n_samples"]}
        whole |= {
            "correlation_status" if name == "status" else name: value
            for name, value in answer.get("correlation", {}).items()
        }
        whole |= {f"support_{name}": value for name, value in answer.get("support", {}).items()}
        kind = "driver" if answer.get("variants") is None else "variant"
        rows += [
            whole | {f"{kind}_{name}": value for name, value in variant.items()}
            for variant in answer.get(f"{kind}s") or [{}]
        ]
    _write_rows(rows)


def _print_people(answers: list[dict[str, Any]], format: Format) -> None:
    if format is Format.json:
        _print_json(answers)
    elif format is Format.csv:
        _write_rows(
            [
                {f"gene_{name}": value for name, value in answer["gene"].items()}
                | {"model": answer["model"], "person": answer["person"]}
                | {
                    f"{what}_{name}": value
                    for what in ("observed", "prediction")
                    for name, value in answer[what].items()
                }
                | {"haplotype": haplotype["haplotype"], "haplotype_prediction": haplotype["prediction"]}
                | {f"variant_{name}": value for name, value in variant.items()}
                for answer in answers
                for haplotype in answer["haplotypes"]
                for variant in haplotype["variants"] or [{}]
            ]
        )
    else:
        from .gene_answer import answer_console, print_person

        console = answer_console()
        for answer in answers:
            print_person(console, answer)


def _write_rows(rows: Sequence[dict[str, Any]]) -> None:
    header = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(sys.stdout, header, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
