"""The program `pdstore`: its commands, and how every error ends."""

import functools
import os
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from pdstore.errors import PdstoreError
from pdstore.words import plain

from . import (
    add,
    clear,
    compare,
    demo,
    diff,
    export,
    fill,
    genes,
    import_,
    init,
    merge,
    migrate,
    models,
    plot,
    publish,
    query,
    schema,
    status,
    train,
    validate,
    verify,
    view,
)
from .output import note

app = typer.Typer(
    name="pdstore",
    help="Does a sequence model predict how expression differs between people? A Zarr store that knows, and this CLI.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _interruptible(command: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(command)
    def run(*arguments: object, **options: object) -> None:
        try:
            command(*arguments, **options)
        except KeyboardInterrupt:
            said: dict[Callable[..., None], str] = {
                fill.command: fill.INTERRUPTED,
                migrate.command: migrate.INTERRUPTED,
                **dict.fromkeys((train.predixcan, *train.NETWORKS.values()), train.INTERRUPTED),
            }
            note(said.get(command, "interrupted; nothing half-done was kept"))
            if "distributed" not in sys.modules:
                # What zarr was still to read is of no use; at a usual end it would tell of every piece of it.
                sys.stdout.flush()
                os._exit(130)
            raise typer.Exit(130) from None

    return run


MODULES = (
    *(demo, init, import_, fill, clear, add, merge),
    *(status, query, genes, plot, compare, diff, export),
    *(publish, verify, view),
    *(validate, migrate, schema, models),
)
for module in MODULES:
    # A module cannot be called import.
    app.command(name=module.__name__.rsplit(".", 1)[-1].rstrip("_"))(_interruptible(module.command))

for registered in train.app.registered_commands:
    assert registered.callback is not None
    registered.callback = _interruptible(registered.callback)
app.add_typer(train.app, name="train")

_debug = False


def _print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"pdstore {version('pdstore')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")] = False,
) -> None:
    """Options before the command."""
    global _debug
    _debug = debug


def run() -> None:
    """Run the program; every error ends in one line on stderr, unless --debug asks for more."""
    try:
        app()
    except BrokenPipeError:
        # Who reads our output has seen enough, as in `pdstore query … | head`: no message, but not a success either.
        sys.stderr.close()
        sys.exit(1)
    except Exception as error:
        if _debug:
            raise
        message, exit_status = _told(error)
        print(f"pdstore: error: {' '.join(plain(message).split())}", file=sys.stderr)
        sys.exit(exit_status)


def _told(error: Exception) -> tuple[str, int]:
    """An error in a person's words, and the exit status: 2 for what the user can mend, 1 for what failed."""
    if isinstance(error, PdstoreError):
        return str(error), error.exit_status
    if isinstance(error, ModuleNotFoundError):
        extra = {"dask_jobqueue": "cluster", "pyarrow": "export", "matplotlib": "plot"}.get(error.name or "", "fill")
        return f"this needs the package {error.name}, which an extra brings: pip install 'pdstore[{extra}]'", 2
    if isinstance(error, PermissionError):
        return f"no permission: {error.filename}", 2
    if isinstance(error, OSError):
        return f"{error.strerror or error}: {error.filename or 'no file is named'}", 1
    name = type(error).__name__
    return f"unexpected {name}: {error}; run `pdstore --debug …` for the traceback and report it", 1
