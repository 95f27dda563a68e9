"""Stores on a web server, on bad ones, and in S3: the same answers as from the folder, in few requests."""

import functools
import json
import os
import shutil
import socket
import socketserver
import sqlite3
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import obstore
import pytest
from obstore.store import S3Store
from quiet import Quiet
from web_server import WebServer, nginx

import pdstore
from pdstore.errors import DamagedDataError, RemoteError, StoreError, UsageError
from pdstore.gene_table import gene_columns
from pdstore.query import query_gene
from pdstore.schema import deviations
from pdstore.sharing.publish import publish
from pdstore.sharing.verify import verify
from pdstore.status import store_status
from pdstore.store import open_store

Program = Callable[..., subprocess.CompletedProcess[str]]

GENE = "GSTM3"


@pytest.fixture(scope="module")
def served(
    summary: Path, full: Path, tmp_path_factory: pytest.TempPathFactory, nginx_installed: None
) -> Iterator[WebServer]:
    folder = tmp_path_factory.mktemp("served")
    for store in (summary, full):
        shutil.copytree(store, folder / store.name)
    with nginx(folder) as server:
        yield server


def zipped(folder: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as file:
        for entry in sorted(folder.rglob("*")):
            if entry.is_file():
                file.write(entry, entry.relative_to(folder).as_posix())
    return path


@pytest.mark.parametrize("level", ["summary", "full"])
def test_every_location_gives_the_same_answers(
    level: str, served: WebServer, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    folder: Path = request.getfixturevalue(level)
    stores = [open_store(url) for url in (folder, zipped(folder, tmp_path / "s.zarr.zip"), f"{served.url}{level}")]
    answers = [query_gene(store, GENE, all_variants=True) for store in stores]
    assert answers[0]["drivers"]
    assert answers[0] == answers[1] == answers[2]
    tables = [{name: values.tolist() for name, values in gene_columns(store).items()} for store in stores]
    assert repr(tables[0]) == repr(tables[1]) == repr(tables[2])
    states = [store_status(store, []) for store in stores]
    # A server's files are those of its manifest, which does not list itself.
    for state in states:
        del state["store"], state["bytes"]
    assert states[0] == states[1] == states[2]
    assert all(deviations(store.root) == [] for store in stores)
    assert verify(f"{served.url}{level}").findings == []


def test_a_query_asks_for_metadata_once_and_for_nothing_that_is_not_there(served: WebServer) -> None:
    before = len(served.requests)
    query_gene(open_store(f"{served.url}full/"), GENE)
    asked = served.requests[before:]
    assert {request.status for request in asked} == {200}
    assert {request.method for request in asked} == {"GET"}
    assert [request.path for request in asked if request.path.endswith("zarr.json")] == ["/full/zarr.json"]
    assert len({request.path for request in asked}) == len(asked)


def test_xarray_opens_groups_over_http(served: WebServer) -> None:
    store = pdstore.open_store(f"{served.url}summary")
    dataset = store.dataset("statistics/cnn")
    assert (
        dataset["pearson_r"].values.tolist()
        == open_store(f"{served.url}summary").read("statistics/cnn/pearson_r").tolist()
    )
    assert store.query(GENE)["gene"]["name"] == GENE
    assert len(store.genes()) == 24


def test_a_cache_is_read_until_the_store_is_published_anew(
    served: WebServer,
    full: Path,
    summary: Path,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    nginx_installed: None,
) -> None:
    folder = tmp_path_factory.mktemp("changing")
    shutil.copytree(summary, folder / "store")
    with nginx(folder) as server:
        url, cache = f"{server.url}store", tmp_path / "cache"
        first = query_gene(open_store(url, cache=cache), GENE)
        asked = len(server.requests)
        assert query_gene(open_store(url, cache=cache), GENE) == first
        assert [request.path for request in server.requests[asked:]] == ["/store/zarr.json"]
        shutil.rmtree(folder / "store")
        shutil.copytree(full, folder / "store")
        assert query_gene(open_store(url, cache=cache), GENE)["withheld"] is None
        assert first["withheld"] is not None
    assert not [path for path in cache.rglob("*") if "partial" in path.name]


@pytest.mark.parametrize("command", ["compare", "diff"])
def test_what_is_compared_is_kept_in_the_cache(
    command: str, served: WebServer, filled: Path, tmp_path: Path, pdstore: Program
) -> None:
    arguments = (command, f"{served.url}summary", filled, "--format", "json", "--cache", tmp_path / "cache")
    first = pdstore(*arguments)
    asked = len(served.requests)
    again = pdstore(*arguments)
    assert json.loads(again.stdout) == json.loads(first.stdout)
    assert (first.stderr, first.returncode) == (again.stderr, again.returncode)
    # The root tells whether the store is still the same.
    roots = {"/summary/zarr.json", "/summary/manifest.json"}
    assert {request.path for request in served.requests[asked:]} <= roots
    assert list((tmp_path / "cache").rglob("genes/gene_id/c/0"))


def test_predixcan_is_trained_on_a_store_on_a_server(
    served: WebServer, full: Path, tmp_path: Path, pdstore: Program
) -> None:
    made = []
    for store in (f"{served.url}full", full):
        path = tmp_path / f"{len(made)}.db"
        done = pdstore("train", "predixcan", "-s", store, "-o", path, "--genes", GENE, "--workers", "1")
        assert done.returncode == 0, done.stderr
        with closing(sqlite3.connect(path)) as database:
            made.append(database.execute("SELECT varID, weight FROM weights ORDER BY varID").fetchall())
    assert made[0] == made[1]


def test_damage_on_a_server_is_found_on_reading_and_by_verify(
    full: Path, tmp_path: Path, nginx_installed: None
) -> None:
    copy = Path(shutil.copytree(full, tmp_path / "copy"))
    row = open_store(full).read("genes/gene_name").tolist().index(GENE)
    chunk = copy / f"attributions/cnn/ism/c/{row}/0"
    content = bytearray(chunk.read_bytes())
    content[7] ^= 1
    chunk.write_bytes(content)
    (copy / f"eqtl/{open_store(full).members('eqtl')[0]}/slope/c/{row}/0").unlink()
    with nginx(tmp_path) as server:
        url = f"{server.url}copy"
        with pytest.raises((DamagedDataError, StoreError), match=r"is damaged|is not filled, or was lost"):
            query_gene(open_store(url), GENE)
        found = {finding.array: finding for finding in verify(url).findings}
    assert [finding.genes for finding in found.values()] == [(GENE,), (GENE,)]
    assert {finding.what for finding in found.values()} == {"is missing", "differs from its SHA-256 in the manifest"}


class _Bad(SimpleHTTPRequestHandler):
    """A server without range requests, whose first answers to each request fail in some way."""

    protocol_version = "HTTP/1.1"
    fails: Callable[["_Bad", int], bool]
    tries: dict[str, int]

    def do_GET(self) -> None:
        number = self.tries[self.path] = self.tries.get(self.path, 0) + 1
        if not type(self).fails(self, number):
            super().do_GET()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@contextmanager
def bad_server(folder: Path, fails: Callable[[_Bad, int], bool]) -> Iterator[str]:
    handler = type("Handler", (_Bad,), {"fails": fails, "tries": {}})
    ThreadingHTTPServer.request_queue_size = 128
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def drop(handler: _Bad) -> bool:
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)
    return True


def half(handler: _Bad) -> bool:
    """The headers of an answer and some of its body."""
    handler.send_response(200)
    handler.send_header("Content-Length", "100000")
    handler.end_headers()
    handler.wfile.write(b"x" * 10)
    return drop(handler)


def error_500(handler: _Bad) -> bool:
    handler.send_error(500)
    return True


@pytest.mark.parametrize(
    ("fails", "times"), [(error_500, 2), (drop, 1), (error_500, 0)], ids=["500 twice", "dropped once", "no ranges"]
)
def test_a_server_that_fails_now_and_then_is_asked_again(full: Path, fails: Callable[[_Bad], bool], times: int) -> None:
    with bad_server(full, lambda handler, number: number <= times and fails(handler)) as url:
        assert query_gene(open_store(url), GENE) == query_gene(open_store(full), GENE)


@pytest.mark.parametrize("fails", [error_500, drop, half])
def test_a_server_that_always_fails_is_named_in_a_line(full: Path, fails: Callable[[_Bad], bool]) -> None:
    began = time.monotonic()
    with (
        bad_server(full, lambda handler, number: fails(handler)) as url,
        pytest.raises(StoreError, match=url) as refused,
    ):
        open_store(url)
    assert "\n" not in str(refused.value)
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("fails", [error_500, drop, half])
def test_a_server_that_fails_on_a_chunk_gives_an_error_and_no_number(full: Path, fails: Callable[[_Bad], bool]) -> None:
    def on_chunk(handler: _Bad, number: int) -> bool:
        return "pearson_r/c" in handler.path and fails(handler)

    with bad_server(full, on_chunk) as url, pytest.raises(RemoteError, match=r"statistics/cnn/pearson_r/c/0"):
        gene_columns(open_store(url))


def test_nobody_there_is_said_in_a_line(full: Path) -> None:
    with socketserver.TCPServer(("127.0.0.1", 0), socketserver.BaseRequestHandler) as taken:
        port = taken.server_address[1]
    with pytest.raises(RemoteError, match=rf"http://127.0.0.1:{port}: zarr.json cannot be read"):
        open_store(f"http://127.0.0.1:{port}")


def test_a_folder_without_a_store_is_said_in_a_line(served: WebServer) -> None:
    with pytest.raises(StoreError, match="is not a pdstore store"):
        open_store(f"{served.url}elsewhere")
    with pytest.raises(StoreError, match=r"there is no manifest\.json"):
        verify(f"{served.url}elsewhere")


@pytest.mark.parametrize(
    "url",
    [
        "https://me:secret@127.0.0.1/store",
        "https://127.0.0.1/store?key=secret",
        "ftp://127.0.0.1/x",
        "https://",
        "gs://x/y",
    ],
)
def test_urls_that_cannot_be_opened_are_refused_without_their_secrets(url: str) -> None:
    with pytest.raises(StoreError) as refused:
        open_store(url)
    assert "secret" not in str(refused.value)


def test_a_published_store_on_a_server_is_not_written_to(served: WebServer) -> None:
    with pytest.raises(StoreError, match="only a store in a folder can be written to"):
        open_store(f"{served.url}full", "r+")


@contextmanager
def s3_server(folder: Path, *options: str) -> Iterator[str]:
    """An S3 server over a folder, whose folders are buckets; its URL."""
    program = shutil.which("rclone") or str(Path(sys.executable).with_name("rclone"))
    if not Path(program).exists():
        if os.environ.get("CI") == "true":
            pytest.fail("CI needs rclone")
        pytest.skip("needs rclone")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    environment = {"RCLONE_CONFIG": os.devnull, "PATH": os.environ["PATH"], "HOME": str(folder)}
    process = subprocess.Popen(
        [program, "serve", "s3", str(folder), "--addr", address, "--vfs-cache-mode", "off", *options],
        env=environment,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", int(address.rpartition(":")[2]))) == 0:
                    break
            time.sleep(0.05)
        else:
            pytest.fail(f"rclone does not listen on {address}")
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """An S3 server, and the environment that leads to its bucket."""
    folder = tmp_path_factory.mktemp("s3")
    (folder / "bucket").mkdir()
    key, secret = "A" * 20, "b" * 40
    with s3_server(folder, "--auth-key", f"{key},{secret}") as url:
        yield {
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": key,
            "AWS_SECRET_ACCESS_KEY": secret,
            "AWS_REGION": "us-east-1",
        }


@pytest.fixture
def credentials(s3: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    for name, value in s3.items():
        monkeypatch.setenv(name, value)
    return s3


def listed(prefix: str) -> set[str]:
    files: Any = S3Store.from_url(f"s3://bucket/{prefix}", client_options={"allow_http": True})
    return {item["path"] for part in obstore.list(files) for item in part}


def test_a_store_is_published_to_s3_and_read_from_there(
    credentials: dict[str, str], filled: Path, full: Path, summary: Path
) -> None:
    for level, folder in (("full", full), ("summary", summary)):
        url = f"s3://bucket/{level}"
        published = publish(str(filled), url, level, Quiet(), individual_level=True)  # type: ignore[arg-type]
        assert listed(level) == {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
        assert verify(url, published.digest).findings == []
        assert verify(folder).digest == published.digest
        assert query_gene(open_store(url), GENE) == query_gene(open_store(folder), GENE)
        assert store_status(open_store(url))["groups"]
        bucket: Any = S3Store.from_url(url, client_options={"allow_http": True})
        kinds = {key: obstore.get(bucket, key).attributes["Content-Type"] for key in ("index.html", "viewer/viewer.js")}
        assert [kind.partition(";")[0] for kind in kinds.values()] == ["text/html", "text/javascript"]
        with pytest.raises(StoreError, match="files are there already"):
            publish(str(filled), url, level, Quiet(), individual_level=True)  # type: ignore[arg-type]


def test_a_publication_to_s3_that_fails_leaves_nothing(credentials: dict[str, str], filled: Path) -> None:
    class Interrupted(Quiet):
        files = 0

        def copied(self, size: int) -> None:
            self.files += 1
            if self.files > 150:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        publish(str(filled), "s3://bucket/interrupted", "summary", Interrupted())
    assert listed("interrupted") == set()


def test_s3_without_the_right_credentials_is_said_in_a_line(
    credentials: dict[str, str], filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "c" * 40)
    with pytest.raises(StoreError, match=r"s3://bucket/full: no permission"):
        open_store("s3://bucket/full")
    with pytest.raises(StoreError, match="cannot be listed"):
        publish(str(filled), "s3://bucket/other", "summary", Quiet())


def test_a_public_store_in_s3_needs_no_credentials(
    summary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(summary, tmp_path / "bucket" / "store")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    with s3_server(tmp_path) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        assert query_gene(open_store("s3://bucket/store"), GENE) == query_gene(open_store(summary), GENE)
        assert verify("s3://bucket/store").findings == []


def test_nothing_is_published_to_a_web_server(filled: Path) -> None:
    with pytest.raises(UsageError, match=r"publish to a folder, a \.zarr\.zip or s3://"):
        publish(str(filled), "http://127.0.0.1/store", "summary", Quiet())
