"""The page that shows a published store in a browser: its files, and what a server has to say they are."""

from collections.abc import Iterator
from importlib.resources import files
from pathlib import PurePosixPath

PAGE = "index.html"

_CONTENT_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".txt": "text/plain; charset=utf-8",
    ".md": "text/plain; charset=utf-8",
    ".cff": "text/plain; charset=utf-8",
}


def page_files() -> Iterator[tuple[str, bytes]]:
    """Key, relative to the store's root, and content of each file of the page."""
    for file in sorted((files("pdstore.sharing") / "viewer").iterdir(), key=lambda entry: entry.name):
        if file.is_file():
            yield file.name if file.name == PAGE else f"viewer/{file.name}", file.read_bytes()


def content_type(key: str) -> str:
    """What a file of a published store is, as servers say it: a browser runs no script that is said to be another."""
    return _CONTENT_TYPES.get(PurePosixPath(key).suffix, "application/octet-stream")
