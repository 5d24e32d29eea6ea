"""Do users respond item by item, from the top down, or to the page as a whole? A test by what estimators disagree on.

IIPS, RIPS and SIPS estimate the same value from the same rows if a position's reward depends on its own item alone.
If it depends on items above too, IIPS is biased and the others agree; if on the whole page, RIPS is biased as well.
The idea is Hausman's (Econometrica 1978): an estimator that is precise under an assumption against one that does
without. Here the variance of the difference comes from the paired differences of the rows, summed by user, so that no
estimator has to be efficient.

With the mean d (q,) of q differences and their clustered covariance S, `d' S^-1 d (C - q) / (q (C - 1))` is compared
with F(q, C - q) (Hotelling 1931). Weights cannot show a wrong assumption; this can, as far as its power goes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import chndtr, fdtrc, ndtri

from behavior.errors import InputError
from evaluation.estimators.result import Estimate
from evaluation.intervals import Interval, mean_interval
from evaluation.intervals.interval import check_level, cluster_index, cluster_sums

__all__ = ["Disagreement", "Step", "Structure", "disagreement_test"]

Structure = Literal["independent", "cascade", "whole slate"]
_ORDER: tuple[Structure, ...] = ("independent", "cascade", "whole slate")


@dataclass(frozen=True, kw_only=True)
class Step:
    """An assumption against the next weaker one."""

    assumed: Structure
    """What the narrower estimator assumes."""
    against: Structure
    """What the other assumes."""
    difference: Interval
    """Narrower minus wider estimator, paired."""
    p_value: float
    """Chance of so large a difference if both assumptions hold."""
    detectable: float
    """The true difference that would be found with a chance of 80 %."""
    power: float
    """Chance of finding a difference as large as `relevant` times the value."""


@dataclass(frozen=True, kw_only=True)
class Disagreement:
    """Result of the test."""

    steps: tuple[Step, ...]
    """From the strongest assumption on."""
    statistic: float
    """Hotelling's T^2 scaled to F, of all differences together; nan where it is undetermined."""
    p_value: float
    """Chance of so large a statistic if all assumptions hold; 1 where nothing differs."""
    level: float
    """Confidence level: an assumption is rejected at 1 - level."""
    relevant: float
    """Size of a difference that matters, as a share of the value."""
    n_clusters: int
    """Independent units."""

    @property
    def rejected(self) -> bool:
        """Whether the estimators disagree more than chance explains."""
        return self.p_value < 1 - self.level

    @property
    def supported(self) -> Structure:
        """The strongest assumption that is not rejected; 'whole slate' where all are.

        Nothing is rejected unless the test of all together is; then the strongest is, and all up to the last step whose
        own test is.
        """
        if not self.rejected:
            return self.steps[0].assumed
        fallen = [number + 1 for number, step in enumerate(self.steps) if step.p_value < 1 - self.level]
        last = max(fallen, default=1)
        return self.steps[last].assumed if last < len(self.steps) else self.steps[-1].against

    @property
    def words(self) -> str:
        """One sentence for a reader."""
        weak = [s for s in self.steps if s.power < 0.8]
        if self.rejected:
            named = next((s for s in self.steps if s.p_value < 1 - self.level), None)
            which = f": {named.assumed} against {named.against} users" if named else ""
            return f"The estimators disagree more than chance explains (p = {self.p_value:.2g}){which}."
        if weak:
            chance = min(s.power for s in weak)
            return (
                f"No disagreement found (p = {self.p_value:.2g}), but a difference of {self.relevant:.0%} of the value "
                f"would be seen with a chance of {chance:.0%} only: this proves little."
            )
        return f"The estimators agree as far as chance allows (p = {self.p_value:.2g})."


def disagreement_test(
    estimates: Mapping[Structure, Estimate],
    *,
    clusters: NDArray[Any] | None = None,
    level: float = 0.95,
    relevant: float = 0.05,
) -> Disagreement:
    """Tests whether estimates under different assumptions on users disagree more than chance explains.

    Args:
        estimates: Two or three of {"independent": IIPS, "cascade": RIPS, "whole slate": SIPS}, from the same rows; or
            their self-normalised forms, which are steadier.
        clusters: (n,) users, else sessions; None: every row for itself.
        level: Confidence level.
        relevant: The difference, as a share of the value, for which the power is stated.

    Raises:
        InputError: Fewer than two estimates, different rows, or an estimate without a value.
    """
    check_level(level)
    names = [name for name in _ORDER if name in estimates]
    if len(names) < 2 or len(names) < len(estimates):
        raise InputError(
            f"estimates {sorted(estimates)}",
            where="disagreement_test",
            mend="Pass two or three of 'independent' (IIPS), 'cascade' (RIPS) and 'whole slate' (SIPS).",
        )
    terms = [np.asarray(estimates[name].terms) for name in names]
    if len({t.shape for t in terms}) > 1 or not all(np.isfinite(t).all() for t in terms):
        raise InputError(
            "estimates of different rows, or without a value",
            where="disagreement_test",
            mend="Judge one policy on the same rows with each estimator, where each has support.",
        )
    # The estimator of the weakest assumption is the one to measure differences against.
    scale = abs(estimates[names[0]].value)
    steps = tuple(
        _step(a, b, terms[i] - terms[i + 1], clusters, level, relevant * scale)
        for i, (a, b) in enumerate(pairwise(names))
    )
    differences = np.column_stack([a - b for a, b in pairwise(terms)])  # (n, q)
    statistic, p_value, count = _hotelling(differences, clusters)
    return Disagreement(
        steps=steps, statistic=statistic, p_value=p_value, level=level, relevant=relevant, n_clusters=count
    )


def _step(
    assumed: Structure,
    against: Structure,
    difference: NDArray[np.float64],
    clusters: NDArray[Any] | None,
    level: float,
    size: float,
) -> Step:
    found = mean_interval(difference, clusters=clusters, level=level)
    error = found.standard_error
    freedom = found.n_clusters - 1
    if not error > 0:
        same = abs(found.value) < 1e-12
        undecided = not np.isfinite(error)
        return Step(
            assumed=assumed,
            against=against,
            difference=found,
            p_value=1.0 if same or undecided else 0.0,
            detectable=float("inf") if undecided else 0.0,
            power=0.0 if undecided else 1.0,
        )
    return Step(
        assumed=assumed,
        against=against,
        difference=found,
        p_value=float(fdtrc(1, freedom, (found.value / error) ** 2)),
        detectable=float((ndtri(0.5 + level / 2) + ndtri(0.8)) * error),
        power=float(1 - chndtr(float(ndtri(0.5 + level / 2)) ** 2, 1, (size / error) ** 2)),
    )


def _hotelling(differences: NDArray[np.float64], clusters: NDArray[Any] | None) -> tuple[float, float, int]:
    n = differences.shape[0]
    dense, count = cluster_index(clusters, n)
    mean = differences.mean(axis=0)
    sums = cluster_sums(differences - mean, dense, count)
    # Differences that are 0 in every row, as with a slate of one, take no part.
    kept = np.flatnonzero(np.abs(differences).max(axis=0) > 1e-12)
    q = kept.size
    if q == 0:
        return 0.0, 1.0, count
    if count <= q + 1:
        return float("nan"), 1.0, count
    covariance = count / (count - 1) * (sums[:, kept].T @ sums[:, kept]) / n**2  # (q, q)
    square = float(mean[kept] @ np.linalg.pinv(covariance, rcond=1e-12, hermitian=True) @ mean[kept])
    statistic = square * (count - q) / (q * (count - 1))
    return statistic, float(fdtrc(q, count - q, statistic)), count
