"""pdstore models: what can predict."""

import csv
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pdstore.words import plain

from .output import Format

if TYPE_CHECKING:
    from pdstore.models.registry import Registered


def command(
    model: Annotated[str | None, typer.Argument(help="Only this one.", show_default="all")] = None,
    weights: Annotated[
        Path | None, typer.Option("--weights", "-w", help="Weights of it: tells what they are of.")
    ] = None,
    format: Annotated[Format, typer.Option("--format", "-f", help="How to print it.")] = Format.table,
) -> None:
    """Show the models that fill can use, those of other packages among them, and readouts that are trained: what they
    read and give, their licence, and whether weights are there. With --weights, window, bins and tracks of these.

    Example:
    pdstore models
    """
    from pdstore.errors import UsageError
    from pdstore.models.registry import READOUTS_OF_TRACKS, Registered, model_class, registered_models

    if weights is not None and model is None:
        raise UsageError("of which model are these weights? Name it: pdstore models MODEL --weights FILE")
    if model in READOUTS_OF_TRACKS and weights is not None:
        raise UsageError(f"{model} is a readout: fill --readout {model} --readout-weights {weights} reads its weights")
    if model is not None and weights is not None:
        # Names that there are not end here.
        model_class(model)
    readouts = [Registered(name, "a readout", about) for name, about in READOUTS_OF_TRACKS.items()]
    known = [*registered_models(), *readouts]
    answer = [_row(registered) for registered in known if model in (None, registered.name)]
    if model is not None and not answer:
        model_class(model)
    if weights is not None and model is not None:
        answer[0] |= _of_weights(model, weights)
    if format is Format.json:
        json.dump(answer, sys.stdout, indent=2, allow_nan=False)
        sys.stdout.write("\n")
    elif format is Format.csv:
        names = list(dict.fromkeys(name for row in answer for name in row))
        writer = csv.DictWriter(sys.stdout, names, restval="")
        writer.writeheader()
        writer.writerows(answer)
    else:
        _print(answer)


def _weights(row: dict[str, Any]) -> str | None:
    if not row["weights"] or "--readout-weights" in row["weights"]:
        return row["weights"] or None
    return f"{row['weights']}: {'found' if row['weights_found'] else 'give them with --weights'}"


def _row(registered: "Registered") -> dict[str, Any]:
    """What there is to say of a model, as JSON has it; null where there is nothing."""
    about, window = registered.about, registered.window
    return {
        "model": registered.name,
        "package": registered.package,
        "reads": None if about is None else about.reads,
        "window": None if window is None else window.name,
        "gives": None if about is None else about.gives,
        "weights": None if about is None else about.weights,
        "weights_found": registered.weights_found,
        "licence": None if about is None else about.licence,
        "reference": None if about is None else about.reference,
        "problem": registered.problem,
    }


def _of_weights(model: str, weights: Path) -> dict[str, Any]:
    from pdstore.errors import UsageError
    from pdstore.models.protocol import ModelOptions
    from pdstore.models.registry import ModelReference, model_class

    # All that there is, not what a fill would choose of it.
    options = ModelOptions(tracks="all") if "tracks" in model_class(model).takes else ModelOptions()
    reference = ModelReference(model, weights, options=options)
    try:
        described = reference.describe()
    except UsageError as error:
        # They are this model's, and a fill needs to be told more.
        return {"weights_found": True, "sha256": reference.digest(), "problem": str(error)}
    return {
        "window": described.window.name,
        "weights_found": True,
        "sha256": reference.digest(),
        "bins": described.bins,
        "tracks": len(described.track_names),
        "options": dict(described.options),
    }


def _print(answer: list[dict[str, Any]]) -> None:
    from rich.text import Text

    from .gene_answer import answer_console

    console = answer_console()
    for row in answer:
        console.print(Text.assemble((plain(row["model"]), "bold"), plain(f"  {row['package']}")))
        if row["problem"]:
            console.print(Text(plain(f"  {row['problem']}"), "red"))
        lines = {
            "reads": row["reads"],
            "window": row["window"],
            "gives": row["gives"],
            "weights": _weights(row),
            "sha256": row.get("sha256"),
            "bins": row.get("bins"),
            "tracks": row.get("tracks"),
            "recorded": ", ".join(f"{name} {value}" for name, value in row.get("options", {}).items()) or None,
            "licence": row["licence"],
            "article": row["reference"],
        }
        for name, value in lines.items():
            if value is not None:
                console.print(plain(f"  {name:<9} {value}"))
