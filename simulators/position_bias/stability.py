"""Whether relevance stayed what it was while items moved: what harvesting takes for granted, tested where it can be.

Sessions are cut in two halves by time. A query and item shown *at the same position* in both halves should be
clicked at the same rate in both. `drift` is the ratio, later over earlier, over all that stayed; `by_direction` is
that of items that a later ranking moved up over that of items it moved down. If it is not one, rank followed
relevance (a season, a price, a campaign), and what swaps say of examination is mixed with it: items were higher
while they were better, which makes upper positions look better than they are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulators.clicks.scores import Figure
from simulators.position_bias.harvest import Harvest
from simulators.position_bias.swaps import pair_sums

__all__ = ["Stability", "measure_stability"]

Floats = NDArray[np.float64]
_WIDEST = 1.0
"""Standard error of a logarithm beyond which a ratio tells nothing."""


@dataclass(frozen=True, kw_only=True)
class Stability:
    """Ratios of click rates of the same items at the same positions; nan where too few stayed to tell."""

    drift: Figure
    """Later half over earlier half."""
    by_direction: Figure
    """That ratio of items moved up, over that of items moved down."""

    @property
    def tested(self) -> bool:
        """Whether enough items stood at the same position in both halves."""
        return math.isfinite(self.by_direction.value)

    @property
    def moves_follow_relevance(self) -> bool:
        """Whether the interval of `by_direction` excludes one."""
        return self.tested and (self.by_direction.low > 1.0 or self.by_direction.high < 1.0)


def measure_stability(
    found: Harvest, *, n_bootstrap: int = 200, confidence: float = 0.95, seed: int = 0
) -> Stability:
    """Compare the halves of the log, with intervals over resampled sessions."""
    later = (found.session >= found.n_sessions / 2).astype(np.int64)
    direction = _direction(found, later)
    cell = found.stratum * found.n_positions + found.position
    # Cells in both halves alone can speak, and only those of items that moved one way or the other by direction.
    n_cells = int(cell.max(initial=-1)) + 1
    both = (np.bincount(cell, later, n_cells) > 0) & (np.bincount(cell, 1 - later, n_cells) > 0)
    keep = both[cell]
    if not keep.any():
        nothing = Figure.of(math.nan, np.empty(0), confidence)
        return Stability(drift=nothing, by_direction=nothing)
    kept = found.take(keep)
    _, row = np.unique(cell[keep], return_inverse=True)
    of_row = np.zeros(int(row.max()) + 1)
    of_row[row] = direction[found.stratum[keep]]

    def ratios(weight: Floats) -> tuple[float, float]:
        shown, clicked = kept.table(row.astype(np.int64), later[keep], weight, (len(of_row), 2))
        up, down = of_row < 0, of_row > 0
        every, rising, falling = (
            float(pair_sums(shown[some], clicked[some]).log_ratio()[1, 0])
            for some in (np.ones(len(of_row), bool), up, down)
        )
        return every, rising - falling

    rng = np.random.default_rng([seed, 0x57AB])
    point = ratios(kept.weight)
    draws = np.array(
        [ratios(kept.weight * rng.poisson(1.0, found.n_sessions)[kept.session]) for _ in range(n_bootstrap)]
    )
    return Stability(
        drift=_figure(point[0], draws[:, 0], confidence),
        by_direction=_figure(point[1], draws[:, 1], confidence),
    )


def _direction(found: Harvest, later: NDArray[np.int64]) -> Floats:
    """(S,) mean position in the later half minus that in the earlier; 0 where one is missing."""
    n = found.n_strata
    mean = []
    for half in (0, 1):
        here = later == half
        count = np.bincount(found.stratum[here], minlength=n)
        total = np.bincount(found.stratum[here], found.position[here].astype(np.float64), n)
        mean.append(np.where(count > 0, total / np.maximum(count, 1), np.nan))
    return np.asarray(np.nan_to_num(mean[1] - mean[0]))


def _figure(log_ratio: float, draws: Floats, confidence: float) -> Figure:
    known = draws[np.isfinite(draws)]
    if not math.isfinite(log_ratio) or len(known) < 0.9 * len(draws) or known.std() > _WIDEST:
        return Figure.of(math.nan, draws, confidence)
    return Figure.of(math.exp(log_ratio), np.exp(draws), confidence)
