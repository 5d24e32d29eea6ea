"""The interquartile mean over runs, and its stratified bootstrap interval.

Agarwal, Schwarzer, Castro, Courville and Bellemare, "Deep reinforcement learning at the edge of the statistical
precipice", NeurIPS 2021: runs are resampled within each task, so that every task keeps its weight; the interval is
between percentiles of the resampled figures.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from evaluation.intervals import Interval

__all__ = ["interquartile_interval", "interquartile_mean"]


def interquartile_mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean of (..., n) values along the last axis without their lowest and their highest quarter, rounded down."""
    cut = values.shape[-1] // 4
    ordered = np.sort(values, axis=-1)
    return np.asarray(ordered[..., cut : values.shape[-1] - cut].mean(axis=-1))


def interquartile_interval(
    runs: Sequence[NDArray[np.float64]], *, n_resamples: int = 10_000, seed: int = 0, level: float = 0.95
) -> Interval:
    """The interquartile mean of all runs together, with its interval.

    With one run in every task there is nothing to resample: the interval is the value itself. With three runs of one
    task it says how far they lie apart and little more.

    Args:
        runs: For each task the figures (R,) of its runs.
        n_resamples: Resamples.
        seed: Of the resampling.
        level: Of the interval.
    """
    rng = np.random.default_rng(seed)
    drawn = [values[rng.integers(0, values.size, (n_resamples, values.size))] for values in runs]
    found = interquartile_mean(np.concatenate(drawn, axis=1))  # (n_resamples,)
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    together = np.concatenate(list(runs))
    return Interval(
        value=float(interquartile_mean(together)),
        low=float(low),
        high=float(high),
        standard_error=float(found.std(ddof=1)),
        level=level,
        n_clusters=together.size,
        method=f"stratified bootstrap of the interquartile mean ({n_resamples})",
    )
