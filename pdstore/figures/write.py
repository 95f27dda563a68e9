"""Figures as files: of a gene, and of a whole store with a page that shows them."""

import html
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from pdstore.errors import MissingDataError, UsageError
from pdstore.figures.gene import GENE_PANELS, GeneSubject
from pdstore.figures.genes import GENES_PANELS, GenesSubject
from pdstore.figures.style import ENDINGS, Drawn, Panel, draw, draw_together, save
from pdstore.query import chosen_model
from pdstore.sources.text import replacing_file
from pdstore.store import Store
from pdstore.words import plain

PAGE_NAME = "index.html"
_LONGEST_STEM = 60
_OTHER_IMAGES = (".jpg", ".jpeg", ".gif", ".tif", ".tiff", ".webp", ".bmp", ".eps", ".ps")
GENE_FIGURES = tuple(panel.name for panel in GENE_PANELS)
GENES_FIGURES = tuple(panel.name for panel in GENES_PANELS)


@dataclass(frozen=True)
class Written:
    """What was drawn.

    Attributes
    ----------
    files : list of Path
        In the order in which they were written.
    left_out : dict of str to str
        Name of a figure → why it was not drawn.
    """

    files: list[Path]
    left_out: dict[str, str]


def plot_gene(store: Store, subject: GeneSubject, out: Path, ending: str = "png", only: Sequence[str] = ()) -> Written:
    """Draw the figures of a gene.

    Parameters
    ----------
    store : Store
        The store.
    subject : GeneSubject
        The gene.
    out : Path
        A folder, made where there is none, for a file a figure; or a file for all of them in one figure, whose ending
        (.png, .svg or .pdf) says how it is drawn. Files that are there are replaced.
    ending : {"png", "svg", "pdf"}
        Of the files in a folder.
    only : sequence of str
        Names of the figures; all where not given.

    Returns
    -------
    Written

    Raises
    ------
    UsageError
        There is no such figure or ending, or `out` cannot be written to.
    MissingDataError
        The store lacks what every figure shows.
    """
    panels = _chosen(GENE_PANELS, only)
    gene = subject.answer["gene"]
    shared_name = (store.read("genes/gene_name") == gene["name"]).sum() > 1
    stem = _file_name(gene["name"])
    if shared_name or stem != gene["name"] or len(stem) > _LONGEST_STEM:
        # Another gene's files must not be taken for this one's.
        stem = f"{stem[:_LONGEST_STEM]}-{_file_name(gene['id'])[:_LONGEST_STEM]}"
    source = _source(store, subject.answer["model"])
    return _write(panels, subject, source, out, ending, lambda panel: f"{stem}-{panel.name}")[0]


def plot_genes(
    store: Store, subject: GenesSubject, out: Path, ending: str = "png", only: Sequence[str] = ()
) -> Written:
    """Draw the figures over all genes, and in a folder a page, index.html, that shows them; as `plot_gene`."""
    panels = _chosen(GENES_PANELS, only)
    source = _source(store, subject.model)
    written, drawn = _write(panels, subject, source, out, ending, lambda panel: panel.name)
    if not names_file(out):
        page = out / PAGE_NAME
        with replacing_file(page) as partial:
            # A page is shared: where the store lies stays out of it.
            left_out = {name: why.replace(store.url, "") for name, why in written.left_out.items()}
            partial.write_text(_page(source, drawn, left_out, ending), encoding="utf-8")
        written.files.append(page)
    return written


def figure_of(store: Store, gene: str | None, model: str | None, only: Sequence[str]) -> Figure:
    """Figures of a gene, or of all genes where none is named, in one; errors as of `plot_gene`."""
    subject: GeneSubject | GenesSubject
    if gene is None:
        subject, panels = GenesSubject.of(store, model), _chosen(GENES_PANELS, only)
    else:
        subject, panels = GeneSubject.of(store, gene, model), _chosen(GENE_PANELS, only)
    source = _source(store, chosen_model(store, model))
    return _in_one(_drawable(panels, subject, source)[0], subject, source)


def _drawable(
    panels: Sequence[Panel[Any]], subject: GeneSubject | GenesSubject, source: str
) -> tuple[list[Drawn], dict[str, str]]:
    """The figures that the store has the values of, and why the others were left out."""
    drawn: list[Drawn] = []
    left_out: dict[str, str] = {}
    for panel in panels:
        try:
            drawn.append(draw(panel, subject, source))
        except MissingDataError as error:
            if not panel.quiet or len(panels) == 1:
                left_out[panel.name] = str(error)
    if not drawn:
        raise MissingDataError("; ".join(f"{name}: {why}" for name, why in left_out.items()))
    return drawn, left_out


def _in_one(drawn: Sequence[Drawn], subject: GeneSubject | GenesSubject, source: str) -> Figure:
    return drawn[0].figure if len(drawn) == 1 else draw_together([of.panel for of in drawn], subject, source)


def _write(
    panels: Sequence[Panel[Any]],
    subject: GeneSubject | GenesSubject,
    source: str,
    out: Path,
    ending: str,
    stem_of: Callable[[Panel[Any]], str],
) -> tuple[Written, list[Drawn]]:
    if ending not in ENDINGS:
        raise UsageError(f"figures cannot be drawn as {ending!r}: it is one of {', '.join(ENDINGS)}")
    drawn, left_out = _drawable(panels, subject, source)
    if names_file(out):
        _require_folder(out.parent)
    else:
        _make_folder(out)
    written = Written([], left_out)
    if names_file(out):
        save(_in_one(drawn, subject, source), out)
        written.files.append(out)
        return written, drawn
    for of in drawn:
        path = out / f"{stem_of(of.panel)}.{ending}"
        save(of.figure, path)
        written.files.append(path)
    return written, drawn


def _chosen(panels: Sequence[Panel[Any]], only: Sequence[str]) -> Sequence[Panel[Any]]:
    names = [panel.name for panel in panels]
    unknown = [name for name in only if name not in names]
    if unknown:
        raise UsageError(
            f"there is no figure {unknown[0]!r} {'of a gene' if panels is GENE_PANELS else 'over all genes'}: "
            f"of a gene (GENE) there are {', '.join(GENE_FIGURES)}; over all genes (--all) {', '.join(GENES_FIGURES)}"
        )
    return [panel for panel in panels if not only or panel.name in only]


def names_file(out: Path) -> bool:
    """Whether `out` names a file, rather than a folder; raises `UsageError` where it names one of another kind."""
    if out.suffix.lower() in _OTHER_IMAGES and not out.is_dir():
        raise UsageError(f"--out {out}: figures are drawn as .{', .'.join(ENDINGS)}")
    return out.suffix.removeprefix(".").lower() in ENDINGS and not out.is_dir()


def _make_folder(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out}: is a file; name a folder, or a file that ends in .{', .'.join(ENDINGS)}")
    _require_folder(out.absolute().parent)
    out.mkdir(exist_ok=True)


def _require_folder(folder: Path) -> None:
    if not folder.absolute().is_dir():
        raise UsageError(f"--out: there is no folder {folder} to put figures in")


def _source(store: Store, model: str) -> str:
    return plain(f"model {model}, {Path(store.url).resolve().name}, pdstore {version('pdstore')}")


def _file_name(name: str) -> str:
    """A name without what a file name may not hold, or what would hide it."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", name).lstrip(".") or "gene"


_STYLE_SHEET = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; max-width: 64rem; margin: 2rem auto; padding: 0 1rem; }
main { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(26rem, 100%), 1fr)); gap: 2rem; }
figure { margin: 0; }
img { width: 100%; height: auto; border: 1px solid #d9d9d9; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin: 0 0 .5rem; }
figcaption, footer { font-size: .9rem; color: #4d4d4d; }
"""


def _page(source: str, drawn: Sequence[Drawn], left_out: dict[str, str], ending: str) -> str:
    """The page of a folder of figures: what stands in a store is escaped."""
    text = html.escape
    figures = "\n".join(
        f'<figure id="{of.panel.name}">\n<h2>{text(of.panel.title)}</h2>\n{_shown(of, ending)}\n'
        f"<figcaption>{text(of.caption)}. {text(of.panel.about)}</figcaption>\n</figure>"
        for of in drawn
    )
    missing = "".join(f"<li>{text(name)}: {text(plain(why))}</li>" for name, why in left_out.items())
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{text(source)}</title>
<style>{_STYLE_SHEET}</style>
</head>
<body>
<h1>All genes: {text(source)}</h1>
<main>
{figures}
</main>
<footer>{f"<h2>Not drawn</h2><ul>{missing}</ul>" if missing else ""}</footer>
</body>
</html>
"""


def _shown(of: Drawn, ending: str) -> str:
    file, alt = f"{of.panel.name}.{ending}", html.escape(f"{of.panel.title}: {of.caption}")
    if ending == "pdf":
        return f'<p><a href="{file}">{alt} (PDF)</a></p>'
    return f'<a href="{file}"><img src="{file}" alt="{alt}"></a>'
