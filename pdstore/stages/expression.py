"""expression/: what statistics see of it."""

import numpy as np
from numpy.typing import NDArray

from pdstore.store import Store


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
