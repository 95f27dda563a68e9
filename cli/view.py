"""pdstore view: the page of a published store in a browser."""

import html
import os
import tempfile
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from .output import note


def command(
    url: Annotated[
        str, typer.Argument(metavar="URL", help="A published store: a folder, .zarr.zip, https:// or s3://.")
    ],
    gene: Annotated[str | None, typer.Option("--gene", "-g", help="Open the page at a gene.")] = None,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes a free one.")] = 0,
    browser: Annotated[bool, typer.Option(help="Open a browser, or only print the page's URL.")] = True,
) -> None:
    """Show a published store in a browser. What lies on this machine is served to it alone, until Ctrl-C, which ends
    with status 0.

    Example:
    pdstore view shared/ --gene GSTM3
    """
    from urllib.parse import quote

    from pdstore.errors import StoreError
    from pdstore.query import find_gene
    from pdstore.store import open_store

    store = open_store(url)
    if "published" not in store.attributes:
        raise StoreError(f"store {url} is not published, and has no page: view what pdstore publish makes of it")
    if gene is not None:
        find_gene(store, gene)
    fragment = f"#gene={quote(gene)}" if gene else ""
    if url.startswith(("http://", "https://")):
        page = url.partition("#")[0].removesuffix("/index.html").rstrip("/") + "/" + fragment
        typer.echo(page)
        if browser:
            webbrowser.open(page)
        return
    from pdstore.sharing.serve import StoreServer

    with StoreServer(url, port) as server, tempfile.TemporaryDirectory(prefix="pdstore-view-") as folder:
        typer.echo(server.page + fragment)
        note(f"serving {url} to this machine until Ctrl-C")
        if browser:
            webbrowser.open(_redirect(Path(folder), server.page + fragment))
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            note("stopped")


def _redirect(folder: Path, page: str) -> str:
    """URL of a file that leads to the page: other users of this machine can see what a browser is started with."""
    file = folder / "view.html"
    with os.fdopen(os.open(file, os.O_CREAT | os.O_WRONLY, 0o600), "w") as stream:
        stream.write(f'<!doctype html><meta http-equiv="refresh" content="0; url={html.escape(page)}">')
    return file.as_uri()
