"""A real web server over a folder: nginx, as whoever shares a store may run it."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_STARTS = 5
"""A free port may be taken by somebody else before nginx listens on it."""
_TIMEOUT = 10.0
# Without a master process nothing changes its user: root serves folders that only root may read, as pytest's are.
_CONFIGURATION = """
daemon off;
master_process off;
pid {scratch}/nginx.pid;
error_log {scratch}/error.log warn;
events {{ worker_connections 256; }}
http {{
    types {{
        text/html html;
        text/css css;
        text/javascript js;
        text/plain txt;
        application/json json;
    }}
    default_type application/octet-stream;
    log_format request '$request_method\\t$uri\\t$status\\t$body_bytes_sent';
    access_log {scratch}/access.log request;
    client_body_temp_path {scratch}/body;
    proxy_temp_path {scratch}/proxy;
    fastcgi_temp_path {scratch}/fastcgi;
    uwsgi_temp_path {scratch}/uwsgi;
    scgi_temp_path {scratch}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location / {{ alias "{folder}/"; index index.html; }}
    }}
}}
"""


@dataclass(frozen=True)
class Request:
    """One line of the access log."""

    method: str
    path: str
    status: int
    size: int


@dataclass(frozen=True)
class WebServer:
    """A running server.

    Attributes
    ----------
    url : str
        Of the folder, with a slash at its end.
    log : Path
        Its access log.
    """

    url: str
    log: Path

    @property
    def requests(self) -> list[Request]:
        """What was asked of it so far."""
        fields = (line.split("\t") for line in self.log.read_text().splitlines())
        return [Request(method, path, int(status), int(size)) for method, path, status, size in fields]


@contextmanager
def nginx(folder: Path) -> Iterator[WebServer]:
    """Serve a folder by nginx on a free port of this machine, until the context ends.

    Raises
    ------
    RuntimeError
        nginx is not installed, or does not start; with what it says.
    """
    program = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if program is None:
        raise RuntimeError("nginx is not installed")
    if not folder.is_dir():
        raise RuntimeError(f"there is no folder {folder} to serve")
    with tempfile.TemporaryDirectory(prefix="nginx-") as scratch:
        for start in range(_STARTS):
            process, port = _start(program, folder.resolve(), Path(scratch))
            try:
                problem = _wait(process, port)
                if problem is None:
                    yield WebServer(f"http://127.0.0.1:{port}/", Path(scratch, "access.log"))
                    return
            finally:
                _stop(process)
            said = Path(scratch, "error.log").read_text() if Path(scratch, "error.log").exists() else ""
            if "Address already in use" not in said or start == _STARTS - 1:
                raise RuntimeError(f"nginx did not start: {problem}\n{said}")


def _start(program: str, folder: Path, scratch: Path) -> tuple[subprocess.Popen[bytes], int]:
    port = _free_port()
    configuration = scratch / "nginx.conf"
    configuration.write_text(_CONFIGURATION.format(scratch=scratch, folder=folder, port=port))
    command = [program, "-p", str(scratch), "-e", str(scratch / "error.log"), "-c", str(configuration)]
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ), port


def _wait(process: subprocess.Popen[bytes], port: int) -> str | None:
    """Wait until it listens; what went wrong, if something did."""
    deadline = time.monotonic() + _TIMEOUT
    while time.monotonic() < deadline:
        if process.poll() is not None:
            return f"it ended with status {process.returncode}"
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.01)
        else:
            return None
    return f"it does not listen on port {port} after {_TIMEOUT:g} s"


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
