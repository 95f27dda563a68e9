"""What all figures share: colours that the colour-blind tell apart, type at column width, how a file is written."""

import textwrap
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pdstore.errors import UsageError
from pdstore.sources.text import replacing_file
from pdstore.words import plain

SUPPORTED, UNSUPPORTED, NEITHER = "#0072B2", "#D55E00", "#8C8C8C"
"""Of the palette of Okabe and Ito; NEITHER is what is undetermined, or not significant."""
INK, FAINT, PALE = "#1A1A1A", "#6E6E6E", "#D9D9D9"
NUCLEOTIDES = {"A": "#009E73", "C": "#0072B2", "G": "#E69F00", "T": "#D55E00"}

COLUMN, PAGE = 3.5, 7.2
"""Width of a column and of a page of a journal, inches (89 and 183 mm)."""
_NOTE_LETTERS = 20
"""Letters of the note below that fit an inch."""
ENDINGS = ("png", "svg", "pdf")

# Keyed by names that matplotlib's stubs list one by one.
_STYLE: dict[Any, Any] = {
    "font.size": 7,
    "font.family": ["DejaVu Sans"],
    "axes.titlesize": 7.5,
    "axes.titlelocation": "left",
    "axes.labelsize": 7,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": FAINT,
    "xtick.labelcolor": INK,
    "xtick.major.width": 0.6,
    "ytick.color": FAINT,
    "ytick.labelcolor": INK,
    "ytick.major.width": 0.6,
    "legend.fontsize": 6.5,
    "legend.frameon": False,
    "legend.handletextpad": 0.3,
    "lines.linewidth": 0.8,
    "savefig.dpi": 300,
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    # Names come from stores that others made: a $ in them is no formula.
    "text.parse_math": False,
    # The same store gives the same file.
    "svg.hashsalt": "pdstore",
}

Subject = TypeVar("Subject")


@dataclass(frozen=True)
class Panel(Generic[Subject]):
    """One figure.

    Attributes
    ----------
    name : str
        What files and --figure call it.
    title : str
        What it shows, in a few words.
    about : str
        How it is read, in a sentence.
    draw : callable
        Draws it into axes and returns its caption: how many of what. Raises `MissingDataError` where the store lacks
        what it shows.
    wide : bool
        Whether it takes a page's width rather than a column's.
    quiet : bool
        Whether nothing is said where the store lacks what it shows, and others are asked for, too.
    """

    name: str
    title: str
    about: str
    draw: Callable[[Axes, Subject], str]
    wide: bool = False
    quiet: bool = False


@dataclass(frozen=True)
class Drawn:
    """A panel that was drawn: the figure, and its caption."""

    panel: Panel[Any]
    figure: Figure
    caption: str


@contextmanager
def _styled() -> Iterator[None]:
    """Draw in this style, whatever the user's matplotlibrc says."""
    with style.context(["default", _STYLE]), warnings.catch_warnings():
        # Names may have letters that the font lacks: they become boxes, which says as much.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def draw(panel: Panel[Subject], subject: Subject, source: str) -> Drawn:
    """Draw one panel as a figure of its own; `source`, the store and the model, stands below it."""
    with _styled():
        figure = Figure(figsize=(PAGE if panel.wide else COLUMN, 2.6), layout="constrained")
        axes = figure.add_subplot()
        caption = panel.draw(axes, subject)
        _note_below(figure, caption, source)
    return Drawn(panel, figure, caption)


def draw_together(panels: Sequence[Panel[Subject]], subject: Subject, source: str) -> Figure:
    """Draw several panels in one figure of a page's width: wide ones in a row of their own, the others in pairs."""
    narrow = [panel for panel in panels if not panel.wide]
    rows: list[list[Any]] = [
        [first.name, *(second.name for second in narrow[at + 1 : at + 2])] for at, first in _every_second(narrow)
    ]
    rows += [[panel.name] for panel in panels if panel.wide]
    with _styled():
        figure = Figure(figsize=(PAGE, 2.5 * len(rows)), layout="constrained")
        mosaic = figure.subplot_mosaic([row * (2 // len(row)) for row in rows])
        for panel in panels:
            caption = panel.draw(mosaic[panel.name], subject)
            mosaic[panel.name].set_title(f"{mosaic[panel.name].get_title('left')}\n{caption}", fontsize=6.5)
        _note_below(figure, source)
    return figure


def signed(r: float) -> str:
    """A correlation for a title, with the minus sign of the axes."""
    return f"{r:.2f}".replace("-", "−")


def _every_second(panels: Sequence[Panel[Any]]) -> list[tuple[int, Panel[Any]]]:
    return list(enumerate(panels))[::2]


def _note_below(figure: Figure, *lines: str) -> None:
    letters = int(figure.get_figwidth() * _NOTE_LETTERS)
    text = "\n".join(part for line in lines for part in textwrap.wrap(plain(line), letters))
    figure.supxlabel(text, x=0.01, ha="left", fontsize=5.5, color=FAINT)


def check_ending(path: Path) -> str:
    """The ending of a figure's file, without the dot; raises `UsageError` where it is none of `ENDINGS`."""
    ending = path.suffix.removeprefix(".").lower()
    if ending not in ENDINGS:
        raise UsageError(f"{path}: the ending says how it is drawn: .{', .'.join(ENDINGS)}")
    return ending


def save(figure: Figure, path: Path) -> None:
    """Write a figure, as the ending of `path` says, whole or not at all; a file that is there is replaced.

    Raises
    ------
    UsageError
        The ending is none of `ENDINGS`.
    """
    ending = check_ending(path)
    # No date: the same store gives the same file.
    metadata: dict[str, dict[str, Any]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
    with replacing_file(path) as partial, _styled():
        figure.savefig(partial, format=ending, metadata=metadata.get(ending))
