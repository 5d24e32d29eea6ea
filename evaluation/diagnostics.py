"""Whether a figure from a log can be believed: what its weights are like, and one word on it with the reasons.

The criteria are fixed by theory, not by what they find; docs/intervals.md says why they are what they are.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError
from evaluation.estimators.result import Estimate, effective_sample_size
from evaluation.intervals.interval import Interval, cluster_index, cluster_sums
from evaluation.intervals.means import mean_interval
from evaluation.support import SupportLimits, why_unsupported
from evaluation.tail_index import tail_index

__all__ = ["Diagnostics", "Overlap", "Trust", "TrustLimits", "diagnose", "measure_overlap"]

Trust = Literal["sound", "doubtful", "no support"]

_ROUNDING = 1e-3
"""A mean weight nearer to 1 than this biases nothing that matters: propensities are written with a few digits, and the
weights of a policy that is the logging one hardly vary, so that their last digit would be found 'surely not 1'."""


@dataclass(frozen=True, kw_only=True)
class TrustLimits:
    """When a figure is called doubtful, and when it is not given at all."""

    support: SupportLimits = field(default_factory=SupportLimits)
    """Beyond these there is 'no support'."""
    max_skew: float = 0.2
    """Greatest skewness of the clusters' terms over the root of their number. By Edgeworth's expansion the coverage of
    a 95 % interval of Student's t falls by about a quarter of its square: by 1 % here, to 92 % at 0.35; and where it
    matters a sample shows less skewness than there is."""
    max_tail: float = 0.5
    """Greatest tail index of the weights: beyond it their variance is infinite, and intervals have no ground."""
    mean_weight_level: float = 0.99
    """Confidence with which a mean weight other than 1 is found, over all columns of weights together."""


@dataclass(frozen=True, kw_only=True)
class Diagnostics:
    """What stands beside an off-policy figure."""

    trust: Trust
    """'sound': read the figure with its interval; 'doubtful': it may be too narrow; 'no support': no figure."""
    reasons: tuple[str, ...]
    """Why it is not sound; empty where it is."""
    n_rows: int
    """Logged rows."""
    n_clusters: int
    """Independent units: users, else sessions."""
    ess: float
    """Effective sample size in rows, the smallest over the columns of weights."""
    ess_clusters: float
    """Effective number of clusters, the smallest over the columns."""
    max_weight: float
    """The largest weight."""
    top_share: float
    """Share of all weight that the heaviest 1 % of the rows hold, the largest over the columns."""
    mean_weight: Interval
    """Mean weight of the column furthest from 1, with its interval over all columns together; 1 is right."""
    tail: float
    """Tail index of the clusters' weights, the largest over the columns; nan where no tail can be seen."""
    skew: float
    """Skewness of the clusters' terms over the root of their number; near 1 where one cluster is all there is."""
    outside: float
    """Share of the policy's choices that the log can never show: as given, else 1 - the least mean weight, from 0."""
    unused_reward: float
    """Share of the logged reward on what the policy judged would never show; nan where it was not given."""

    @property
    def sound(self) -> bool:
        """Whether the figure may be read with its interval."""
        return self.trust == "sound"


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """A histogram of the weights, and of how much of the total weight lies where."""

    edges: NDArray[np.float64]
    """(E + 1,) bin edges in weight, evenly spaced in its logarithm."""
    rows: NDArray[np.float64]
    """(E,) share of the rows."""
    weight: NDArray[np.float64]
    """(E,) share of the total weight."""
    zero: float
    """Share of the rows whose weight is 0: what the policy judged would never show."""


def diagnose(
    estimate: Estimate,
    *,
    clusters: NDArray[Any] | None = None,
    limits: TrustLimits | None = None,
    has_mean_one: bool = True,
    reward: NDArray[np.float64] | None = None,
    outside: NDArray[np.float64] | None = None,
) -> Diagnostics:
    """The diagnostics of an off-policy estimate.

    Args:
        estimate: With its weights and terms.
        clusters: (n,) users, else sessions; None: every row for itself.
        limits: Criteria of the verdict.
        has_mean_one: Whether weights have mean 1 where the log supports the policy; False if clipped or shrunk.
        reward: (n,) total logged reward of each row, not negative, for `unused_reward`.
        outside: (n,) probability that the policy judged shows what the log never can, where it is known.

    Raises:
        InputError: Arrays of other lengths.
    """
    limits = limits or TrustLimits()
    weights = np.asarray(estimate.weights)  # (n, P)
    n, width = weights.shape
    for name, array in (("reward", reward), ("outside", outside)):
        if array is not None and array.shape != (n,):
            raise InputError(
                f"`{name}` has shape {array.shape}",
                where="diagnose",
                mend=f"Pass one number per row: ({n},).",
            )
    dense, count = cluster_index(clusters, n)
    sums = weights if clusters is None else cluster_sums(weights, dense, count)
    level = 1 - (1 - limits.mean_weight_level) / width
    means = [mean_interval(weights[:, p], clusters=dense, level=level) for p in range(width)]
    tails = [tail_index(sums[:, p]) for p in range(width)]
    known = [k for k in tails if np.isfinite(k)]
    mean_weight = max(means, key=_off_by)
    tail = max(known) if known else float("nan")
    skew = _skew(np.asarray(estimate.terms), dense, count)
    missing = max(0.0, 1.0 - estimate.mean_weight) if outside is None else float(outside.mean())
    nothing = why_unsupported(estimate, dense, limits.support, has_mean_one=has_mean_one)
    if not nothing and outside is not None and missing > limits.support.max_unsupported:
        nothing = f"{missing:.0%} of the policy's choices are never shown by the log"
    if nothing:
        trust: Trust = "no support"
        reasons = [nothing]
    else:
        wrong = [m for m in means if has_mean_one and not m.low - _ROUNDING <= 1 <= m.high + _ROUNDING]
        reasons = _doubts(limits, skew, tail, wrong)
        if not np.asarray(estimate.numerator).any():
            reasons.append(
                "no reward at all on what the policy would show: no interval can say how rare it is"
            )
        if estimate.caveat:
            reasons.append(estimate.caveat)
        trust = "doubtful" if reasons else "sound"
    return Diagnostics(
        trust=trust,
        reasons=tuple(reasons),
        n_rows=n,
        n_clusters=count,
        ess=estimate.ess,
        ess_clusters=float(effective_sample_size(sums).min()),
        max_weight=estimate.max_weight,
        top_share=_top_share(weights),
        mean_weight=mean_weight,
        tail=tail,
        skew=skew,
        outside=missing,
        unused_reward=_unused(weights, reward),
    )


def _doubts(limits: TrustLimits, skew: float, tail: float, off: list[Interval]) -> list[str]:
    found = []
    if not skew <= limits.max_skew:
        found.append(
            f"a few users decide the figure: skewness of their terms {skew:.2f} of the most possible, above "
            f"{limits.max_skew:g}"
        )
    if tail > limits.max_tail:
        found.append(f"the weights have a heavy tail: index {tail:.2f}, above {limits.max_tail:g}")
    if off:
        worst = max(off, key=_off_by)
        found.append(
            f"mean weight {worst.value:.3f}, surely not 1: propensities are wrong, or the log cannot show all that the "
            "policy would"
        )
    return found


def _off_by(found: Interval) -> float:
    """How many standard errors a mean weight is away from 1."""
    off = abs(found.value - 1.0)
    if found.standard_error > 0:
        return off / found.standard_error
    return 0.0 if off < 1e-9 else float("inf")


def _skew(terms: NDArray[np.float64], dense: NDArray[np.intp], count: int) -> float:
    """`|mean u^3| / mean(u^2)^1.5 / sqrt(C)` of the clusters' sums `u` of terms less their mean; 0 if all is equal."""
    if not np.isfinite(terms).all():
        return float("nan")
    u = np.bincount(dense, weights=terms - terms.mean(), minlength=count)
    spread = float(np.square(u).mean())
    if spread <= 1e-24 * max(1.0, float(np.square(terms).mean())):
        return 0.0
    return float(abs((u**3).mean()) / spread**1.5 / np.sqrt(count))


def _top_share(weights: NDArray[np.float64]) -> float:
    n = weights.shape[0]
    top = -(-n // 100)
    heavy = np.partition(weights, n - top, axis=0)[n - top :].sum(axis=0)
    total = weights.sum(axis=0)
    return float(np.divide(heavy, total, out=np.zeros_like(total), where=total > 0).max())


def _unused(weights: NDArray[np.float64], reward: NDArray[np.float64] | None) -> float:
    if reward is None or not reward.sum() > 0:
        return float("nan")
    return float(reward[(weights == 0).all(axis=1)].sum() / reward.sum())


def measure_overlap(estimate: Estimate, *, n_bins: int = 40) -> Overlap:
    """The weights of all rows and columns as a histogram in their logarithm."""
    weights = np.ravel(np.asarray(estimate.weights))
    positive = weights[weights > 0]
    if positive.size == 0:
        return Overlap(edges=np.array([0.5, 2.0]), rows=np.zeros(1), weight=np.zeros(1), zero=1.0)
    low, high = np.log(positive.min()) - 1e-9, np.log(positive.max()) + 1e-9
    if high - low < 0.1:  # all weights alike: a picture wants some room on both sides
        low, high = low - 0.05, high + 0.05
    edges = np.linspace(low, high, n_bins + 1)
    rows, _ = np.histogram(np.log(positive), edges)
    held, _ = np.histogram(np.log(positive), edges, weights=positive)
    return Overlap(
        edges=np.exp(edges),
        rows=rows / weights.size,
        weight=held / positive.sum(),
        zero=float((weights == 0).mean()),
    )
