"""One door to all intervals of an off-policy estimate, by name."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError
from evaluation.estimators.result import Estimate
from evaluation.intervals.bootstrap import bootstrap_difference, bootstrap_estimate
from evaluation.intervals.concentration import TermRange, bernstein_interval, hoeffding_interval
from evaluation.intervals.cressie_read import cressie_read_interval, plain_terms
from evaluation.intervals.interval import Interval
from evaluation.intervals.means import estimate_interval, mean_interval
from evaluation.intervals.sequences import confidence_sequence

__all__ = ["METHODS", "IntervalConfig", "Method", "difference_interval", "make_interval"]

Method = Literal["student", "normal", "bootstrap", "cressie-read", "bernstein", "hoeffding", "sequence"]
METHODS: tuple[Method, ...] = get_args(Method)
"""Names of the intervals; the last three guarantee their level for any number of clusters."""


@dataclass(frozen=True, kw_only=True)
class IntervalConfig:
    """How intervals are made."""

    method: Method = "student"
    """Which of `METHODS`."""
    level: float = 0.95
    """Confidence level."""
    n_resamples: int = 1000
    """Resamples of a bootstrap."""
    seed: int = 0
    """Seed of a bootstrap."""
    bound: TermRange = field(default_factory=TermRange)
    """Range of a row's term, for "bernstein" and "hoeffding"; unknown ends are taken as seen, without guarantee."""
    reward_max: float | None = None
    """Greatest reward of a column of the weights; "sequence" needs it."""


def make_interval(
    estimate: Estimate, *, clusters: NDArray[Any] | None = None, config: IntervalConfig | None = None
) -> Interval:
    """The interval of `estimate` by the configured method.

    Args:
        estimate: An off-policy estimate; self-normalised ones have "student", "normal" and "bootstrap" intervals.
        clusters: (n,) labels of users, else sessions; None: every row for itself.
        config: Method and level.

    Raises:
        InputError: The method does not fit the estimate, or lacks `reward_max`.
    """
    c = config or IntervalConfig()
    match c.method:
        case "student" | "normal":
            return estimate_interval(estimate, clusters=clusters, level=c.level, law=c.method)
        case "bootstrap":
            return bootstrap_estimate(
                estimate, clusters=clusters, n_resamples=c.n_resamples, seed=c.seed, level=c.level
            )
        case "cressie-read":
            return cressie_read_interval(estimate, clusters=clusters, level=c.level)
        case "bernstein" | "hoeffding":
            make = bernstein_interval if c.method == "bernstein" else hoeffding_interval
            terms = plain_terms(estimate, f"the {c.method} interval")
            return make(terms, bound=c.bound, clusters=clusters, level=c.level)
        case "sequence":
            if c.reward_max is None:
                raise InputError(
                    "a confidence sequence without the greatest reward",
                    where="make_interval",
                    mend="Set IntervalConfig.reward_max: 1 for a click at a position, K for the clicks of a slate.",
                )
            return confidence_sequence(
                estimate, reward_max=c.reward_max, clusters=clusters, level=c.level
            ).last()
    raise InputError(
        f"no interval is called {c.method!r}",
        where="make_interval",
        mend=f"Choose one of {', '.join(METHODS)}.",
    )


def difference_interval(
    first: Estimate,
    second: Estimate,
    *,
    clusters: NDArray[Any] | None = None,
    config: IntervalConfig | None = None,
) -> Interval:
    """Paired interval of `first.value - second.value`: two policies, or two estimators, on the same rows of one log.

    Args:
        first: An estimate from `n` rows.
        second: Another from the same rows in the same order.
        clusters: (n,) labels of users, else sessions; None: every row for itself.
        config: Method ("student", "normal" or "bootstrap") and level.

    Raises:
        InputError: Different numbers of rows, or a method without a paired form.
    """
    c = config or IntervalConfig()
    if c.method == "bootstrap":
        return bootstrap_difference(
            first, second, clusters=clusters, n_resamples=c.n_resamples, seed=c.seed, level=c.level
        )
    if c.method not in ("student", "normal"):
        raise InputError(
            f"no paired form of the {c.method} interval",
            where="difference_interval",
            mend='Choose "student", "normal" or "bootstrap".',
        )
    one, two = np.asarray(first.terms), np.asarray(second.terms)
    if one.shape != two.shape:
        raise InputError(
            f"{one.shape[0]} against {two.shape[0]} rows",
            where="difference_interval",
            mend="Judge both policies on the same rows of one log.",
        )
    law: Literal["student", "normal"] = "normal" if c.method == "normal" else "student"
    return mean_interval(one - two, clusters=clusters, level=c.level, law=law)
