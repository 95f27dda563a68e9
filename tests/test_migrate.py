"""Stores of every format: each is opened or migrated, is as schemas/ says then, and answers as it did."""

import json
import shutil
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from builders import GENES, PEOPLE, listing

from pdstore.errors import JobError, LeaseError, StoreError
from pdstore.lease import held_lease
from pdstore.migrate import migrate, plan_migration
from pdstore.models.registry import ModelReference
from pdstore.query import query_gene
from pdstore.schema import FORMAT_VERSION, deviations
from pdstore.store import Store, open_any_format, open_store

Program = Callable[..., subprocess.CompletedProcess[str]]
Fill = Callable[..., None]

STORES = Path(__file__).parent / "stores"
OLDER = range(1, FORMAT_VERSION)
WEIGHTS = ModelReference("cnn", STORES / "cnn.safetensors")

DRAWN = (
    "null_mean",
    "null_sd",
    "null_t",
    "null_p",
    "fdr",
    "empirical_p",
    "empirical_fdr",
    "ci_low",
    "ci_high",
    "status",
)
"""What a fill draws: its random numbers are the version's, not the format's."""


class KilledError(Exception):
    """Stands for a kill between two writes: nothing catches it."""


def store_of(format: int, folder: Path) -> Path:
    """The kept store of a format, unpacked."""
    path = folder / f"format-{format}.zarr"
    with zipfile.ZipFile(STORES / f"format-{format}.zarr.zip") as archive:
        archive.extractall(path)
    return path


def recorded(format: int) -> list[dict[str, Any]]:
    answers: list[dict[str, Any]] = json.loads((STORES / f"format-{format}.json").read_text())
    return answers


def as_rounded_now(answer: dict[str, Any]) -> dict[str, Any]:
    """Those versions took the sign of a slope that is 0 but for rounding: now it is 0, and determines no support."""
    for driver in answer["drivers"] or []:
        if driver["eqtl_slope"] is not None and abs(driver["eqtl_slope"]) < 1e-12:
            assert len(answer["drivers"]) == 1
            driver |= {"eqtl_slope": 0.0, "support": "undetermined"}
            answer["support"] = {
                "status": "undetermined",
                "supported": 0,
                "unsupported": 0,
                "fraction_supported": None,
            }
    return answer


def answers_of(path: Path) -> list[dict[str, Any]]:
    return [query_gene(open_store(path), gene.name) for gene in GENES]


def migrate_now(path: Path) -> Store:
    migrate(str(path), plan_migration(open_any_format(path)))
    return open_store(path)


def leaves(answer: Any, where: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of an answer, and where it stands."""
    items = answer.items() if isinstance(answer, dict) else enumerate(answer) if isinstance(answer, list) else None
    if items is None:
        yield where, answer
    else:
        for key, value in items:
            yield from leaves(value, f"{where}/{key}")


def contents(path: Path, groups: tuple[str, ...]) -> dict[str, bytes]:
    return {
        file.relative_to(path).as_posix(): file.read_bytes()
        for group in groups
        for file in (path / group).rglob("*")
        if file.is_file()
    }


def arrays_of(path: Path) -> dict[str, list[Any]]:
    members = zarr.open_group(str(path), mode="r").members(max_depth=None)
    return {
        name: np.asarray(node[...]).tolist() for name, node in sorted(members, key=str) if isinstance(node, zarr.Array)
    }


def zipped(path: Path) -> Path:
    """A store in a zip file whose entries are stored as they are."""
    with zipfile.ZipFile(path.with_suffix(".zarr.zip"), "w") as archive:
        for file in sorted(path.rglob("*")):
            archive.write(file, file.relative_to(path))
    return path.with_suffix(".zarr.zip")


def test_every_format_is_kept() -> None:
    assert sorted(path.name for path in STORES.glob("format-*.zarr.zip")) == [
        f"format-{format}.zarr.zip" for format in range(1, FORMAT_VERSION + 1)
    ]


def test_the_current_format_answers_what_it_answered(tmp_path: Path) -> None:
    path = store_of(FORMAT_VERSION, tmp_path)
    assert deviations(open_store(path).root) == []
    for now, then in zip(answers_of(path), recorded(FORMAT_VERSION), strict=True):
        # An answer may have more parts by now.
        assert {part: now[part] for part in then} == then


@pytest.mark.parametrize("format", OLDER)
def test_an_older_store_is_refused_with_what_to_do(format: int, tmp_path: Path, pdstore: Program) -> None:
    path = store_of(format, tmp_path)
    with pytest.raises(StoreError, match=rf"has format {format}.*pdstore migrate -s .*format-{format}\.zarr$"):
        open_store(path)
    with pytest.raises(StoreError, match=f"has format {format}.*unpack it into a folder and run pdstore migrate"):
        open_store(zipped(path))
    refused = pdstore("query", "ALPHA", "-s", path)
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)


@pytest.mark.parametrize("format", OLDER)
def test_a_migrated_store_is_valid_and_keeps_what_stays_byte_for_byte(format: int, tmp_path: Path) -> None:
    path = store_of(format, tmp_path)
    migration = plan_migration(open_any_format(path))
    kept = (*migration.kept, "genotypes", "genes", "reference")
    before = contents(path, kept)
    store = migrate_now(path)
    assert deviations(store.root) == []
    assert contents(path, kept) == before
    for group in migration.dropped:
        assert group not in store
    assert store.attributes["counts"]["notes"][-1].startswith(f"brought from format {format} to {FORMAT_VERSION}")
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("format", OLDER)
def test_what_is_derived_is_what_the_current_pdstore_makes(format: int, tmp_path: Path) -> None:
    migrated = arrays_of(Path(migrate_now(store_of(format, tmp_path)).url))
    made = arrays_of(store_of(FORMAT_VERSION, tmp_path))
    of_sources = {name for name in made if name.split("/")[0] in ("variants", "genotypes", "expression", "genes")}
    assert of_sources <= set(migrated)
    # Of format 1 the names of counts are others, and say the same.
    differing = {name for name in migrated if str(migrated[name]) != str(made[name])}
    assert {name for name in differing if not name.endswith("count_name")} == set()


@pytest.mark.parametrize("format", OLDER)
def test_a_migrated_store_filled_again_answers_as_before(format: int, tmp_path: Path, fill_now: Fill) -> None:
    path = store_of(format, tmp_path)
    migrate_now(path)
    fill_now(open_store(path, "r+"), WEIGHTS)
    assert deviations(open_store(path).root) == []
    found = dict(leaves(answers_of(path)))
    before = dict(leaves([as_rounded_now(answer) for answer in recorded(format)]))
    compared = {where: value for where, value in before.items() if where.split("/")[-1] not in DRAWN}
    assert len(compared) > 50
    for where, value in compared.items():
        # Differences of float32 outputs: another CPU's last bits are 7e-5 of a small R.
        expected = pytest.approx(value, rel=3e-4, abs=1e-9) if isinstance(value, float) else value
        assert found[where] == expected, where


def test_what_a_model_computed_in_format_3_answers_before_anything_is_filled(tmp_path: Path) -> None:
    path = store_of(3, tmp_path)
    migration = plan_migration(open_any_format(path))
    assert set(migration.kept) >= {"predictions/cnn", "attributions/cnn"}
    store = migrate_now(path)
    before = {driver["variant"]: driver["ism"] for answer in recorded(3) for driver in answer["drivers"]}
    found = {
        variant["variant"]: variant["ism"]
        for gene in GENES
        for variant in query_gene(store, gene.name, all_variants=True)["variants"]
    }
    assert before.items() <= found.items()
    # What is not filled is null, and not what an older definition found.
    for answer in answers_of(path):
        assert (answer["n_samples"], answer["drivers"], answer["correlation"]["pearson_r"]) == (None, None, None)


@pytest.mark.parametrize("format", OLDER)
def test_a_kill_at_any_write_leaves_a_store_that_the_next_migration_finishes(
    format: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = arrays_of(Path(migrate_now(store_of(format, tmp_path / "whole")).url))
    kills = 0
    for kill_at in range(100):
        path = store_of(format, tmp_path / str(kill_at))
        written = 0

        def counting(method: Callable[..., None], kill_at: int = kill_at) -> Callable[..., None]:
            def wrapper(self: Store, *arguments: Any) -> None:
                nonlocal written
                if written == kill_at:
                    raise KilledError
                written += 1
                method(self, *arguments)

            return wrapper

        with monkeypatch.context() as patch:
            for name in ("write", "delete", "set_attributes"):
                patch.setattr(Store, name, counting(getattr(Store, name)))
            try:
                migrate_now(path)
            except KilledError:
                kills += 1
            else:
                break
        with pytest.raises(StoreError, match="pdstore migrate"):
            open_store(path)
        store = migrate_now(path)
        assert deviations(store.root) == []
        assert str(arrays_of(path)) == str(whole)
    assert kills >= 3


def test_migrating_again_does_nothing(tmp_path: Path, pdstore: Program) -> None:
    path = store_of(FORMAT_VERSION, tmp_path)
    before = contents(path, (".",))
    migrate_now(path)
    done = pdstore("migrate", "-s", path)
    assert (done.returncode, done.stdout) == (0, f"{path} has format {FORMAT_VERSION} already\n")
    assert contents(path, (".",)) == before


def test_windows_of_all_variants_go_with_what_is_derived_from_them(tmp_path: Path) -> None:
    dropped = plan_migration(open_any_format(store_of(1, tmp_path))).dropped
    assert [path for path in dropped if path.startswith("windows")] == ["windows/200bp_tss100_gene_all"]
    order = [path.split("/")[0] for path in dropped]
    assert order == sorted(order, key=["windows", "predictions", "attributions", "eqtl", "statistics"].index)
    assert "eqtl/200bp_tss100_gene_all" in dropped


def test_a_group_of_a_format_that_was_not_final_is_dropped_with_what_is_derived(tmp_path: Path) -> None:
    path = store_of(3, tmp_path)
    metadata = json.loads((path / "attributions" / "cnn" / "zarr.json").read_text())
    del metadata["attributes"]["device"]
    (path / "attributions" / "cnn" / "zarr.json").write_text(json.dumps(metadata))
    migration = plan_migration(open_any_format(path))
    assert "before format 3 was final: missing attribute 'device'" in migration.dropped["attributions/cnn"]
    assert "predictions/cnn" in migration.kept
    assert deviations(migrate_now(path).root) == []


@pytest.mark.parametrize(
    ("found", "message"),
    [(FORMAT_VERSION + 1, "update pdstore"), (0, "pdstore init"), ("4", "pdstore init"), (True, "pdstore init")],
)
def test_other_formats_are_refused_in_a_line(tmp_path: Path, found: Any, message: str, pdstore: Program) -> None:
    path = store_of(FORMAT_VERSION, tmp_path)
    metadata = json.loads((path / "zarr.json").read_text())
    metadata["attributes"]["pdstore_format"] = found
    (path / "zarr.json").write_text(json.dumps(metadata))
    refused = pdstore("migrate", "-s", path, "--yes")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert f"has format {found}" in refused.stderr
    assert message in refused.stderr
    with pytest.raises(StoreError, match=f"has format {found}"):
        open_store(path)


def test_what_cannot_be_derived_is_refused_before_anything_is_changed(tmp_path: Path) -> None:
    for name, message in (
        ("genotypes/variant_allele", "genotypes/variant_allele: missing array, which nothing in it says"),
        ("expression", "expression: missing group"),
    ):
        path = store_of(1, tmp_path / name.replace("/", "-"))
        shutil.rmtree(path / name)
        before = listing(path.parent)
        with pytest.raises(StoreError, match=f"cannot be migrated .{message}.*make it again with pdstore init"):
            migrate_now(path)
        assert listing(path.parent) == before


def test_variants_that_are_not_of_the_genotypes_are_refused_before_anything_is_changed(tmp_path: Path) -> None:
    path = store_of(1, tmp_path)
    open_any_format(path, "r+").write("variants/position", slice(0, 1), [21])
    before = contents(path, (".",))
    with pytest.raises(StoreError, match="position of variants/ is not what its genotypes say"):
        migrate_now(path)
    assert contents(path, (".",)) == before


def test_one_writes_at_a_time(tmp_path: Path) -> None:
    path = store_of(3, tmp_path)
    migration = plan_migration(open_any_format(path))
    with held_lease(str(path), "fill"), pytest.raises(LeaseError, match="is in use by pdstore fill"):
        migrate(str(path), migration)
    shutil.rmtree(path / "statistics" / "cnn")
    with pytest.raises(JobError, match="changed meanwhile"):
        migrate(str(path), migration)


def test_the_program(tmp_path: Path, pdstore: Program) -> None:
    path = store_of(3, tmp_path)
    before = contents(path, (".",))
    for options, status in ((("--dry-run",), 0), ((), 2)):
        done = pdstore("migrate", "-s", path, *options, stdin=subprocess.DEVNULL)
        assert done.returncode == status
        assert "statistics/cnn (format 3 has no levels of expression" in done.stderr
        assert "stays: windows/200bp_tss100_gene_all, windows/200bp_tss100_gene_snv, predictions/cnn" in done.stderr
        assert contents(path, (".",)) == before
    done = pdstore("migrate", "-s", path, "--yes")
    assert (done.returncode, done.stdout) == (0, f"{path} has format {FORMAT_VERSION} now, and had 3\n")
    assert f"next: pdstore fill -s {path} --model cnn --weights FILE" in done.stderr
    assert not [name for name in PEOPLE if name in done.stdout + done.stderr]
    assert pdstore("validate", "-s", path).returncode == 0
    refused = pdstore("migrate", "-s", zipped(store_of(3, tmp_path / "zip")), "--yes")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "only a store in a folder can be written to" in refused.stderr
