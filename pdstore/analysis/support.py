"""Does the eQTL evidence support the direction in which a model says a driver acts?"""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

SUPPORTED, UNDETERMINED, UNSUPPORTED = 1, 0, -1

SupportStatus = Literal["supported", "unsupported", "mixed", "undetermined", "no drivers"]


def support(ism: ArrayLike, slope: ArrayLike) -> NDArray[np.int8]:
    """Whether ISM and eQTL slope have the same sign.

    Parameters
    ----------
    ism : array, shape=(snvs,), any real dtype, readout units per alternate allele
    slope : array, shape=(snvs,), any real dtype, expression units per alternate allele

    Returns
    -------
    support : array, shape=(snvs,), int8
        1 supported (same sign), -1 unsupported (opposite signs), 0 undetermined (either is zero or NaN).
    """
    agreement: NDArray[np.float64] = np.sign(np.asarray(ism, np.float64)) * np.sign(np.asarray(slope, np.float64))
    return np.nan_to_num(agreement).astype(np.int8)


def fraction_supported(support_of_drivers: ArrayLike, weight: ArrayLike | None = None) -> float:
    """Share of supported drivers among a gene's supported and unsupported ones.

    Parameters
    ----------
    support_of_drivers : array, shape=(drivers,), int8
        As `support` gives it.
    weight : array, shape=(drivers,), float64, optional
        Each driver's increment, for the share weighted by it; every driver counts the same without.

    Returns
    -------
    fraction : float
        NaN where no driver is determined.
    """
    determined = np.asarray(support_of_drivers)
    weights = np.abs(determined) * (1.0 if weight is None else np.asarray(weight, dtype=np.float64))
    total = weights.sum()
    return float(weights[determined == SUPPORTED].sum() / total) if total > 0 else float("nan")


def gene_support_status(support_of_drivers: ArrayLike) -> SupportStatus:
    """A gene's status by its drivers.

    Parameters
    ----------
    support_of_drivers : array, shape=(drivers,), int8
        As `support` gives it.

    Returns
    -------
    status : str
        ``supported`` where all determined drivers are, ``unsupported`` where none is, ``mixed`` between,
        ``no drivers`` where there are none. Where there are drivers but no eQTL evidence on any (a case on which
        the published definition is silent): ``undetermined``.
    """
    determined = np.asarray(support_of_drivers)
    if not determined.size:
        return "no drivers"
    fraction = fraction_supported(determined)
    if np.isnan(fraction):
        return "undetermined"
    return "supported" if fraction == 1 else "unsupported" if fraction == 0 else "mixed"
