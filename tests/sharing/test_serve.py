"""`pdstore view` serves a published store, its own page, and nothing else."""

import http.client
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from pdstore.errors import StoreError, UsageError
from pdstore.query import query_gene
from pdstore.sharing.page import page_files
from pdstore.sharing.serve import StoreServer
from pdstore.sharing.verify import verify
from pdstore.store import open_store


@contextmanager
def serving(store: Path) -> Iterator[StoreServer]:
    with StoreServer(str(store)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def ask(server: StoreServer, path: str, host: str | None = None, method: str = "GET") -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    connection.request(method, path, headers={} if host is None else {"Host": host})
    return connection.getresponse()


def test_it_serves_the_store_and_its_page(summary: Path) -> None:
    with serving(summary) as server:
        assert query_gene(open_store(server.page), "GSTM3") == query_gene(open_store(summary), "GSTM3")
        assert verify(server.page).findings == []
        page = ask(server, server.prefix)
        assert page.getheader("Content-Type") == "text/html; charset=utf-8"
        assert page.read() == (summary / "index.html").read_bytes()
        assert ask(server, f"{server.prefix}viewer/viewer.js", method="HEAD").read() == b""


def test_the_page_is_at_the_name_of_the_store(summary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = Path(shutil.copytree(summary, tmp_path / "Our cohort & é: #2"))
    monkeypatch.chdir(named)
    for url in (named, Path(".")):
        with serving(url) as server:
            assert server.page.endswith("/Our_cohort_2/")
            assert ask(server, urlsplit(server.page).path).status == 200


@pytest.mark.parametrize(
    "path",
    ["/", "/zarr.json", "{prefix}../zarr.json", "{prefix}%2e%2e/%2e%2e/etc/passwd", "{prefix}/etc/passwd", "{prefix}x"],
)
def test_it_serves_nothing_else(summary: Path, path: str) -> None:
    with serving(summary) as server:
        assert ask(server, path.format(prefix=server.prefix)).status == 404


def test_a_page_of_another_name_is_refused(summary: Path) -> None:
    with serving(summary) as server:
        assert ask(server, server.prefix, host="evil.example:80").status == 404
        assert ask(server, server.prefix, host=f"localhost:{server.server_port}").status == 200


def test_the_page_is_ours_whatever_the_store_brings(summary: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(summary, tmp_path / "copy"))
    (copy / "viewer/viewer.js").write_text("harm()")
    with serving(copy) as server:
        assert ask(server, f"{server.prefix}viewer/viewer.js").read() == dict(page_files())["viewer/viewer.js"]
    (copy / "viewer/linked.txt").symlink_to("/etc/passwd")
    with pytest.raises(StoreError, match="is a symbolic link"):
        StoreServer(str(copy))


def test_what_has_no_page_and_a_port_that_is_taken(filled: Path, summary: Path) -> None:
    with pytest.raises(StoreError, match="has no page: publish it first"):
        StoreServer(str(filled))
    with (
        serving(summary) as server,
        pytest.raises(UsageError, match=f"port {urlsplit(server.page).port}: Address already"),
    ):
        StoreServer(str(summary), server.server_port)
