"""Several stores of one cohort → a new store: what each of them has filled, together.

What stays as it is goes over as the files that it is; what is of all genes, such as false discovery rates, is gathered
anew. So a merged store is bit for bit what one fill of everything makes.
"""

import errno
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pdstore.chunk_files import ChunkFiles, all_chunks, region
from pdstore.cohort import (
    contig_digests,
    contig_lengths,
    mapping_of,
    require_one_cohort,
    same_values,
    united_expression,
    united_genes,
)
from pdstore.errors import DamagedDataError, LeaseError, ProvenanceError, StoreError, UsageError
from pdstore.lease import held_lease, read_lease
from pdstore.location.copying import Progress
from pdstore.location.local import Folder
from pdstore.location.room import require_room, room_named
from pdstore.merged_groups import Tally, write_group
from pdstore.schema import schema_of
from pdstore.stages.gene_window import reference_letters
from pdstore.stages.reference import write_reference
from pdstore.stages.stage import gene_label
from pdstore.status import require_sound
from pdstore.store import Store, create_store, mark_complete, new_store, open_store
from pdstore.union import GroupUnion, Part, arrays_by_gene, arrays_of_stages, unite_groups
from pdstore.whole import lost_chunks

_COMPARED, _TAKEN = ("genotypes", "variants"), ("genes", "expression", "reference")
"""Groups of all stores that have to be the same, chunk by chunk; and those that the first store has most of."""


@dataclass(frozen=True)
class Merged:
    """What `merge` made.

    Attributes
    ----------
    genes, people : int
        Of the new store.
    taken, left_out : dict of str to int
        What was taken from which store, and what was left out: in words → how many.
    notes : list of str
        What a user should know.
    """

    genes: int
    people: int
    taken: dict[str, int]
    left_out: dict[str, int]
    notes: list[str] = field(default_factory=list)


def merge(urls: Sequence[str], target: Path, progress: Progress) -> Merged:
    """Join stores of one cohort into a new store.

    It is built in a hidden folder beside `target` and renamed when it is whole. The stores may have filled other genes,
    other models, and may have been made of other genes: the union of all is made, genes and models of the first before
    those of the next. The same stores give the same bytes.

    Parameters
    ----------
    urls : sequence of str
        Two stores or more; published ones, too.
    target : Path
        The new store.
    progress : Progress
        Told how far it is.

    Returns
    -------
    Merged

    Raises
    ------
    UsageError
        Fewer than two stores.
    ProvenanceError
        They are not of one cohort, or hold other values of a gene; what, and both values.
    LeaseError
        One of them is in use.
    StoreError
        One of them is no full store, or damaged; or something is at `target` already.
    """
    stores = [open_store(url) for url in urls]
    places = [store.url.rstrip("/") if _is_remote(store) else str(Path(store.url).resolve()) for store in stores]
    if len(set(places)) < 2 or len(set(places)) < len(places):
        raise UsageError(f"merge needs two stores or more, each once, but was given {', '.join(urls)}")
    for store in stores:
        if _is_remote(store) and "published" not in store.attributes:
            raise StoreError(
                f"store {store.url} is not published: what it holds cannot be listed there; copy its folder here, or "
                "share it with pdstore publish"
            )
    with ExitStack() as held:
        unpublished = [store for store in stores if "published" not in store.attributes]
        unheld = [store for store in unpublished if isinstance(store.location, Folder) and not _hold(store, held)]
        with room_named(target.absolute().parent), new_store(target, "merge") as (building, _, leftovers):
            merged = unite(stores, building, progress)
            for store in unheld:
                _require_unwritten(store)
        if leftovers:
            names = ", ".join(map(str, leftovers))
            merged.notes.append(f"left by another merge, which was killed or still runs: {names}")
    return merged


def _is_remote(store: Store) -> bool:
    return "://" in store.url


def _hold(store: Store, held: ExitStack) -> bool:
    """Hold a store's lease; False where nobody holds it, and its folder cannot be written to, such as a colleague's."""
    try:
        held.enter_context(held_lease(store.url, "merge"))
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        _require_unwritten(store)
        return False
    return True


def _require_unwritten(store: Store) -> None:
    lease = read_lease(store.url)
    if lease is not None:
        raise LeaseError(f"store {store.url} is in use by {lease.holder}; wait for it, and merge again")


def unite(
    stores: Sequence[Store], building: Path, progress: Progress, link: bool = False, note: str | None = None
) -> Merged:
    """Write the union of stores that nobody else writes to.

    Parameters
    ----------
    stores : sequence of Store
        Two or more.
    building : Path
        A new folder.
    progress : Progress
        Told how far it is.
    link : bool
        Whether the new store may share files with them, where the file system can.
    note : str, optional
        What the new store says of how it was made; that it was merged, and of what, where not given.

    Raises
    ------
    StoreError
        As `merge` does.
    """
    progress.step("checking the stores")
    require_one_cohort(stores)
    for store in stores:
        require_sound(store)
    rows, genes = united_genes(stores)
    parts = [Part(store, own) for store, own in zip(stores, rows, strict=True)]
    unions = unite_groups(parts)
    gene_ids = genes["gene_id"].tolist()
    expression = {
        name: united_expression(stores, rows, gene_ids, name)
        for name in ("observed", "residual")
        if f"expression/{name}" in stores[0]
    }
    read, written = _sizes(parts, unions)
    if not link:
        require_room(building.parent.parent, written)
    progress.copying(read)
    out, tally = create_store(building), Tally()
    files = ChunkFiles(out, progress, link)
    for group in _COMPARED:
        copy_group(out, stores, group, files)
    _write_genes(out, stores[0], files, {f"genes/{name}": values for name, values in genes.items()}, len(gene_ids))
    of_expression = {f"expression/{name}": values for name, values in expression.items()}
    _write_genes(out, stores[0], files, of_expression, len(gene_ids))
    _write_reference(out, stores, files)
    for index, part in enumerate(parts):
        before = {row for own in rows[:index] for row in own.tolist()}
        new = sum(row not in before for row in part.rows.tolist())
        tally.take(f"genes from {part.store.url}" + (", which the stores before it lack" if index else ""), new)
    for union in unions:
        write_group(out, parts, union, files, tally)
    _refuse_lost(out, parts, unions)
    of_stores = _and([f"{len(own):,}" for own in rows])
    notes = [note or f"merged by pdstore {version('pdstore')} from stores of {of_stores} genes"]
    mark_complete(out, _attributes(out, stores, expression["observed"], notes))
    return Merged(len(gene_ids), expression["observed"].shape[1], tally.taken, tally.left_out)


def _refuse_lost(out: Store, parts: Sequence[Part], unions: Sequence[GroupUnion]) -> None:
    """Raise `DamagedDataError` where a chunk of a gene that is filled is in none of the stores that filled it."""
    union_of = {union.path: union for union in unions}
    for path, (row, *_) in lost_chunks(out):
        group, _, name = path.rpartition("/")
        is_by_gene = name in arrays_by_gene(union_of[group])
        holders = [index for index, _ in union_of[group].filled[row]] if is_by_gene else union_of[group].holders
        of_gene = f" of gene {gene_label(out, row)}" if is_by_gene else ""
        raise DamagedDataError(
            f"{path}{of_gene} has lost a chunk in {' and '.join(parts[index].store.url for index in holders)}: get it "
            "again from a copy, or drop it with pdstore clear and fill it again"
        )


def _sizes(parts: Sequence[Part], unions: Sequence[GroupUnion]) -> tuple[int, list[int]]:
    """Bytes that are read, and of each chunk that is written: what is gathered over genes is small."""
    read = 0
    written: list[int] = []
    for index, part in enumerate(parts):
        for group in _COMPARED if index else (*_COMPARED, *_TAKEN):
            for name in part.store.arrays(group):
                sizes = part.store.chunk_sizes(f"{group}/{name}").values()
                read += sum(sizes)
                written += [] if index else sizes
    for union in unions:
        for name in arrays_by_gene(union):
            chunks = [part.chunks(f"{union.path}/{name}") for part in parts]
            for held in (*union.filled.values(), *union.begun.values()):
                of_held = [chunks[index].get(row, {}).values() for index, row in held]
                read += sum(map(sum, of_held))
                written += of_held[0]
        for name in arrays_of_stages(union):
            of_chunk: dict[tuple[int, ...], int] = {}
            for part in parts:
                for row, of_gene in part.chunks(f"{union.path}/{name}").items():
                    read += sum(of_gene.values())
                    of_chunk |= {(int(part.rows[row]), *rest): size for rest, size in of_gene.items()}
            written += of_chunk.values()
    return read, written


def copy_group(out: Store, stores: Sequence[Store], group: str, files: ChunkFiles) -> None:
    """Copy a group that has to be the same in all stores, and see that it is."""
    first, names = stores[0], stores[0].arrays(group)
    for store in stores[1:]:
        if store.arrays(group) != names:
            raise ProvenanceError(
                f"{group} holds {', '.join(names)} in {first.url}, but {', '.join(store.arrays(group))} in {store.url}"
            )
        for name in names:
            shapes = [of.array(f"{group}/{name}").shape for of in (first, store)]
            if shapes[0] != shapes[1]:
                raise ProvenanceError(
                    f"{group}/{name} has shape {shapes[0]} in {first.url}, but {shapes[1]} in {store.url}: only stores "
                    "of the same genotypes can be merged"
                )
    create_like(out, first, group, {})
    for name in names:
        path = f"{group}/{name}"
        for store in stores[1:]:
            all_chunks(store, path)
        wanted = [(chunk, [(store, chunk) for store in stores]) for chunk in all_chunks(first, path)]
        for chunk, differing in files.take(path, wanted).items():
            for number in differing:
                _require_same(first, stores[number], path, region(first, path, chunk))


def _require_same(first: Store, other: Store, path: str, where: tuple[slice, ...]) -> None:
    values = [store.read(path, where) for store in (first, other)]
    if same_values(values[0], values[1]):
        return
    place = ""
    if path.startswith("genotypes/") and schema_of("genotypes").arrays[path.split("/")[1]].dims[0] == "variants":
        row = where[0].start + int(np.flatnonzero([(a != b).any() for a, b in zip(*values, strict=True)])[0])
        contig = first.read("genotypes/contig_id")[int(first.read("genotypes/variant_contig", row))]
        place = f", first at {contig}:{first.read('genotypes/variant_position', row)}"
    raise ProvenanceError(
        f"{path} is not the same in {first.url} and {other.url}{place}: only stores of the same genotypes can be merged"
    )


def create_like(out: Store, store: Store, group: str, sizes: Mapping[str, int]) -> None:
    """Create a group with the attributes and arrays that another store has."""
    schema, names = schema_of(group), store.arrays(group)
    found = {
        dim: size
        for name in names
        for dim, size in zip(schema.arrays[name].dims, store.array(f"{group}/{name}").shape, strict=True)
    }
    attributes = store.group(group).attrs.asdict()
    out.create_group(group, {**found, **sizes}, attributes, set(schema.arrays) - set(names))


def _write_genes(out: Store, first: Store, files: ChunkFiles, values: Mapping[str, NDArray[Any]], genes: int) -> None:
    """Write a group over genes: as files where no gene comes to those of the first store."""
    group = next(iter(values)).split("/")[0]
    create_like(out, first, group, {"genes": genes})
    for name in first.arrays(group):
        path = f"{group}/{name}"
        if path in values and genes != first.array(path).shape[0]:
            out.write(path, ..., values[path])
            continue
        files.take(path, [(chunk, [(first, chunk)]) for chunk in all_chunks(first, path)])


def _write_reference(out: Store, stores: Sequence[Store], files: ChunkFiles) -> None:
    """Write the contigs of all stores: those of the first, then the new ones of the next."""
    holder: dict[str, Store] = {}
    for store in stores:
        for contig in contig_digests(store):
            holder.setdefault(contig, store)
    if len(holder) == len(contig_digests(stores[0])):
        copy_group(out, stores[:1], "reference", files)
        return
    lengths = {contig: contig_lengths(store)[contig] for contig, store in holder.items()}
    write_reference(out, lengths, lambda contig: reference_letters(holder[contig], contig, 0, lengths[contig]))


def _attributes(
    out: Store, stores: Sequence[Store], observed: NDArray[np.float32], notes: Sequence[str]
) -> dict[str, Any]:
    """Attributes of the new root: those of the first store, with the inputs of all."""
    first = stores[0].attributes
    given = [mapping_of(store, "inputs") for store in stores]
    inputs = given[0] | {name: united_digests([of.get(name) for of in given]) for name in ("genes", "expression")}
    counts = [mapping_of(store, "counts") for store in stores]
    # Of what was left out of other gene tables, the same thing may be counted in each.
    same = {
        kind: {
            what: count
            for what, count in (counts[0].get(kind) or {}).items()
            if all((of.get(kind) or {}).get(what) == count for of in counts)
        }
        for kind in ("taken", "left_out")
    }
    same["taken"] |= {
        "genes": len(observed),
        "genes with measured expression": int((~np.isnan(observed).all(axis=1)).sum()),
    }
    said = dict.fromkeys(note for of in counts for note in of.get("notes") or ())
    return {
        "pdstore_version": version("pdstore"),
        "level": first["level"],
        "genome_build": first.get("genome_build"),
        "inputs": inputs | {"fasta": contig_digests(out)},
        "options": first.get("options"),
        "counts": same | {"notes": [*said, *notes]},
    }


def united_digests(digests: Sequence[Any]) -> Any:
    """One digest where all are the same, else a list of them; some may be such lists."""
    found: dict[str, None] = {}
    for of_store in digests:
        found.update(dict.fromkeys(of_store if isinstance(of_store, list) else [of_store]))
    return next(iter(found)) if len(found) == 1 else list(found)


def _and(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} and {words[-1]}"
