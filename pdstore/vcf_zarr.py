"""genotypes/ as VCF Zarr of Zarr format 2, for what reads nothing newer: sgkit, and vcztools everywhere."""

from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numcodecs
import numpy as np
import zarr
from numpy.typing import NDArray

from pdstore.errors import MissingDataError, UsageError
from pdstore.schema import schema_of
from pdstore.sources.text import check_new_file
from pdstore.store import Store, new_store

if TYPE_CHECKING:
    from pdstore.fill import Observer

_SAMPLES_A_CHUNK = 1_000
_MASK = "call_genotype_mask"


@dataclass(frozen=True)
class VcfZarr:
    """What `export_vcf_zarr` wrote.

    Attributes
    ----------
    variants, samples : int
        Records, people.
    leftovers : list of Path
        Hidden folders that exports to the same place left when they were killed.
    """

    variants: int
    samples: int
    leftovers: list[Path]


def export_vcf_zarr(store: Store, path: Path, observer: "Observer") -> VcfZarr:
    """Write the genotypes of a store as VCF Zarr, chunk by chunk.

    Arrays, dimensions and values are those of genotypes/: positions are 1-based, -1 is a missing allele, -2 no second
    haplotype. ``call_genotype_mask`` (bool; variants, samples, ploidy), true where there is no allele, is added.

    Parameters
    ----------
    store : Store
        The store.
    path : Path
        The new folder, whole or not at all.
    observer : Observer
        Told how it goes.

    Raises
    ------
    MissingDataError
        The store is a summary: it holds nobody's genotypes.
    UsageError
        Something is at `path`, there is no folder for it, or it lies in the store.

    References
    ----------
    The VCF Zarr specification, https://github.com/sgkit-dev/vcf-zarr-spec
    """
    if store.is_summary:
        raise MissingDataError(f"store {store.url} is a summary: nobody's genotypes are in it to export")
    if "://" not in store.url and path.resolve().is_relative_to(Path(store.url).resolve()):
        raise UsageError(f"{path} lies in the store {store.url}, which holds its own groups only; name another folder")
    check_new_file(path)
    with new_store(path, "export") as (building, _, leftovers):
        root = zarr.create_group(str(building), zarr_format=2)
        source = {"source": f"pdstore-{version('pdstore')}"}
        root.attrs.put({"vcf_zarr_version": store.group("genotypes").attrs["vcf_zarr_version"], **source})
        _copy(store, root, observer)
        # One read shows all arrays: what sgkit and xarray look for first.
        zarr.consolidate_metadata(str(building), zarr_format=2)
    variants, samples, _ = store.array("genotypes/call_genotype").shape
    return VcfZarr(variants, samples, leftovers)


def _copy(store: Store, root: zarr.Group, observer: "Observer") -> None:
    schemas = schema_of("genotypes").arrays
    sources = {name: store.array(f"genotypes/{name}") for name in schemas if f"genotypes/{name}" in store}
    variants, variants_a_chunk = sources["variant_position"].shape[0], sources["variant_position"].chunks[0]
    starts = range(0, variants, variants_a_chunk)
    for name, source in sources.items():
        _create(root, name, source, schemas[name].dims, schemas[name].description)
    genotype = "call_genotype"
    dims, what = schemas[genotype].dims, "true where a haplotype has no allele: missing, or there is no such haplotype"
    _create(root, _MASK, sources[genotype], dims, what, np.dtype(bool))
    for name in sources:
        if schemas[name].dims[0] != "variants":
            _write(root, name, 0, store.read(f"genotypes/{name}"))
    observer.step_begins("genotypes", "variants", len(starts), variants, 0)
    for start in starts:
        rows = slice(start, min(start + variants_a_chunk, variants))
        for name in sources:
            if schemas[name].dims[0] == "variants":
                values = store.read(f"genotypes/{name}", rows)
                _write(root, name, start, values)
                if name == genotype:
                    _write(root, _MASK, start, values < 0)
        observer.block_done(rows.stop - start, True)
    observer.step_ends()


def _create(
    root: zarr.Group,
    name: str,
    source: zarr.Array[Any],
    dims: tuple[str, ...],
    description: str,
    dtype: np.dtype[Any] | None = None,
) -> None:
    dtype = source.dtype if dtype is None else dtype
    is_text = dtype.kind not in "biuf"
    shuffle = numcodecs.Blosc.BITSHUFFLE if dtype.itemsize == 1 else numcodecs.Blosc.SHUFFLE
    root.create_array(
        name,
        shape=source.shape,
        dtype="T" if is_text else dtype,
        # A chunk of a large cohort is for one worker of sgkit's, and within the 2 GB of Blosc.
        chunks=tuple(
            max(1, min(chunk, _SAMPLES_A_CHUNK) if dim == "samples" else chunk)
            for dim, chunk in zip(dims, source.chunks, strict=True)
        ),
        filters=[numcodecs.VLenUTF8()] if is_text else None,
        compressors=[numcodecs.Blosc("zstd", 5, shuffle)],
        # xarray takes a fill value of this format for a missing value, and would make floats of genotypes.
        fill_value=None,
        attributes={"_ARRAY_DIMENSIONS": list(dims), "description": description},
        config={"write_empty_chunks": True},
    )


def _write(root: zarr.Group, name: str, start: int, values: NDArray[Any]) -> None:
    """Write rows of an array from `start` on, whole chunks of it."""
    array = root[name]
    assert isinstance(array, zarr.Array)
    array = array.with_config({"write_empty_chunks": True})
    array[start : start + len(values)] = values
