"""The figure of a training: losses by epoch."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from pdstore.figures.style import FAINT, SUPPORTED, UNSUPPORTED, Panel, draw, save

if TYPE_CHECKING:
    from pdstore.models.training import Epoch


def draw_losses(history: "Sequence[Epoch]", best: int, model: str, path: Path) -> None:
    """Draw losses of the training and of the validation against epochs, and which one is kept.

    Parameters
    ----------
    history : sequence of Epoch
        All epochs.
    best : int
        The number of the epoch whose weights are kept, from 1.
    model : str
        Its name.
    path : Path
        The file, .png, .svg or .pdf.
    """

    def draw_curves(axes: Axes, epochs: "Sequence[Epoch]") -> str:
        numbers = [epoch.number for epoch in epochs]
        axes.plot(numbers, [epoch.training_loss for epoch in epochs], color=SUPPORTED, label="training")
        validation = [epoch.validation_loss for epoch in epochs]
        if not np.isnan(validation).all():
            axes.plot(numbers, validation, color=UNSUPPORTED, label="validation")
        axes.axvline(best, color=FAINT, linestyle=":", label="kept")
        axes.set(xlabel="Epoch", ylabel="Loss")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend()
        return f"{len(epochs):,} epochs; the weights after epoch {best} are kept"

    panel = Panel("losses", "Losses of the training", "", draw_curves)
    save(draw(panel, history, f"model {model}").figure, path)
