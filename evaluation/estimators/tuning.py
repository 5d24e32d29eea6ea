"""The choice of an estimator's hyper-parameter (a clipping, switching or shrinking level) from the log itself.

Two ways, over any function that maps a parameter to an `Estimate`:

- `tune_slope`: SLOPE (Su, Srinath and Krishnamurthy, Adaptive estimator selection for off-policy evaluation, ICML
  2020), in the form of Tucker and Lee (Improved estimator selection for off-policy evaluation, 2021): from the
  most to the least uncertain candidate, go on as long as `|v_i - v_j| <= c_i + (sqrt(6) - 1) c_j` for all
  candidates j passed before, `c` being half widths of confidence; the last that agrees is chosen. No bias is
  ever estimated.
- `tune_mse`: the least estimated mean squared error, `variance + bias^2` (Su, Dimakopoulou, Krishnamurthy and
  Dudik, Doubly robust off-policy evaluation with shrinkage, ICML 2020), the bias against an unbiased
  reference. Its square is too large on average by the variance of the difference, which is taken off:
  without that (or with an upper bound in its place) the reference, whose own bias is 0 by definition, wins almost
  always, however wild it is: the choice runs off to infinity.

Neither runs off in silence: `Tuned.at_end` and `Tuned.warning` say when a choice stands at an end of its grid,
when candidates have no finite value, and when nothing could be told apart.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from behavior.errors import InputError
from evaluation.estimators.result import Estimate
from evaluation.intervals.interval import cluster_index
from evaluation.intervals.means import mean_interval

__all__ = ["Candidate", "TuneConfig", "Tuned", "tune_mse", "tune_slope"]

_SLOPE = math.sqrt(6.0) - 1.0


@dataclass(frozen=True, kw_only=True)
class TuneConfig:
    """How sure the choice has to be."""

    delta: float = 0.05
    """Chance with which one half width may fail, two-sided."""
    few: int = 200
    """Below this number of independent units the half widths, and the variance in the mean squared error, are
    upper bounds (empirical Bernstein) instead of Student's, which are too small where hardly any reward was seen."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One parameter of the grid."""

    parameter: float
    """As given."""
    value: float
    """The estimate with it."""
    standard_error: float
    """Of the estimate, by clusters."""
    score: float
    """Half width of confidence (`tune_slope`), or estimated mean squared error (`tune_mse`)."""
    usable: bool
    """Whether value and score are finite; others are never chosen."""


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """A chosen parameter, and all that one should know before believing it."""

    estimate: Estimate
    """The estimate with the chosen parameter. Its standard error does not count the choice."""
    parameter: float
    """The chosen parameter."""
    same: tuple[float, ...]
    """All parameters of the grid that give the same estimate as the chosen one (it among them)."""
    at_end: Literal["least", "largest"] | None
    """The end of the grid (by size of the usable parameters) at which the choice stands, where a wider grid might
    have moved it; None inside, or where a parameter inside gives the same estimate."""
    warning: str
    """What to look at, in words; empty where there is nothing."""
    candidates: tuple[Candidate, ...]
    """All of the grid, in its order."""


def tune_slope(
    estimator: Callable[[float], Estimate],
    grid: Sequence[float],
    *,
    clusters: NDArray[Any] | None = None,
    config: TuneConfig | None = None,
) -> Tuned:
    """Chooses by SLOPE: the least uncertain candidate that agrees with all more uncertain ones.

    Assumes that the most uncertain candidate is (nearly) unbiased, and that half widths hold; bias need not grow
    steadily along the grid.

    Args:
        estimator: Maps a parameter to its estimate on one and the same log.
        grid: Candidates; infinity may be among them.
        clusters: (n,) labels of users or sessions, whose rows are not independent.
        config: How sure the choice has to be.

    Raises:
        InputError: An empty or repeated grid, or no candidate with a finite value and width.
    """
    config, clusters = _checked(config), _numbered(clusters)
    made = _made(estimator, grid, clusters)
    found = [_candidate(one, _half_width(one, config)) for one in made]
    # Widest first; equal ones stay in the order of the grid.
    order = sorted((i for i, one in enumerate(found) if one.usable), key=lambda i: -found[i].score)
    _some("tune_slope", order)
    passed: list[Candidate] = []
    for i in order:
        one = found[i]
        # An equal estimate must pass its own test, whatever rounding does.
        slack = 1e-12 * abs(one.value)
        if any(abs(one.value - two.value) > one.score + _SLOPE * two.score + slack for two in passed):
            break
        passed.append(one)
    return _tuned(passed[-1], made, found)


def tune_mse(
    estimator: Callable[[float], Estimate],
    grid: Sequence[float],
    *,
    reference: float,
    clusters: NDArray[Any] | None = None,
    corrected: bool = True,
    config: TuneConfig | None = None,
) -> Tuned:
    """Chooses the least estimated mean squared error, `variance + max(0, d^2 - var(d))`.

    `d` is the difference to the reference, and `var(d)` the variance of that *paired* difference; the bias is
    taken to be none where it cannot be told from chance, so the choice leans to candidates of little variance.

    Args:
        estimator: Maps a parameter to its estimate on one and the same log.
        grid: Candidates; infinity may be among them.
        reference: Parameter at which the estimator is unbiased (infinity for clipping, switching and optimistic
            shrinkage, 0 for sub-Gaussian weights); it need not be in the grid.
        clusters: (n,) labels of users or sessions, whose rows are not independent.
        corrected: Whether `var(d)` is taken off. Without it the score is the plain one of Su et al. (2020),
            which leans to the reference.
        config: From when on the variance is an upper bound.

    Raises:
        InputError: An empty or repeated grid, no finite candidate, or a reference without a finite value.
    """
    config, clusters = _checked(config), _numbered(clusters)
    made = _made(estimator, grid, clusters)
    unbiased = _Made.of(estimator, float(reference), clusters)
    if not (math.isfinite(unbiased.estimate.value) and math.isfinite(unbiased.standard_error)):
        raise InputError(
            f"the estimate at the reference {reference:g} has no finite value or error",
            where="tune_mse",
            mend="Choose the largest parameter that has one as the reference, and say so with the figure.",
        )
    found = []
    for one in made:
        difference = one.estimate.value - unbiased.estimate.value
        bias = difference**2
        if corrected and math.isfinite(difference):
            apart = mean_interval(one.estimate.terms - unbiased.estimate.terms, clusters=clusters)
            bias = max(0.0, bias - apart.standard_error**2)
        found.append(_candidate(one, _variance(one, config) + bias))
    order = [i for i, one in enumerate(found) if one.usable]
    _some("tune_mse", order)
    # The first of equals, up to rounding.
    least = min(found[i].score for i in order)
    best = next(found[i] for i in order if found[i].score <= least * (1 + 1e-12))
    return _tuned(best, made, found)


@dataclass(frozen=True)
class _Made:
    """A parameter's estimate with its error by clusters."""

    parameter: float
    estimate: Estimate
    standard_error: float
    n_units: int
    spread: float
    """Range of the units' shares in the estimate, brought to the scale of a mean over units."""

    @classmethod
    def of(
        cls, estimator: Callable[[float], Estimate], parameter: float, clusters: NDArray[Any] | None
    ) -> _Made:
        estimate = estimator(parameter)
        terms = estimate.terms
        if not (math.isfinite(estimate.value) and np.isfinite(terms).all()):
            return cls(parameter, estimate, math.nan, terms.shape[0], math.nan)
        interval = mean_interval(terms, clusters=clusters)
        if clusters is None:
            spread = float(terms.max() - terms.min())
        else:
            dense, count = cluster_index(clusters, terms.shape[0])
            sums = np.bincount(dense, weights=terms - estimate.value, minlength=count)
            spread = float(sums.max() - sums.min()) * count / terms.shape[0]
        return cls(parameter, estimate, interval.standard_error, interval.n_clusters, spread)


def _made(
    estimator: Callable[[float], Estimate], grid: Sequence[float], clusters: NDArray[Any] | None
) -> list[_Made]:
    parameters = [float(parameter) for parameter in grid]
    if not parameters or len(set(parameters)) < len(parameters) or any(map(math.isnan, parameters)):
        raise InputError(
            f"the grid is {parameters}",
            where="grid",
            mend="Pass one or more parameters, each once: such as [1, 2, 5, 10, 50, inf].",
        )
    return [_Made.of(estimator, parameter, clusters) for parameter in parameters]


def _half_width(one: _Made, config: TuneConfig) -> float:
    n, error = one.n_units, one.standard_error
    if n < 2:
        return math.nan
    if n < config.few:
        # Maurer and Pontil (2009), theorem 4, with the range that was seen for the possible one.
        logarithm = math.log(4 / config.delta)
        return math.sqrt(2 * logarithm) * error + 7 * one.spread * logarithm / (3 * (n - 1))
    return float(stdtrit(n - 1, 1 - config.delta / 2)) * error


def _variance(one: _Made, config: TuneConfig) -> float:
    n = one.n_units
    if n < 2:
        return math.nan
    if n < config.few:
        # Maurer and Pontil (2009), theorem 10: the standard deviation is seldom above this.
        rise = one.spread * math.sqrt(2 * math.log(1 / config.delta) / (n - 1)) / math.sqrt(n)
        return (one.standard_error + rise) ** 2
    return one.standard_error**2


def _candidate(one: _Made, score: float) -> Candidate:
    return Candidate(
        parameter=one.parameter,
        value=one.estimate.value,
        standard_error=one.standard_error,
        score=score,
        usable=math.isfinite(one.estimate.value) and math.isfinite(score),
    )


def _checked(config: TuneConfig | None) -> TuneConfig:
    config = config or TuneConfig()
    if not 0 < config.delta < 1:
        raise InputError(
            f"delta is {config.delta}", where="TuneConfig", mend="Pass a chance between 0 and 1."
        )
    return config


def _numbered(clusters: NDArray[Any] | None) -> NDArray[np.intp] | None:
    """Labels as whole numbers, once for all candidates: labels of text are slow to compare."""
    return None if clusters is None else cluster_index(clusters, clusters.shape[0])[0]


def _some(where: str, order: list[int]) -> None:
    if not order:
        raise InputError(
            "no parameter of the grid gives a finite value with a finite error",
            where=where,
            mend="Look at the log's support: there may be no weight at all, or fewer than two users.",
        )


def _tuned(best: Candidate, made: list[_Made], found: list[Candidate]) -> Tuned:
    usable = [one for one in found if one.usable]
    same = tuple(
        one.parameter
        for one in usable
        if math.isclose(one.value, best.value, rel_tol=1e-12)
        and math.isclose(one.standard_error, best.standard_error, rel_tol=1e-9)
    )
    least, largest = min(one.parameter for one in usable), max(one.parameter for one in usable)
    at_end: Literal["least", "largest"] | None = None
    if len(same) < len(usable) and not any(least < parameter < largest for parameter in same):
        at_end = "least" if least in same else "largest"
    estimate = next(one.estimate for one in made if one.parameter == best.parameter)
    return Tuned(
        estimate=estimate,
        parameter=best.parameter,
        same=same,
        at_end=at_end,
        warning=_warning(best, same, at_end, found),
        candidates=tuple(found),
    )


def _warning(best: Candidate, same: tuple[float, ...], at_end: str | None, found: list[Candidate]) -> str:
    lines = []
    lost = [one.parameter for one in found if not one.usable]
    if lost:
        lines.append("no finite value or error at " + ", ".join(f"{parameter:g}" for parameter in lost))
    if len(same) == len(found) - len(lost) and len(same) > 1:
        lines.append("all parameters give the same estimate: there is nothing to choose on this log")
    elif at_end == "least":
        lines.append(
            f"the choice {best.parameter:g} is the least of the grid: a smaller one may be better, or the log cannot "
            "tell the bias of any"
        )
    elif at_end == "largest":
        infinite = "no shrinkage at all" if math.isinf(best.parameter) else "a larger one may be better"
        lines.append(f"the choice {best.parameter:g} is the largest of the grid: {infinite}")
    elif any(map(math.isinf, same)):
        lines.append(f"the choice {best.parameter:g} changes nothing: the same as no shrinkage at all")
    return "; ".join(lines)
