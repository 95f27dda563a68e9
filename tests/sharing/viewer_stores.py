"""Published stores that the viewer's tests show: of published tables, of hostile names, damaged ones."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import zarr
from numcodecs import Zstd
from quiet import Quiet

from pdstore.schema import schema_of
from pdstore.sharing.publish import Level, publish
from pdstore.store import open_store

HOSTILE = '<img src=x onerror="window.harmed=1">'
MODEL = '<svg onload=alert(1)> & "q" \'%2e?#'
MIN_PEOPLE = 5


def published(folder: Path, store: Path, change: Callable[[zarr.Group], None] | None = None) -> Path:
    """A store published, after a change of what it holds."""
    source = store
    if change is not None:
        source = folder.with_name(f"{folder.name}.zarr")
        shutil.copytree(store, source)
        change(zarr.open_group(str(source), mode="r+", zarr_format=3))
    level: Level = "summary" if open_store(source).is_summary else "full"
    publish(str(source), str(folder), level, Quiet(), individual_level=level == "full")
    return folder


def make_tables(root: zarr.Group) -> None:
    """What published tables have: no people, no alleles, some statistics of some genes, and lead eQTLs."""
    window = root["predictions/cnn"].attrs["window"]
    of_people = ["expression", "genotypes", "reference", "predictions/cnn/expression", "predictions/cnn/tracks"]
    for path in (*of_people, f"windows/{window}/haplotype_index", f"windows/{window}/haplotype_onehot"):
        del root[path]
    root.attrs["level"] = "summary"
    unknown = list(root["genes/gene_name"]).index("MRPL43")
    absent = ["r_ci_low", "r_ci_high", "empirical_p", "empirical_fdr", "n_samples", "null_t", "reference_prediction"]
    paths = [f"eqtl/{window}/p_value", "statistics/cnn/gene_values", "statistics/cnn/statistic_name"]
    paths += [f"variants/{name}" for name in ("ref", "alt", "allele_frequency")]
    for path in [*paths, *(f"statistics/cnn/{name}" for name in absent)]:
        del root[path]
    for name, array in root["statistics/cnn"].arrays():
        if array.shape == root["genes/gene_id"].shape:
            array[unknown] = -1 if name == "driver_count" else np.nan
    root[f"windows/{window}/variant_count"][unknown] = 0
    for path in (f"eqtl/{window}/slope", "attributions/cnn/ism", "statistics/cnn/driver_rank"):
        shutil.rmtree(Path(root.store.root, path, "c", str(unknown)))
    lead = {"distance": 1200.0, "minor_allele_frequency": 0.2, "pearson_r": 0.5, "p_value": 1e-9}
    genes = root["genes/gene_id"].shape[0]
    store = open_store(root.store.root, "r+")
    store.create_group("lead_eqtl", {"genes": genes}, {})
    for name, value in lead.items():
        values = np.full(genes, value)
        values[unknown] = np.nan
        store.write(f"lead_eqtl/{name}", ..., values)
    predictions = {"model": "baseline", "order": 1, "window": window}
    store.create_group("predictions/baseline", {}, predictions, without=schema_of("predictions/baseline").arrays.keys())
    others = set(schema_of("statistics/baseline").arrays) - {"pearson_r"}
    store.create_group("statistics/baseline", {"genes": genes}, {"model": "baseline"}, without=others)
    store.write("statistics/baseline/pearson_r", ..., np.linspace(-0.5, 0.5, genes))


def make_hostile(root: zarr.Group) -> None:
    """Names that want to be markup, formulas, or to steer a terminal; and a second model."""
    names = np.asarray(root["genes/gene_name"]).astype(object)
    names[1:5] = [HOSTILE, "\x1b[31mred\x07", "evil\u202egnp.exe", '=HYPERLINK("http://example.org")']
    root["genes/gene_name"][...] = names
    folder = Path(root.store.root)
    for group in ("predictions", "attributions", "statistics"):
        shutil.copytree(folder / group / "cnn", folder / group / MODEL)
    root[f"predictions/{MODEL}"].attrs["order"] = 1
    root.attrs["genome_build"] = HOSTILE


def damage(folder: Path) -> None:
    """Chunks that are missing, flipped, or of another size than their metadata say."""
    (folder / "attributions/cnn/ism/c/6/0").unlink()
    (folder / "statistics/cnn/driver_rank/c/8/0").unlink()
    flipped = folder / "attributions/cnn/ism/c/10/0"
    content = bytearray(flipped.read_bytes())
    content[len(content) // 2] ^= 1
    flipped.write_bytes(bytes(content))
    bomb = Zstd(3).encode(np.zeros(2**24))
    (folder / "attributions/cnn/ism/c/16/0").write_bytes(bomb + crc32c(bomb))


def crc32c(content: bytes) -> bytes:
    return int(google_crc32c.value(content)).to_bytes(4, "little")


def rewrite_metadata(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the root's zarr.json, consolidated metadata included."""
    path = folder / "zarr.json"
    metadata = json.loads(path.read_text())
    change(metadata)
    path.write_text(json.dumps(metadata))


def with_metadata(site: Path, name: str, change: Callable[[dict[str, Any]], None]) -> None:
    """The full store once more, with other metadata."""
    (site / name).mkdir()
    for path in (site / "full").iterdir():
        if path.name != "zarr.json":
            (site / name / path.name).symlink_to(path)
    shutil.copy(site / "full" / "zarr.json", site / name)
    rewrite_metadata(site / name, change)
