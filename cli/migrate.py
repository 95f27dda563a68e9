"""pdstore migrate: bring an older store to this format."""

import shlex
import sys
from typing import Annotated

import typer

from pdstore.words import counted, plain

from .output import DEFAULT_STORE, FolderOption, note

INTERRUPTED = "interrupted: run the same command to go on"


def command(
    store: FolderOption = DEFAULT_STORE,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and write nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before groups are dropped.")] = False,
) -> None:
    """Bring a store that an older pdstore made to the format of this one, in place. What cannot follow from what the
    store holds is dropped, to be filled again, and named. It can be stopped at any time: run it again.

    Example:
    pdstore migrate -s cohort.zarr
    """
    from pdstore.errors import UsageError
    from pdstore.migrate import migrate, plan_migration
    from pdstore.schema import FORMAT_VERSION
    from pdstore.store import open_any_format

    migration = plan_migration(open_any_format(store, "r+"))
    if migration.found == FORMAT_VERSION:
        typer.echo(f"{store} has format {FORMAT_VERSION} already")
        return
    for group, reason in migration.dropped.items():
        note(f"to be dropped, and filled again: {group} ({reason})")
    if migration.kept:
        note(f"stays: {', '.join(migration.kept)}")
    if dry_run:
        typer.echo(f"{store} would be brought from format {migration.found} to {FORMAT_VERSION}")
        return
    if migration.dropped and not yes:
        if not sys.stdin.isatty():
            raise UsageError(
                f"{counted(len(migration.dropped), 'group')} would be dropped: say --yes where nobody can answer, or "
                "--dry-run to see them"
            )
        typer.confirm("Drop them?", abort=True, err=True)
    migrate(store, migration)
    typer.echo(f"{store} has format {FORMAT_VERSION} now, and had {migration.found}")
    for model in migration.models:
        name = shlex.quote(plain(model))
        note(f"next: pdstore fill -s {shlex.quote(store)} --model {name} --weights FILE")
