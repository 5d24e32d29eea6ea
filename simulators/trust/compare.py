"""Simulated against held-out: differences, a distance, and how large it would be by chance alone.

The distance of one measure is a norm of the vector of differences d between simulated and logged cells:

- rates: sum_j w_j |d_j| / sum_j w_j r_j, with w_j the share of the logged occasions and r_j the logged rate: the mean
  absolute difference as a share of the mean rate;
- shares: total variation, sum_j |d_j| / 2.

Sessions are resampled as wholes, simulated and logged ones that stand beside each other together. With D* the norm of
(resampled differences - d), the true distance lies within the upper quantile of D* around the one found, at least as
often as the confidence says, because a norm keeps the triangle inequality.

A simulator was learned from training sessions, which are a sample as well: of a right model, too, the rates are off by
about what rates of so many sessions are. Chance is therefore D* with another resampling of the logged cells added, as
large as that of the training part; its mean is what chance contributes, and the share of it at or above the distance
is the p-value of 'no difference beyond two samples'. A fit that pools is surer than the raw rates, so that p errs
towards no difference.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulators.resampling import resampled_sums
from simulators.trust.cells import Cells

__all__ = ["CellFigure", "Distance", "Measured", "Pair", "compare"]

Floats = NDArray[np.float64]
_SPLITS = 20


@dataclass(frozen=True, kw_only=True)
class CellFigure:
    """One cell: simulated and logged, each with its interval."""

    label: str
    """Which cell."""
    simulated: float
    """In simulated answers, or foretold."""
    simulated_low: float
    """Lower end of its interval."""
    simulated_high: float
    """Upper end."""
    logged: float
    """In held-out sessions."""
    logged_low: float
    """Lower end of its interval."""
    logged_high: float
    """Upper end."""
    weight: float
    """Share of the logged occasions."""


@dataclass(frozen=True, kw_only=True)
class Distance:
    """How far simulated and logged lie apart."""

    value: float
    """As found; never 0, because chance alone moves both sides."""
    low: float
    """Lower end of the interval; 0 where the held-out sample alone explains the value."""
    high: float
    """Upper end."""
    noise: float
    """What chance alone would give on average, at these numbers of training and held-out sessions."""

    @property
    def excess(self) -> float:
        """The value without what chance adds to it, about."""
        return math.sqrt(max(self.value**2 - self.noise**2, 0.0))


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One measure of both sides."""

    name: str
    """Such as 'clicks by position'."""
    simulated: Cells
    """Simulated, or foretold."""
    logged: Cells
    """Held-out."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One measure, compared."""

    name: str
    """Such as 'clicks by position'."""
    kind: str
    """'rates' or 'shares'."""
    cells: tuple[CellFigure, ...]
    """The figures."""
    distance: Distance
    """Relative mean difference of rates, total variation of shares."""
    p: float
    """Of 'no difference beyond two samples'."""
    halves: float
    """The same distance between two random halves of the held-out sessions, mean over splits: chance in halves."""
    transport: Distance | None = None
    """Wasserstein-1 distance in units of the count, where cells are ordered; values within a bin count as equal."""

    def largest(self) -> CellFigure:
        """The cell that adds most to the distance."""
        return max(self.cells, key=lambda c: abs(c.simulated - c.logged) * _weight(self.kind, c))


def _weight(kind: str, cell: CellFigure) -> float:
    return cell.weight if kind == "rates" else 1.0


def compare(
    pairs: Sequence[Pair], *, n_bootstrap: int, confidence: float, seed: int, n_train: float = math.inf
) -> list[Measured]:
    """Compare all measures on the same resampled sessions; cells without an occasion on either side are dropped.

    Args:
        pairs: Measures of both sides.
        n_bootstrap: Resamples.
        confidence: Of the intervals.
        seed: Of the resampling.
        n_train: Sessions that the simulator was learned from; infinite where it is known and not learned.
    """
    kept = [_drop_empty(pair) for pair in pairs]
    blocks = [
        part
        for pair in kept
        for part in (
            pair.simulated.events,
            pair.simulated.occasions,
            pair.logged.events,
            pair.logged.occasions,
        )
    ]
    if not blocks:
        return []
    draws = resampled_sums(np.concatenate(blocks, axis=1), n_bootstrap, seed)
    ends = np.cumsum([block.shape[1] for block in blocks])
    parts = np.split(draws, ends[:-1], axis=1)
    rng = np.random.default_rng([seed, 0x5B11])
    halves = rng.random((_SPLITS, len(blocks[0]))).argsort(axis=1) < len(blocks[0]) // 2
    learned = math.sqrt(len(blocks[0]) / n_train)
    return [
        _measure(pair, parts[4 * i : 4 * i + 4], halves, confidence, learned) for i, pair in enumerate(kept)
    ]


def _drop_empty(pair: Pair) -> Pair:
    keep = (pair.simulated.occasions.sum(axis=0) > 0) & (pair.logged.occasions.sum(axis=0) > 0)
    if keep.all() or pair.logged.kind == "shares":
        return pair

    def cut(cells: Cells) -> Cells:
        labels = tuple(label for label, kept in zip(cells.labels, keep, strict=True) if kept)
        return Cells(labels=labels, events=cells.events[:, keep], occasions=cells.occasions[:, keep])

    return Pair(name=pair.name, simulated=cut(pair.simulated), logged=cut(pair.logged))


def _ratio(events: Floats, occasions: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(events / occasions)


def _measure(
    pair: Pair, draws: Sequence[Floats], halves: NDArray[np.bool_], confidence: float, learned: float
) -> Measured:
    ours = _ratio(pair.simulated.events.sum(axis=0), pair.simulated.occasions.sum(axis=0))
    theirs = _ratio(pair.logged.events.sum(axis=0), pair.logged.occasions.sum(axis=0))
    our_draws, their_draws = _ratio(draws[0], draws[1]), _ratio(draws[2], draws[3])
    difference = ours - theirs
    # A resample without an occasion in a cell says nothing of that cell.
    moved = np.nan_to_num(our_draws - their_draws - difference)
    # Another resampling, that of the training part: independent of the row's own.
    learning = learned * np.roll(np.nan_to_num(their_draws - theirs), 1, axis=0)
    weights = pair.logged.occasions.sum(axis=0)
    weights = weights / weights.sum()

    def norm(d: Floats) -> Floats:
        if pair.logged.kind == "shares":
            return np.asarray(np.abs(d).sum(axis=-1) / 2.0)
        return np.asarray((np.abs(d) * weights).sum(axis=-1) / max(float((weights * theirs).sum()), 1e-12))

    tail = (1.0 - confidence) / 2.0
    low_high = [np.nanquantile(x, [tail, 1.0 - tail], axis=0) for x in (our_draws, their_draws)]
    cells = tuple(
        CellFigure(
            label=label,
            simulated=float(ours[j]),
            simulated_low=float(low_high[0][0, j]),
            simulated_high=float(low_high[0][1, j]),
            logged=float(theirs[j]),
            logged_low=float(low_high[1][0, j]),
            logged_high=float(low_high[1][1, j]),
            weight=float(weights[j]),
        )
        for j, label in enumerate(pair.logged.labels)
    )
    value, own, chance = float(norm(difference)), norm(moved), norm(moved + learning)
    transport = None
    if pair.logged.widths is not None and len(cells) > 1:
        widths = pair.logged.widths

        def carry(d: Floats) -> Floats:
            return np.asarray((np.abs(np.cumsum(d, axis=-1)[..., :-1]) * widths).sum(axis=-1))

        transport = _distance(float(carry(difference)), carry(moved), carry(moved + learning), confidence)
    one = halves.astype(np.float64)
    events, occasions = pair.logged.events, pair.logged.occasions
    split = _ratio(one @ events, one @ occasions) - _ratio((1.0 - one) @ events, (1.0 - one) @ occasions)
    return Measured(
        name=pair.name,
        kind=pair.logged.kind,
        cells=cells,
        distance=_distance(value, own, chance, confidence),
        p=float((1 + (chance >= value).sum()) / (1 + len(chance))),
        halves=float(norm(np.nan_to_num(split)).mean()),
        transport=transport,
    )


def _distance(value: float, own: Floats, chance: Floats, confidence: float) -> Distance:
    reach = float(np.quantile(own, confidence))
    return Distance(value=value, low=max(value - reach, 0.0), high=value + reach, noise=float(chance.mean()))
