"""Phased genotypes: VCF or BCF, checked, then converted to VCF Zarr by bio2zarr."""

import contextlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import bio2zarr.vcf
import cyvcf2
import zarr

from pdstore.errors import InputError
from pdstore.sources.genome_build import BuildClaim, build_named_in, builds_of_lengths
from pdstore.sources.text import existing_file, is_gzip, read_lines

# The empty block that ends every BGZF file (SAM specification, section 4.1.2).
_BGZF_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")


@dataclass(frozen=True)
class VcfHeader:
    """What the headers of the VCF files say.

    Attributes
    ----------
    sample_names : tuple of str
        The people, in the files' order.
    builds : tuple of BuildClaim
        Genome builds that the headers name.
    """

    sample_names: tuple[str, ...]
    builds: tuple[BuildClaim, ...]


def read_vcf_headers(paths: Sequence[Path]) -> VcfHeader:
    """Check the files before anything is converted, and read their headers.

    Parameters
    ----------
    paths : sequence of Path
        ``.vcf``, ``.vcf.gz`` or ``.bcf``; several files hold the same people.

    Raises
    ------
    InputError
        No such file, truncated, not VCF, no GT, a person twice, or files with other people.
    """
    sample_names: tuple[str, ...] | None = None
    builds: list[BuildClaim] = []
    for path in paths:
        existing_file(path, "VCF")
        _refuse_truncated(path)
        names, header = _open_header(path)
        if "##FORMAT=<ID=GT," not in header:
            raise InputError(f"VCF {path}: no GT in its header; pdstore needs phased genotypes")
        if not names:
            raise InputError(f"VCF {path}: no sample in it; pdstore needs people's genotypes")
        if sample_names is not None and names != sample_names:
            raise InputError(f"VCF {path}: its {len(names)} samples differ from those of {paths[0]}, or in their order")
        sample_names = names
        builds += _builds(path, header)
    if sample_names is None:
        raise InputError("no VCF is given: name at least one with --vcf")
    return VcfHeader(sample_names, tuple(builds))


def convert_to_vcf_zarr(paths: Sequence[Path], destination: Path, variants_chunk_size: int) -> zarr.Group:
    """Convert VCF files to VCF Zarr of format 3.

    Parameters
    ----------
    paths : sequence of Path
        Files that `read_vcf_headers` accepted.
    destination : Path
        A folder that does not exist yet.
    variants_chunk_size : int
        Variants a chunk; VCF Zarr's region index counts by it.

    Returns
    -------
    zarr.Group
        The converted hierarchy, read only.

    Raises
    ------
    InputError
        A record cannot be read; htslib's own words are in the message.
    """
    with _stderr_of_libraries() as messages, tempfile.TemporaryDirectory(dir=destination.parent) as scratch:
        try:
            bio2zarr.vcf.convert(
                [str(part) for number, path in enumerate(paths) for part in _by_contig(path, Path(scratch), number)],
                str(destination),
                variants_chunk_size=variants_chunk_size,
                zarr_format=3,
                show_progress=False,
            )
        except (InputError, OSError):
            # A full disk is no fault of the VCF.
            raise
        except Exception as error:
            # A file without an index is no error, though htslib says so where the header lacks the contigs.
            said = [line for line in _lines_of(messages) if line.startswith("[E::") and "idx_find_and_load" not in line]
            reason = (said[0] if said else str(error) or type(error).__name__).splitlines()[0]
            names = ", ".join(str(path) for path in paths)
            if len(paths) > 1 and not said:
                raise InputError(
                    f"VCF {names}: cannot be joined: {reason}; bcftools concat makes one of them"
                ) from error
            raise InputError(f"VCF {names}: a record cannot be read: {reason}") from error
    return zarr.open_group(str(destination), mode="r", zarr_format=3)


def _by_contig(path: Path, scratch: Path, number: int) -> list[Path]:
    """Files that bio2zarr reads: `path` itself, or its contigs one by one, since it wants an index for several."""
    has_index = any(path.with_name(path.name + ending).exists() for ending in (".tbi", ".csi"))
    reader = cyvcf2.VCF(str(path))
    if has_index or len(reader.seqnames) == 1:
        return [path]
    parts: dict[str, Path] = {}
    writer: Any = None
    contig = None
    for record in reader:
        if contig != record.CHROM:
            if record.CHROM in parts:
                raise InputError(
                    f"VCF records are out of order: {record.CHROM}:{record.POS} comes after records of {contig}, but "
                    f"{path} had records of {record.CHROM} before; sort the VCF (bcftools sort)"
                )
            if writer is not None:
                writer.close()
            contig = record.CHROM
            parts[contig] = scratch / f"{number}-{len(parts)}.bcf"
            writer = cyvcf2.Writer(str(parts[contig]), reader, mode="wb0")
            # Where the header lacks the contig, htslib declares it now but refuses to write this record, silently.
            record = writer.variant_from_string(str(record).rstrip("\n"))
        writer.write_record(record)
    if writer is not None:
        writer.close()
    return list(parts.values()) or [path]


def _refuse_truncated(path: Path) -> None:
    with path.open("rb") as file:
        head = file.read(18)
        if not head:
            raise InputError(f"VCF {path}: empty file")
        if head[:4] == b"\x1f\x8b\x08\x04" and head[12:14] == b"BC":
            file.seek(max(0, path.stat().st_size - len(_BGZF_END)))
            if file.read() != _BGZF_END:
                raise InputError(f"VCF {path}: truncated: it lacks the block that ends a bgzip file; copy it again")
            return
    if is_gzip(path):
        for _ in read_lines(path):
            pass


def _open_header(path: Path) -> tuple[tuple[str, ...], str]:
    """Names of the people, and the header's text."""
    with _stderr_of_libraries() as messages:
        try:
            reader = cyvcf2.VCF(str(path))
            names, header = tuple(reader.samples), str(reader.raw_header)
            reader.close()
        except Exception as error:
            duplicated = any("uplicate" in line for line in _lines_of(messages))
            reason = "two samples have the same name" if duplicated else "not a VCF or BCF file"
            raise InputError(f"VCF {path}: {reason}") from error
        if any("uplicated sample name" in line for line in _lines_of(messages)) or len(set(names)) != len(names):
            raise InputError(f"VCF {path}: two samples have the same name")
    return names, header


def _builds(path: Path, header: str) -> Iterator[BuildClaim]:
    lengths: dict[str, int] = {}
    for line in header.splitlines():
        if line.startswith(("##reference=", "##assembly=")) or ("##contig=" in line and "assembly=" in line):
            build = build_named_in(line.partition("assembly=")[2] if line.startswith("##contig=") else line)
            if build is not None:
                yield BuildClaim(build, f"{path.name} ({line.partition('=')[0]} in its header)")
        if line.startswith("##contig=<"):
            fields = dict(field.partition("=")[::2] for field in line[len("##contig=<") : -1].split(","))
            if fields.get("length", "").isdigit():
                lengths[fields["ID"]] = int(fields["length"])
    yield from builds_of_lengths(lengths, path.name)


@contextlib.contextmanager
def _stderr_of_libraries() -> Iterator[IO[bytes]]:
    """Catch what htslib writes to the process's stderr, which Python's sys.stderr does not see."""
    with tempfile.TemporaryFile() as caught:
        saved = os.dup(2)
        os.dup2(caught.fileno(), 2)
        try:
            yield caught
        finally:
            os.dup2(saved, 2)
            os.close(saved)


def _lines_of(messages: IO[bytes]) -> list[str]:
    messages.seek(0)
    return messages.read().decode("utf-8", "replace").splitlines()
