"""Whether a policy keeps a bound: the probability that a page or a session meets it, with an interval.

    p = sum_i w_i 1[m_i meets the bound] / sum_i w_i

The interval is that of Korn and Graubard (Confidence intervals for proportions with small expected number of positive
counts estimated from survey data, Survey Methodology 1998): Clopper and Pearson's with the number of units that a
simple sample of the same variance would have. It has a width where all logged units meet the bound, unlike the delta
method's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaincinv, stdtrit

from behavior.errors import InputError
from evaluation.estimators.distribution import reward_distribution
from evaluation.estimators.result import Estimate, ratio_estimate
from evaluation.intervals.interval import Interval, check_level
from evaluation.intervals.means import estimate_interval

__all__ = ["Constraint", "constraint_probability"]


@dataclass(frozen=True, kw_only=True)
class Constraint:
    """How often a bound is met under the policy judged."""

    interval: Interval
    """Probability that a unit meets the bound, inside [0, 1]."""
    required: float | None
    """Share of units that is to meet it; None where none was named."""
    verdict: Literal["kept", "broken", "open", ""]
    """'kept': surely at least `required`; 'broken': surely less; 'open': the log cannot tell; '' without `required`."""
    estimate: Estimate
    """The estimate, one term a unit."""
    ess: float
    """Effective number of clusters."""
    warnings: tuple[str, ...]
    """What a reader must know beside the figure."""


def constraint_probability(
    metric: ArrayLike,
    weights: ArrayLike,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    clusters: ArrayLike | None = None,
    required: float | None = None,
    level: float = 0.95,
) -> Constraint:
    """The probability that a unit's metric lies within bounds under the policy judged.

    Right under the assumptions of the weights: a metric of a whole page needs joint propensities of pages, one of a
    whole session the weight of the session. A metric that is known before the page is answered (its diversity, its
    sponsored share) needs weights all the same, because it is of the logged page.

    Args:
        metric: (n,) figure of each page or session.
        weights: (n,) importance weight of each.
        at_least: Lower bound, itself allowed.
        at_most: Upper bound, itself allowed.
        clusters: (n,) label of each unit's session or user; None: every unit for itself.
        required: Share of units that is to meet the bounds.
        level: Confidence level; the verdict errs with at most half of what is left.

    Raises:
        InputError: No bound, bounds that exclude each other, or metrics and weights that are not finite.
    """
    check_level(level)
    where = "constraint"
    if at_least is None and at_most is None:
        raise InputError("no bound", where=where, mend="Pass at_least=, at_most= or both.")
    low, high = -np.inf if at_least is None else at_least, np.inf if at_most is None else at_most
    if not low <= high:
        raise InputError(f"at least {low} and at most {high}", where=where, mend="Swap the bounds.")
    if required is not None and not 0 <= required <= 1:
        raise InputError(f"a required share of {required}", where=where, mend="Pass a share in [0, 1].")
    units = reward_distribution(
        metric, weights, clusters=clusters
    )  # its checks, clusters and effective number
    met = ((units.values >= low) & (units.values <= high)).astype(np.float64)
    w = units.weights[:, None]
    estimate = ratio_estimate("constraint", weights=w, numerator=w * met[:, None], denominator=w)
    count = int(units.clusters.max()) + 1
    interval = _korn_graubard(estimate, units.clusters, count, units.ess, level)
    verdict: Literal["kept", "broken", "open", ""] = ""
    if required is not None:
        verdict = "kept" if interval.low >= required else "broken" if interval.high < required else "open"
    return Constraint(
        interval=interval,
        required=required,
        verdict=verdict,
        estimate=estimate,
        ess=units.ess,
        warnings=units.warnings,
    )


def _korn_graubard(
    estimate: Estimate, clusters: NDArray[np.intp], count: int, ess: float, level: float
) -> Interval:
    p = min(max(estimate.value, 0.0), 1.0)
    plain = estimate_interval(estimate, clusters=clusters, level=level)
    error = plain.standard_error
    if count < 2:
        low, high = 0.0, 1.0
    else:
        n = estimate.terms.shape[0]
        # Where all or none meet the bound there is no variance to go by: as many units as the weights are worth.
        size = p * (1 - p) / error**2 if 1e-9 < p < 1 - 1e-9 and error > 0 else ess
        size = min(size, float(n))
        tail = (1 - level) / 2
        size *= (stdtrit(n - 1, 1 - tail) / stdtrit(count - 1, 1 - tail)) ** 2  # few clusters
        hits = p * size
        low = float(betaincinv(hits, size - hits + 1, tail)) if hits > 0 else 0.0
        high = float(betaincinv(hits + 1, size - hits, 1 - tail)) if size - hits > 0 else 1.0
    return Interval(
        value=p,
        low=low,
        high=high,
        standard_error=error,
        level=level,
        n_clusters=count,
        method="Korn-Graubard",
    )
