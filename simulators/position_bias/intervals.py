"""What swaps say of examination, with intervals by resampling sessions, and whether they agree among themselves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import f as f_distribution

from simulators.clicks.scores import Figure
from simulators.position_bias.harvest import Harvest
from simulators.position_bias.swaps import all_pairs, chain, pair_sums, pivot, pooled

__all__ = ["Agreement", "SwapEstimate", "agreement", "estimate_from_swaps"]

Floats = NDArray[np.float64]
ESTIMATORS = ("pooled", "all-pairs", "pivot", "chain")


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Whether ratios against one position and products of neighbours' ratios say the same."""

    p_value: float
    """Of the hypothesis that one number for each position explains both; nan where there is nothing to compare."""
    contrasts: int
    """Positions at which both are known."""

    @property
    def disagree(self) -> bool:
        """Whether the hypothesis falls at the level of one in a hundred."""
        return bool(self.p_value < 0.01)


@dataclass(frozen=True, kw_only=True)
class SwapEstimate:
    """Examination relative to one position, by several estimators from the same swaps."""

    reference: int
    """0-based position whose examination is 1."""
    by: dict[str, tuple[Figure, ...]]
    """For each estimator, K figures; nan where it has no swaps to tell by."""
    agreement: Agreement


def estimate_from_swaps(
    found: Harvest,
    *,
    reference: int,
    tied: NDArray[np.bool_],
    n_bootstrap: int = 200,
    confidence: float = 0.95,
    seed: int = 0,
    tick: Callable[[], None] = lambda: None,
) -> SwapEstimate:
    """All estimators, with intervals over resampled sessions.

    Sessions get independent Poisson(1) weights, and impressions and clicks are counted anew. Where most strata are
    seen a few times only, the intervals are wider than they need be: resampling also deals out anew how often a
    stratum stands at each position.

    Args:
        found: The moved impressions.
        reference: 0-based position to compare with.
        tied: (K,) positions that a path of swaps joins to it; the others get nan.
        n_bootstrap: Resamples.
        confidence: Of the intervals.
        seed: Of the resamples.
        tick: Called after each resample.
    """
    k = found.n_positions
    point = _relative(*found.counts(), reference=reference, tied=tied, start=None)
    rng = np.random.default_rng([seed, 0xB1A5])
    draws = np.full((len(ESTIMATORS), n_bootstrap, k), np.nan)
    for r in range(n_bootstrap):
        weight = rng.poisson(1.0, found.n_sessions).astype(np.float64)
        draws[:, r] = _relative(*found.counts(weight), reference=reference, tied=tied, start=point[0])
        tick()
    figures = {
        name: tuple(
            Figure.of(float(np.exp(point[e, at])), np.exp(draws[e, :, at]), confidence) for at in range(k)
        )
        for e, name in enumerate(ESTIMATORS)
    }
    return SwapEstimate(
        reference=reference, by=figures, agreement=agreement(point[2] - point[3], draws[2] - draws[3])
    )


def agreement(difference: Floats, draws: Floats) -> Agreement:
    """Hotelling's test of `difference` (K,) being zero, by the covariance of its resampled values `draws` (R, K).

    Under the position-based model with relevance that does not depend on the position, the logarithm of a pivot ratio
    and of the product of neighbours' ratios differ by chance alone. At the reference and next to it they are the same
    swaps, and are left out.
    """
    spread = np.where(np.isfinite(draws), draws, 0.0).std(axis=0)
    use = np.isfinite(difference) & (np.isfinite(draws).mean(axis=0) > 0.9) & (spread > 1e-9)
    q, sample = int(use.sum()), draws[:, use]
    sample = sample[np.isfinite(sample).all(axis=1)]
    n = len(sample)
    if q == 0 or n <= 5 * q:
        return Agreement(p_value=float("nan"), contrasts=q)
    covariance = np.atleast_2d(np.cov(sample, rowvar=False))
    statistic = float(difference[use] @ np.linalg.pinv(covariance, hermitian=True) @ difference[use])
    scaled = statistic * (n - q) / (q * (n - 1))
    return Agreement(p_value=float(f_distribution.sf(scaled, q, n - q)), contrasts=q)


def _relative(
    shown: Floats, clicked: Floats, *, reference: int, tied: NDArray[np.bool_], start: Floats | None
) -> Floats:
    """(4, K) log gamma relative to the reference by each estimator."""
    sums = pair_sums(shown, clicked)
    joint = pooled(shown, clicked, start=start)
    out = np.stack(
        [
            joint - joint[reference],
            (pairs := all_pairs(sums)) - pairs[reference],
            pivot(sums, reference),
            chain(sums, reference),
        ]
    )
    return np.where(tied, out, np.nan)
