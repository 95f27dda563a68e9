"""expression/: written whole by what makes a store, and what statistics see of it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pdstore.analysis.residuals import residuals
from pdstore.sources.covariates import Covariates
from pdstore.store import Store


@dataclass(frozen=True)
class Adjustment:
    """What is known of people beside their expression, and what of it is taken out of that.

    Attributes
    ----------
    covariates : Covariates
        What is known.
    residualised : tuple of str
        Names of the covariates that are taken out.
    pcs : ndarray of float64, shape (people, components)
        Principal components of expression that are, too.
    """

    covariates: Covariates
    residualised: tuple[str, ...]
    pcs: NDArray[np.float64]

    @property
    def design(self) -> NDArray[np.float64]:
        """Shape (people, covariates and components that are taken out)."""
        chosen = [self.covariates.names.index(name) for name in self.residualised]
        return np.column_stack([self.covariates.values[:, chosen], self.pcs])


def write_expression(store: Store, observed: NDArray[np.float32], adjustment: Adjustment) -> None:
    """Write expression/: as measured, float32, shape (genes, people), and without what is taken out of it."""
    arrays: dict[str, NDArray[Any]] = {"observed": observed}
    if adjustment.design.shape[1]:
        arrays["residual"] = residuals(observed, adjustment.design).astype(np.float32)
    if adjustment.covariates.names:
        arrays["covariates"] = adjustment.covariates.values
        arrays["covariate_name"] = np.array(adjustment.covariates.names, dtype=object)
    sizes = {"genes": observed.shape[0], "samples": observed.shape[1], "covariates": len(adjustment.covariates.names)}
    attributes = {"residualised": list(adjustment.residualised), "expression_pcs": adjustment.pcs.shape[1]}
    without = {"residual", "covariates", "covariate_name"} - set(arrays)
    store.create_group("expression", sizes, attributes, without)
    for name, values in arrays.items():
        store.write(f"expression/{name}", ..., values)


def read_expression(store: Store, gene: int) -> NDArray[np.float64]:
    """A gene's expression without what covariates explain, or as measured where `init` was told to take out nothing.

    Parameters
    ----------
    store : Store
        The store.
    gene : int
        Row of genes/.

    Returns
    -------
    ndarray of float64, shape (people,)
        NaN where not measured.
    """
    array = "residual" if "expression/residual" in store else "observed"
    return store.read(f"expression/{array}", gene).astype(np.float64)
