"""What an off-policy estimator returns: the value, how it came about, and how far it can be trusted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Estimate", "effective_sample_size", "ratio_estimate"]


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """An estimated policy value, per logged row (impression or slate).

    Every estimator here is a sum of `P` ratios of sums, `value = sum_p sum_i numerator[i, p] /
    sum_i denominator[i, p]`: a plain average has one ratio and a denominator of ones; a self-normalised
    estimator has the weights below. A bootstrap needs no more than these two arrays.
    """

    name: str
    """Name of the estimator, such as `SNIIPS`."""
    value: float
    """The estimate; nan where a self-normalised estimator has no weight at all (no overlap)."""
    terms: NDArray[np.float64]
    """(n,) one term a row with mean `value`; for self-normalised forms the linearised terms (delta method)."""
    standard_error: float
    """`sd(terms, ddof=1) / sqrt(n)`, for independent rows; see `evaluation.intervals` for clusters."""
    ess: float
    """Effective sample size `(sum w)^2 / sum w^2`, the smallest over the positions."""
    max_weight: float
    """The largest importance weight."""
    mean_weight: float
    """Mean weight, the smallest over the positions; near 1 where the log supports all the policy would do."""
    weights: NDArray[np.float64]
    """(n, P) importance weights; P is 1 or the number of positions."""
    numerator: NDArray[np.float64]
    """(n, P) sufficient statistics of the value."""
    denominator: NDArray[np.float64]
    """(n, P) sufficient statistics of the value."""


def effective_sample_size(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Kish's effective sample size of `weights` (n, P), shape (P,); 0 where all weights are 0."""
    total, squares = weights.sum(axis=0), np.square(weights).sum(axis=0)
    ess: NDArray[np.float64] = np.divide(
        np.square(total), squares, out=np.zeros_like(total), where=squares > 0
    )
    return ess


def ratio_estimate(
    name: str,
    *,
    weights: NDArray[np.float64],
    numerator: NDArray[np.float64],
    denominator: NDArray[np.float64],
) -> Estimate:
    """The sum over columns of `sum(numerator) / sum(denominator)`, with linearised terms.

    Args:
        name: Name of the estimator.
        weights: Importance weights (n, P).
        numerator: (n, P).
        denominator: (n, P), not negative.

    Returns:
        The estimate. The term of row i is `value + sum_p (numerator_ip - value_p denominator_ip) /
        mean(denominator_p)`: the first-order influence of the row, exact where the denominator is constant.
    """
    n = numerator.shape[0]
    top, bottom = numerator.sum(axis=0), denominator.sum(axis=0)  # (P,)
    if np.all(bottom > 0):
        part = top / bottom  # (P,)
        value = float(part.sum())
        terms = value + ((numerator - part * denominator) * (n / bottom)).sum(axis=1)  # (n,)
        standard_error = float(terms.std(ddof=1) / np.sqrt(n))
    else:
        value, standard_error, terms = float("nan"), float("nan"), np.full(n, np.nan)
    return Estimate(
        name=name,
        value=value,
        terms=terms,
        standard_error=standard_error,
        ess=float(effective_sample_size(weights).min()),
        max_weight=float(weights.max()),
        mean_weight=float(weights.mean(axis=0).min()),
        weights=weights,
        numerator=numerator,
        denominator=denominator,
    )
