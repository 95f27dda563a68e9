"""Serve a published store to a browser on this machine: no other machine reaches it, no other user guesses where."""

import os
import re
import secrets
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

from zarr.core.sync import sync

from pdstore.errors import StoreError, UsageError
from pdstore.location.keys import is_safe_key
from pdstore.location.local import Folder
from pdstore.location.locate import locate
from pdstore.location.protocol import Location, read_file
from pdstore.sharing.page import PAGE, content_type, page_files

_LARGEST_FILE = 2 << 30


class StoreServer(ThreadingHTTPServer):
    """Serves the files of one published store on loopback, until it is shut down.

    Parameters
    ----------
    url : str
        A published folder or ``.zarr.zip``.
    port : int
        0 takes a free one.

    Raises
    ------
    StoreError
        There is no published store at `url`.

    Attributes
    ----------
    page : str
        URL of the store's page; its path is random, as other users of this machine can reach the port, and ends in the
        store's name, by which the page calls it where it has no title.
    """

    daemon_threads = True
    # A page asks for dozens of files at once.
    request_queue_size = 128

    def __init__(self, url: str, port: int = 0) -> None:
        self.location: Location = locate(url)
        if isinstance(self.location, Folder):
            self.location.refuse_links()
        self.keys = frozenset(self.location.sizes())
        # A store from elsewhere may bring a page of its own: what runs here is pdstore's.
        self.page_files = dict(page_files())
        if PAGE not in self.keys:
            raise StoreError(f"store {url} has no page: publish it first, and view what pdstore publish made")
        try:
            super().__init__(("127.0.0.1", port), _Handler)
        except OSError as error:
            raise UsageError(f"port {port}: {error.strerror}; name another with --port, or none") from error
        self.prefix = f"/{secrets.token_urlsafe(16)}/{_name(url)}/"
        self.page = f"http://127.0.0.1:{self.server_port}{self.prefix}"


def _name(url: str) -> str:
    """Name of a store in letters that every URL may have."""
    last = url.rstrip("/").rpartition("/")[2] if "://" in url else os.path.basename(os.path.abspath(url))
    return re.sub(r"[^A-Za-z0-9._-]+", "_", last).strip(".") or "store"


class _Handler(BaseHTTPRequestHandler):
    server: StoreServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: what is asked for names genes."""

    def _answer(self, with_body: bool) -> None:
        # A page of another name that resolves to this machine must not read the store.
        host = self.headers.get("Host", "").partition(":")[0]
        path = unquote(urlsplit(self.path).path)
        key = path.removeprefix(self.server.prefix) or PAGE
        known = path.startswith(self.server.prefix) and is_safe_key(key) and key in self.server.keys
        if host not in ("127.0.0.1", "localhost") or not known:
            return self._send(HTTPStatus.NOT_FOUND, b"", "text/plain", with_body)
        try:
            content = self.server.page_files.get(key) or sync(read_file(self.server.location, key, _LARGEST_FILE))
        except (StoreError, OSError):
            return self._send(HTTPStatus.INTERNAL_SERVER_ERROR, b"", "text/plain", with_body)
        return self._send(HTTPStatus.OK, content, content_type(key), with_body)

    def _send(self, status: HTTPStatus, content: bytes, kind: str, with_body: bool) -> None:
        # A browser that goes elsewhere closes the connection.
        with suppress(BrokenPipeError, ConnectionResetError):
            self.send_response(status)
            headers = {"Content-Type": kind, "Content-Length": str(len(content)), "Cache-Control": "no-store"}
            for name, value in (
                headers | {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
            ).items():
                self.send_header(name, value)
            self.end_headers()
            if with_body:
                self.wfile.write(content)
