"""What a published store says of itself to a person: README.md, and CITATION.cff to who cites it."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pdstore.words import counted, plain

_ARTICLES: dict[str, dict[str, Any]] = {
    "sasse2023": {
        "title": "Benchmarking of deep neural networks for predicting personal gene expression from DNA sequence "
        "highlights shortcomings",
        "author": ("Sasse", "Alexander"),
        "journal": "Nature Genetics",
        "year": 2023,
        "doi": "10.1038/s41588-023-01524-6",
    },
    "huang2023": {
        "title": "Personal transcriptome variation is poorly explained by current genomic deep learning models",
        "author": ("Huang", "Connie"),
        "journal": "Nature Genetics",
        "year": 2023,
        "doi": "10.1038/s41588-023-01574-w",
    },
    "enformer": {
        "title": "Effective gene expression prediction from sequence by integrating long-range interactions",
        "author": ("Avsec", "Žiga"),
        "journal": "Nature Methods",
        "year": 2021,
        "doi": "10.1038/s41592-021-01252-x",
    },
    "xpresso": {
        "title": "Predicting mRNA abundance directly from genomic sequence using deep convolutional neural networks",
        "author": ("Agarwal", "Vikram"),
        "journal": "Cell Reports",
        "year": 2020,
        "doi": "10.1016/j.celrep.2020.107663",
    },
    "predixcan": {
        "title": "A gene-based association method for mapping traits using reference transcriptome data",
        "author": ("Gamazon", "Eric R."),
        "journal": "Nature Genetics",
        "year": 2015,
        "doi": "10.1038/ng.3367",
    },
}
"""Source of the tables, or model of the registry → the article to cite for it."""

_BENCHMARK = ("sasse2023", "huang2023")


def citation(title: str, authors: Sequence[str], version: str, sources: Sequence[str]) -> bytes:
    """CITATION.cff of a published store.

    Parameters
    ----------
    title : str
        Of the store.
    authors : sequence of str
        "Family, Given", or the name of an entity.
    version : str
        Of pdstore.
    sources : sequence of str
        What it is made of: keys of the articles to cite, in their order; others are passed over.
    """
    lines = [
        "cff-version: 1.2.0",
        "message: If you use this store, please cite it, and the articles below.",
        f"title: {_text(title)}",
        "type: dataset",
        "authors:",
    ]
    for author in authors:
        lines += _author(author, "  ")
    lines += ["references:", "  - type: software", "    title: pdstore", f"    version: {_text(version)}"]
    lines += ["    authors:", *_author("The pdstore authors", "      ")]
    for name in dict.fromkeys(name for name in (*sources, *_BENCHMARK) if name in _ARTICLES):
        article = _ARTICLES[name]
        lines += ["  - type: article", f"    title: {_text(article['title'])}", "    authors:"]
        lines += _author(", ".join(article["author"]), "      ")
        lines += [f"    {field}: {_text(article[field])}" for field in ("journal", "doi")]
        lines.append(f"    year: {article['year']}")
    return ("\n".join(lines) + "\n").encode()


def readme(title: str, described: Mapping[str, Any], sizes: Mapping[str, int], held: Sequence[str]) -> bytes:
    """README.md of a published store.

    Parameters
    ----------
    title : str
        Of the store.
    described : mapping
        What the manifest says of it.
    sizes : mapping of str to int
        Number of genes and, of a full store, people.
    held : sequence of str
        What it holds, a line each.
    """
    level, build = described["level"], described["genome_build"]
    people = f" of {counted(sizes['people'], 'person')}" if level == "full" else ""
    lines = [
        f"# {_markdown(title)}",
        "",
        f"A [pdstore](https://pypi.org/project/pdstore) store, published at the level **{level}**: "
        f"{counted(sizes['genes'], 'gene')}{people}{', ' + _markdown(str(build)) if build else ''}.",
        "",
        *(f"- {_markdown(line)}" for line in held),
        "",
        "Open `index.html` where this folder lies on a web server, or ask for a gene (URL: that of this folder):",
        "",
        "    pip install pdstore",
        "    pdstore genes -s URL",
        "    pdstore query GENE -s URL",
        "    pdstore verify URL",
        "",
        "It is Zarr format 3, and needs no pdstore to be read; where FOLDER is a copy of it:",
        "",
        '    xarray.open_datatree(FOLDER, engine="zarr")',
        "",
        "`manifest.json` has the size and SHA-256 of every file, the digests of what the store was made of, and the "
        "options of its publication. How to cite it: `CITATION.cff`.",
    ]
    return ("\n".join(lines) + "\n").encode()


def _author(name: str, indent: str) -> list[str]:
    family, comma, given = name.partition(",")
    if comma:
        return [f"{indent}- family-names: {_text(family.strip())}", f"{indent}  given-names: {_text(given.strip())}"]
    return [f"{indent}- name: {_text(name.strip())}"]


def _text(text: str) -> str:
    """A text as YAML has it: JSON is YAML."""
    return json.dumps(plain(text), ensure_ascii=False)


def _markdown(text: str) -> str:
    """A text whose letters mean only themselves in Markdown."""
    return "".join(f"\\{letter}" if letter in "\\`*_[]<>&#|!" else letter for letter in plain(text))
