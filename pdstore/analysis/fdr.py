"""False discovery rate over genes."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import false_discovery_control


def benjamini_hochberg(p: ArrayLike) -> NDArray[np.float64]:
    """Benjamini and Hochberg's adjusted p-values, genes without a p-value left out.

    Parameters
    ----------
    p : array, shape=(genes,), float64
        NaN where a gene has none.

    Returns
    -------
    fdr : array, shape=(genes,), float64
        NaN where `p` is; those genes are not counted as tests.

    Raises
    ------
    ValueError
        If a p-value lies outside 0 to 1.
    """
    p = np.asarray(p, dtype=np.float64)
    fdr = np.full_like(p, np.nan)
    tested = ~np.isnan(p)
    fdr[tested] = false_discovery_control(p[tested])
    return fdr
