"""Published stores are compared: on a web server by their manifests, a summary by what it shows."""

import json
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from web_server import nginx

from pdstore.compared_arrays import DIFFERS, MISSING_FIRST, MISSING_SECOND
from pdstore.diff import diff
from pdstore.store import open_store

Program = Callable[..., subprocess.CompletedProcess[str]]


def test_a_summary_lacks_what_it_withholds_and_differs_only_in_what_it_computes_anew(
    filled: Path, summary: Path, pdstore: Program
) -> None:
    found = diff(open_store(filled), open_store(summary))
    missing = {array.path for array in found.arrays if (array.kind & MISSING_SECOND).any()}
    (window,) = open_store(filled).members("windows")
    assert {f"windows/{window}/variants", f"eqtl/{window}/slope"} <= missing
    assert not len(found.genes_where(MISSING_FIRST))
    differ = {array.path for array in found.arrays if (array.kind & DIFFERS).any()}
    # Of drivers and variants that are shown alone.
    names = ("driver_rank", "driver_count", "fraction_supported", "weighted_fraction_supported")
    assert differ <= {f"windows/{window}/{name}" for name in ("variant_count",)} | {
        f"statistics/cnn/{name}" for name in names
    }
    done = pdstore("diff", filled, summary)
    assert done.returncode == 1
    assert "the second is a summary, which leaves out what few people are behind" in done.stderr
    assert "have values that B lacks" in done.stdout
    assert "have values that A lacks" not in done.stdout


def test_of_stores_on_a_server_no_chunk_of_a_gene_is_read(full: Path, tmp_path: Path, nginx_installed: None) -> None:
    changed = Path(shutil.copytree(full, tmp_path / "changed"))
    with nginx(full) as server, nginx(changed) as other:
        assert diff(open_store(server.url), open_store(other.url)).is_empty
        assert diff(open_store(full), open_store(other.url)).is_empty
        asked = [request.path for request in (*server.requests, *other.requests)]
    assert "/manifest.json" in asked
    of_genes = [path for path in asked if path.startswith(("/attributions", "/eqtl", "/predictions/cnn/expression"))]
    assert [path for path in of_genes if "/c/" in path] == []


@pytest.mark.parametrize("is_remote", [False, True])
def test_a_gene_that_differs_is_found_by_its_digest(
    full: Path, tmp_path: Path, nginx_installed: None, is_remote: bool
) -> None:
    # As published anew of a store of which a gene was filled again.
    changed = Path(shutil.copytree(full, tmp_path / "changed"))
    chunk, of_another = (f"attributions/cnn/ism/c/{gene}/0" for gene in (3, 4))
    assert (full / chunk).read_bytes() != (full / of_another).read_bytes()
    shutil.copyfile(changed / of_another, changed / chunk)
    manifest = json.loads((changed / "manifest.json").read_text())
    manifest["files"][chunk] = manifest["files"][of_another]
    (changed / "manifest.json").write_text(json.dumps(manifest))
    with nginx(full) as server, nginx(changed) as other:
        first = open_store(server.url if is_remote else full)
        found = diff(first, open_store(other.url))
        read = [request.path for request in other.requests if "/ism/c/" in request.path]
    assert [array.path for array in found.arrays if array.kind.any()] == ["attributions/cnn/ism"]
    assert found.genes_where(~0).tolist() == [3]
    assert read == [f"/{chunk}"]


def test_a_zip_is_compared_by_its_bytes(full: Path, tmp_path: Path) -> None:
    changed = tmp_path / "changed.zarr.zip"
    of_another = (full / "attributions/cnn/ism/c/4/0").read_bytes()
    with zipfile.ZipFile(changed, "w", zipfile.ZIP_STORED) as file:
        for path in sorted(path for path in full.rglob("*") if path.is_file()):
            key = path.relative_to(full).as_posix()
            # Its manifest says otherwise, and is not asked.
            file.writestr(key, of_another if key == "attributions/cnn/ism/c/3/0" else path.read_bytes())
    found = diff(open_store(full), open_store(changed))
    assert [array.path for array in found.arrays if array.kind.any()] == ["attributions/cnn/ism"]
    assert found.genes_where(~0).tolist() == [3]
