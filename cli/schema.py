"""pdstore schema: the layout of a store."""

import typer


def command() -> None:
    """Print the layout of a store as a Markdown table.

    Example:
    pdstore schema
    """
    from pdstore.schema import layout_table

    typer.echo(layout_table())
