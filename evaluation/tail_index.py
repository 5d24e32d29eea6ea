"""The tail index of importance weights: k of a generalised Pareto law fitted to the largest of them.

Moments of order 1/k and beyond do not exist, so above k = 1/2 the variance of a weighted mean is infinite and above 1
its mean. Vehtari, Simpson, Gelman, Yao, Gabry, "Pareto smoothed importance sampling", JMLR 2024, whose prior and size
of the tail are taken, on the fit of Zhang and Stephens, Technometrics 2009.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["fit_tail", "tail_index"]

_LEAST = 20
"""Fewer exceedances than this say nothing of a tail."""


def tail_index(weights: NDArray[np.float64]) -> float:
    """Estimated k of `weights` (n,), none negative; nan where too few differ for a tail to be seen.

    The tail are the `min(n / 5, 3 sqrt(n))` largest positive weights above the next one.
    """
    positive = weights[weights > 0]
    n = positive.shape[0]
    size = int(min(0.2 * n, 3.0 * np.sqrt(n)))
    if size < _LEAST:
        return float("nan")
    largest = np.sort(np.partition(positive, n - size - 1)[n - size - 1 :])  # the threshold and the tail
    excess = largest[1:] - largest[0]
    excess = excess[excess > 1e-12 * largest[0]]
    if excess.shape[0] < _LEAST:
        return float("nan")
    return fit_tail(excess)


def fit_tail(excess: NDArray[np.float64]) -> float:
    """The index k of the generalised Pareto law of `excess` (M,), rising and positive, drawn to 1/2 by ten rows' worth.

    With `1 + k x / sigma = 1 - b x`, k is the mean of `log(1 - b x)` given b (Zhang and Stephens, equation 6), and b
    its posterior mean over a grid under a weak prior.
    """
    M = excess.shape[0]
    grid = 30 + int(np.sqrt(M))
    quartile = excess[int(M / 4 + 0.5) - 1]
    b = (1.0 - np.sqrt(grid / (np.arange(1, grid + 1) - 0.5))) / (3.0 * quartile) + 1.0 / excess[-1]  # (G,)
    k = np.log1p(-b[:, None] * excess[None, :]).mean(axis=1)  # (G,)
    # A grid point at which k is 0 is the exponential law, where -b / k tends to 1 / mean.
    safe = np.where(np.abs(k) < 1e-12, 1.0, k)
    rate = np.where(np.abs(k) < 1e-12, 1.0 / excess.mean(), -b / safe)
    log_likelihood = M * (np.log(rate) - k - 1.0)
    chance = np.exp(log_likelihood - log_likelihood.max())
    centre = float((b * chance).sum() / chance.sum())
    found = float(np.log1p(-centre * excess).mean())
    return float((M * found + 5.0) / (M + 10.0))
