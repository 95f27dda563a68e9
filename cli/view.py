"""pdstore view: the page of a published store in a browser."""

import webbrowser
from typing import Annotated

import typer

from .output import note


def command(
    url: Annotated[str, typer.Argument(metavar="URL", help="A published store: folder, .zarr.zip, or https://.")],
    gene: Annotated[str | None, typer.Option("--gene", "-g", help="Open the page at a gene.")] = None,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes a free one.")] = 0,
    browser: Annotated[bool, typer.Option(help="Open a browser, or only print the page's URL.")] = True,
) -> None:
    """Show a published store in a browser. What lies on this machine is served to it alone, until Ctrl-C.

    Example:
    pdstore view shared/ --gene GSTM3
    """
    from urllib.parse import quote

    fragment = f"#gene={quote(gene)}" if gene else ""
    if url.startswith(("http://", "https://")):
        page = url.rstrip("/") + "/" + fragment
        typer.echo(page)
        if browser:
            webbrowser.open(page)
        return
    from pdstore.sharing.serve import StoreServer

    with StoreServer(url, port) as server:
        typer.echo(server.page + fragment)
        note(f"serving {url} to this machine until Ctrl-C")
        if browser:
            webbrowser.open(server.page + fragment)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            note("stopped")
