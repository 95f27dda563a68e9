"""A store → a copy to share: verified, at the level that may leave the house, with manifest and a page to look at."""

import hashlib
import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import zarr
from zarr.core.sync import sync

from pdstore.errors import StoreError, UsageError
from pdstore.lease import held_lease
from pdstore.location.copying import LARGEST_CHUNK, Progress, check_chunk
from pdstore.location.keys import parse_chunk
from pdstore.location.local import Folder
from pdstore.location.manifest import MANIFEST, FileRecord, Manifest
from pdstore.location.protocol import read_file
from pdstore.query import filled_models
from pdstore.schema import FORMAT_VERSION, SUMMARY, filled_array
from pdstore.sharing.destination import Put, destination
from pdstore.sharing.documents import citation, readme
from pdstore.sharing.page import page_files
from pdstore.sharing.summary import SMALL_COHORT, Withheld, write_summary
from pdstore.status import require_sound, store_status
from pdstore.store import Store, genes_written, open_store
from pdstore.whole import refuse_lost

Level = Literal["summary", "full"]

MIN_CARRIERS, LEAST_MIN_CARRIERS = 5, 3
"""By default; and at least: mean and standard deviation of two people are these people's values."""

_ROOT = "zarr.json"
_DOCUMENTS = ("README.md", "CITATION.cff")


@dataclass(frozen=True)
class Published:
    """What was published.

    Attributes
    ----------
    digest : str
        SHA-256 of the manifest, which has the digest of everything else.
    files, bytes : int
        Of all that the manifest lists.
    withheld : Withheld or None
        Of a summary of people, what it does not show.
    strays : int
        Files in the store's folder that are no part of it, and were not copied.
    notes : list of str
        What a user should know.
    """

    digest: str
    files: int
    bytes: int
    withheld: Withheld | None
    strays: int
    notes: list[str]


def publish(
    url: str,
    target: str,
    level: Level,
    progress: Progress,
    min_carriers: int | None = None,
    all_slopes: bool = False,
    individual_level: bool = False,
    title: str | None = None,
    authors: Sequence[str] = (),
) -> Published:
    """Publish a store. The same store, level and options give the same bytes.

    Parameters
    ----------
    url : str
        The store.
    target : str
        A new folder, a new ``.zarr.zip``, or an empty ``s3://bucket/prefix``.
    level : {"summary", "full"}
        Without anybody's data, or everything.
    progress : Progress
        Told how far it is.
    min_carriers : int, optional
        Of a summary, the least number of people that carry a shown variant, and that do not; 5 where not given.
    all_slopes : bool
        Of a summary, whether to show eQTL slopes of all shown variants, not of drivers alone: from many slopes of a
        gene, who has the genotypes can work out the expression.
    individual_level : bool
        Has to be True for "full": that people's genomes are to be in it.
    title : str, optional
        For README.md and CITATION.cff.
    authors : sequence of str
        "Family, Given", for CITATION.cff.

    Raises
    ------
    UsageError
        The level is not one that the store has, individual-level data are not wanted, or a title or author is empty.
    StoreError
        The store deviates from its schemas, is damaged or stale, or has too few people for a summary; or something is
        at `target` already. Nothing is left there.
    """
    if any(not author.strip() for author in authors):
        raise UsageError("--author names nobody; leave it out where none is to be named")
    if title is not None and not title.strip():
        raise UsageError("--title is empty; leave it out for one that is made of the store's models")
    source = open_store(url)
    _check_level(source, level, min_carriers, all_slopes, individual_level)
    least = (min_carriers or MIN_CARRIERS) if level == SUMMARY and not source.is_summary else None
    with ExitStack() as held:
        if isinstance(source.location, Folder) and "published" not in source.attributes:
            held.enter_context(held_lease(url, "publish"))
        put = held.enter_context(destination(target, progress.step))
        progress.step("checking the store")
        _check(source)
        withheld, shown = None, source
        if least is not None:
            scratch = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="pdstore-publish-")))
            withheld = write_summary(source, scratch / "summary", least, all_slopes, progress.step)
            shown = open_store(scratch / "summary")
            _check(shown)
        options = {
            "title": title,
            "authors": list(authors) or None,
            "min_carriers": least,
            "all_slopes": all_slopes or None,
        }
        return _copy(shown, level, options, put, progress, withheld)


def _check_level(
    source: Store, level: Level, min_carriers: int | None, all_slopes: bool, individual_level: bool
) -> None:
    if level == "full" and source.is_summary:
        raise UsageError(f"store {source.url} is a summary, without anybody's data: publish it with --level summary")
    if min_carriers is not None and (level == "full" or source.is_summary):
        of = "a store that is a summary already" if source.is_summary else "--level full"
        raise UsageError(f"--min-carriers is of a summary that is made of people's data, not of {of}; leave it out")
    if min_carriers is not None and min_carriers < LEAST_MIN_CARRIERS:
        raise UsageError(f"--min-carriers is {min_carriers}, but has to be at least {LEAST_MIN_CARRIERS}")
    if level == SUMMARY and not source.is_summary and not any(_filled_statistics(source)):
        raise StoreError(f"store {source.url} has no statistics that a summary could show: run pdstore fill first")
    if all_slopes and (level == "full" or source.is_summary):
        raise UsageError("--all-slopes is of a summary that is made of people's data; leave it out")
    if level == "full" and not individual_level:
        people = source.array("expression/observed").shape[1]
        raise UsageError(
            f"--level full holds the genomes of {people:,} people, their names, measured expression, haplotypes and "
            "predictions: add --yes-individual-level if who gets it may have them, or publish --level summary"
        )


def _filled_statistics(store: Store) -> Iterator[int]:
    """Number of genes with statistics, of each model."""
    for name in store.members("statistics"):
        mark = filled_array(f"statistics/{name}")
        yield len(genes_written(store, mark)) if mark in store else 0


def _check(store: Store) -> None:
    """Raise `StoreError` where a store is not as its schemas say, or what it holds is stale, damaged or lost."""
    require_sound(store)
    refuse_lost(store)


def _copy(
    store: Store, level: Level, options: dict[str, Any], put: Put, progress: Progress, withheld: Withheld | None
) -> Published:
    """Copy a store's files, and write beside them what a published store has."""
    models, of = filled_models(store), store.attributes
    # Of what was published before, what is not said anew stays.
    before = of.get("published", {})
    options = {name: before.get("options", {}).get(name) if value is None else value for name, value in options.items()}
    title = options["title"] or "Gene expression between people: " + (", ".join(models) or "measured")
    described: dict[str, Any] = {
        "level": level,
        "pdstore_format": FORMAT_VERSION,
        "pdstore_version": version("pdstore"),
        **{name: of.get(name) for name in ("genome_build", "inputs")},
        "options": options,
        "withheld": before.get("withheld") if withheld is None else asdict(withheld),
    }
    records: dict[str, FileRecord] = {}
    metadata: dict[str, Any] = {}

    def record(key: str, content: bytes) -> None:
        records[key] = FileRecord(len(content), hashlib.sha256(content).hexdigest())
        put(key, content)

    wanted, strays = _keys(store)
    sizes = store.location.sizes()
    progress.copying(sum(sizes[key] for key in wanted))
    for key in sorted(wanted):
        content = sync(read_file(store.location, key, LARGEST_CHUNK))
        if key.endswith(f"/{_ROOT}"):
            document = json.loads(content)
            # Of a store that was published before.
            document.pop("consolidated_metadata", None)
            metadata[key.removesuffix(f"/{_ROOT}")] = document
        else:
            check_chunk(store.url, key, content)
            record(key, content)
        progress.copied(len(content))
    for path, document in metadata.items():
        record(f"{path}/{_ROOT}", _json(_with_members(document, path, metadata)))
    people = 0 if level == SUMMARY else store.array("expression/observed").shape[1]
    counts = {"genes": store.array("genes/gene_tss").shape[0], "people": people}
    authors = options["authors"] or ["The authors of this store"]
    models_of = [str(store.group(f"predictions/{name}").attrs.get("model")) for name in models]
    articles = [str((of.get("options") or {}).get("source")), *models_of]
    record("README.md", readme(title, described, counts, _held(store, described["withheld"], people)))
    record("CITATION.cff", citation(title, authors, version("pdstore"), articles))
    for name, content in page_files():
        record(name, content)
    described["content_sha256"] = _content_digest(records)
    # Next to last, for without it there is no store; the manifest is the mark that all is there.
    record(_ROOT, _root(of, described, metadata))
    manifest = Manifest(described, records).to_bytes()
    put(MANIFEST, manifest)
    return Published(
        digest=hashlib.sha256(manifest).hexdigest(),
        files=len(records),
        bytes=sum(of_file.size for of_file in records.values()),
        withheld=withheld,
        strays=strays,
        notes=_notes(store, withheld, options),
    )


def _keys(store: Store) -> tuple[list[str], int]:
    """Keys of the metadata and chunks of a store, but for its root's; and how many other files lie there.

    Raises
    ------
    StoreError
        A link is in the store: what it points to may be anything.
    """
    if isinstance(store.location, Folder):
        store.location.refuse_links()
    nodes = dict(store.root.members(max_depth=None))
    grids = {
        path: tuple(-(-size // chunk) for size, chunk in zip(node.shape, node.chunks, strict=True))
        for path, node in nodes.items()
        if isinstance(node, zarr.Array)
    }
    page = {name for name, _ in page_files()} | {*_DOCUMENTS, MANIFEST, _ROOT}
    wanted, strays = [], 0
    for key, size in store.location.sizes().items():
        path, _, chunk = key.partition("/c/")
        is_metadata = key.endswith(f"/{_ROOT}") and key.removesuffix(f"/{_ROOT}") in nodes
        is_chunk = path in grids and size > 0 and parse_chunk(chunk.split("/"), grids[path]) is not None
        if is_metadata or is_chunk:
            wanted.append(key)
        elif key not in page:
            strays += 1
    return wanted, strays


def _content_digest(records: dict[str, FileRecord]) -> str:
    """SHA-256 of what `sha256sum` prints of the files, in the order of their keys."""
    lines = "".join(f"{record.sha256}  {key}\n" for key, record in sorted(records.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def _root(attributes: dict[str, Any], described: dict[str, Any], metadata: dict[str, Any]) -> bytes:
    """Metadata of the root, with those of every group and array: a reader asks for them once."""
    published = {name: described[name] for name in ("pdstore_version", "options", "withheld", "content_sha256")}
    document = {"zarr_format": 3, "node_type": "group", "attributes": attributes | {"published": published}}
    return _json(_with_members(document, "", metadata))


def _with_members(document: dict[str, Any], path: str, metadata: dict[str, Any]) -> dict[str, Any]:
    """Metadata of a node, those of a group with the metadata of all below it: a web server cannot list them."""
    if document["node_type"] != "group":
        return document
    prefix = f"{path}/" if path else ""
    below = {name.removeprefix(prefix): of for name, of in sorted(metadata.items()) if name.startswith(prefix)}
    groups = {name for name, of in below.items() if of["node_type"] == "group"}
    for name in groups - {other.rpartition("/")[0] for other in below}:
        # Of a group that says nothing of members, Zarr would ask for them.
        below[name] = below[name] | {"consolidated_metadata": _consolidated({})}
    return document | {"consolidated_metadata": _consolidated(below)}


def _consolidated(metadata: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "inline", "must_understand": False, "metadata": metadata}


def _json(document: dict[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":"), allow_nan=False).encode()


def _held(store: Store, withheld: dict[str, int] | None, people: int) -> list[str]:
    """What a published store holds, a line each."""
    status = store_status(store)
    held = [(of["group"], of) for of in status["groups"]] + [(of["array"], of) for of in status["optional"]]
    lines = [f"{path}: {of['filled']:,} of {of['genes']:,} genes" for path, of in held]
    if people:
        lines.append(f"genotypes, names, measured expression, haplotypes and predictions of {people:,} people")
    if withheld is not None:
        lines.append(
            f"of {withheld['people']:,} people, as summaries: {withheld['variants_shown']:,} of "
            f"{withheld['variants']:,} variants are carried, and not carried, by enough people to be shown"
        )
    return lines


def _notes(store: Store, withheld: Withheld | None, options: dict[str, Any]) -> list[str]:
    notes = [
        f"{group['group']} is filled for {group['filled']:,} of {group['genes']:,} genes"
        for group in store_status(store)["groups"]
        if group["state"] == "partly filled" and not store.is_summary
    ]
    if withheld is not None and withheld.people < SMALL_COHORT:
        notes.append(
            f"{withheld.people} people are few: who knows a person's genome may find out from these summaries whether "
            "that person is among them"
        )
    if options.get("all_slopes"):
        notes.append(
            "slopes of all variants are shown: who has these people's genotypes can work out their expression of a "
            "gene from about as many slopes as there are people"
        )
    return notes
