"""A store as one asks it from Python: `pdstore.open_store`."""

import html
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pdstore import store
from pdstore.query import FdrKind, filled_models, query_gene
from pdstore.words import number, plain

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

_LEGEND = "<small>* main driver; R: of its own term with the prediction</small>"
_NUMBERS = ("allele_frequency", "ism", "eqtl_slope", "eqtl_p", "pearson_r_with_prediction")
_COLOURS = {
    "correlated": "#0072B2",
    "supported": "#0072B2",
    "anticorrelated": "#D55E00",
    "unsupported": "#D55E00",
}


class GeneAnswer(dict[str, Any]):
    """A gene's answer: the dict of `pdstore.query_gene`, which a notebook shows as a table.

    Examples
    --------
    >>> answer = pdstore.open_store("pdstore-demo/demo.zarr").query("GSTM3")  # doctest: +SKIP
    >>> answer["correlation"]["pearson_r"], answer["drivers"][0]["variant"]  # doctest: +SKIP
    """

    def __repr__(self) -> str:
        return f"<GeneAnswer {self._name}, {plain(self['model'])}: {self._correlation}; {self._drivers}>"

    @property
    def _name(self) -> str:
        return plain(f"{self['gene']['name']} ({self['gene']['id']})")

    @property
    def _correlation(self) -> str:
        of = self["correlation"]
        if of["pearson_r"] is None:
            return "no R"
        interval = "" if of["ci_low"] is None else f" [{number(of['ci_low'])}, {number(of['ci_high'])}]"
        people = "" if self["n_samples"] is None else f" over {self['n_samples']} people"
        return f"R = {number(of['pearson_r'])}{interval}{people}, {of['status'] or 'significance unknown'}"

    @property
    def _drivers(self) -> str:
        if self["drivers"] is None:
            return "drivers not known"
        count = len(self["drivers"])
        return f"{count} driver{'' if count == 1 else 's'}, {self['support']['status']}"

    def _repr_html_(self) -> str:
        gene, of = self["gene"], self["correlation"]
        where = f"{gene['contig']}:{gene['tss']:,} ({gene['strand']}), model {self['model']}"
        rows = "".join(_html_row(driver) for driver in self["drivers"] or [])
        headings = ("driver", "to TSS (bp)", "AF", "ISM", "eQTL slope", "slope p", "R", "support")
        head = "".join(f"<th>{heading}</th>" for heading in headings)
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{_LEGEND}" if rows else ""
        return (
            f"<div><strong>{html.escape(self._name)}</strong> {html.escape(plain(where))}<br>"
            f"{_coloured(self._correlation, of['status'])}; published FDR {number(of['fdr'])}, "
            f"empirical FDR {number(of['empirical_fdr'])}<br>"
            f"{_coloured(self._drivers, self['support']['status'])}{table}</div>"
        )


class NotebookStore(store.Store):
    """A store that answers: what `pdstore.open_store` returns.

    Examples
    --------
    >>> import pdstore
    >>> s = pdstore.open_store("pdstore-demo/demo.zarr")  # doctest: +SKIP
    >>> s.query("GSTM3")  # a table in a notebook  # doctest: +SKIP
    >>> s.genes().query("status == 'anticorrelated'")  # doctest: +SKIP
    >>> s.dataset("predictions/cnn")  # an xarray Dataset, read lazily  # doctest: +SKIP
    >>> s.plot("GSTM3").savefig("gstm3.png")  # doctest: +SKIP
    """

    @property
    def models(self) -> list[str]:
        """Names of the filled models; the first is the one that is asked where none is named."""
        return filled_models(self)

    def query(
        self,
        gene: str,
        model: str | None = None,
        alpha: float = 0.05,
        fdr_kind: FdrKind = "published",
        all_variants: bool = False,
    ) -> GeneAnswer:
        """Everything that the store knows about a gene; parameters, values and errors are `pdstore.query_gene`'s."""
        return GeneAnswer(query_gene(self, gene, model, alpha, fdr_kind, all_variants))

    def genes(
        self, model: str | None = None, alpha: float = 0.05, fdr_kind: FdrKind = "published"
    ) -> "pandas.DataFrame":
        """The statistics of all genes, a row a gene: parameters and columns are `pdstore.gene_table.gene_columns`'."""
        import pandas

        from pdstore.gene_table import gene_columns

        return pandas.DataFrame(gene_columns(self, model, alpha, fdr_kind))

    def plot(self, gene: str | None = None, model: str | None = None, figures: Iterable[str] = ()) -> "Figure":
        """Figures of a gene, or of all genes, in one: `pdstore plot`.

        Parameters
        ----------
        gene : str, optional
            Symbol or identifier; all genes where not given.
        model : str, optional
            Name of a filled model; the first filled where not given.
        figures : iterable of str
            Which: of a gene "prediction", "slopes", "ism", "logo"; of all genes "significance", "models", "support",
            "drivers", "driver-count", "population". All that the store holds where not given.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        UsageError
            There is no such figure.
        MissingDataError
            The store lacks what they show.
        """
        from pdstore.figures.write import figure_of

        return figure_of(self, gene, model, tuple(figures))


def open_store(url: str | Path, cache: Path | None = None) -> NotebookStore:
    """Open a store to ask it.

    Parameters
    ----------
    url : str or Path
        A folder, a ``.zarr.zip``, ``https://…`` or ``s3://bucket/prefix``.
    cache : Path, optional
        Folder that keeps what is read of a remote store.

    Returns
    -------
    NotebookStore

    Raises
    ------
    StoreError
        There is nothing at `url`, it is no pdstore store, or it has a format that this pdstore does not read.

    Examples
    --------
    >>> import pdstore
    >>> pdstore.open_store("pdstore-demo/demo.zarr").query("GSTM3")  # doctest: +SKIP
    """
    opened = store.open_store(url, cache=cache)
    return NotebookStore(opened.location, opened.root)


def _coloured(text: str, word: str | None) -> str:
    colour = _COLOURS.get(word or "")
    return f'<span style="color:{colour}">{html.escape(text)}</span>' if colour else html.escape(text)


def _html_row(driver: dict[str, Any]) -> str:
    cells = [
        html.escape(("* " if driver["main"] else "") + plain(driver["variant"])),
        f"{driver['distance_to_tss']:+,}",
        *(number(driver[field]) for field in _NUMBERS),
        _coloured(driver["support"], driver["support"]),
    ]
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"
