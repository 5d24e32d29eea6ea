"""Policies' values with their errors, as `evaluation.agreement` wants them: from simulated users, or from the log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError
from evaluation.off_policy import OffPolicyResult
from evaluation.outcomes import OnlineResult

__all__ = ["PolicyValues", "off_policy_values", "online_values", "page_values"]


@dataclass(frozen=True, kw_only=True)
class PolicyValues:
    """Mean scores of `P` policies, and how far they are from what endless users would give."""

    names: tuple[str, ...]
    """P policies."""
    value: NDArray[np.float64]
    """(P,) mean score."""
    covariance: NDArray[np.float64]
    """(P, P) of the errors: policies that served the same users err together."""
    unit: str
    """What a value is per: session, page, slate or impression."""

    @property
    def error(self) -> NDArray[np.float64]:
        """(P,) standard errors."""
        return np.sqrt(np.diag(self.covariance))

    def take(self, names: Sequence[str]) -> PolicyValues:
        """These policies, in this order.

        Raises:
            InputError: One of them has no value here.
        """
        missing = [name for name in names if name not in self.names]
        if missing:
            raise InputError(
                f"no value of {', '.join(missing)}",
                where="policy values",
                mend=f"choose from {', '.join(self.names)}",
            )
        at = [self.names.index(name) for name in names]
        return PolicyValues(
            names=tuple(names),
            value=self.value[at],
            covariance=self.covariance[np.ix_(at, at)],
            unit=self.unit,
        )


def online_values(result: OnlineResult, *, metric: str = "score") -> PolicyValues:
    """Values of the policies of an online evaluation, with the covariance that serving the same users gives them.

    Policies that served fewer users served the first of them, so the means of `n` and `m` users err together by
    `cov / max(n, m)`.

    Args:
        result: Two users or more for each policy.
        metric: A (U,) field of `PolicyOutcome`.

    Raises:
        InputError: A policy served fewer than two users.
    """
    names = tuple(result.outcomes)
    each = [np.asarray(getattr(result[name], metric), np.float64) for name in names]
    counts = np.array([values.size for values in each])
    if counts.size == 0 or counts.min() < 2:
        raise InputError(
            "an error cannot be told from fewer than two users",
            where="policy values",
            mend="serve more users",
        )
    covariance = np.empty((counts.size, counts.size))
    for i, mine in enumerate(each):
        for j, other in enumerate(each[: i + 1]):
            n = min(mine.size, other.size)
            together = float(np.cov(mine[:n], other[:n])[0, 1]) if i != j else float(mine.var(ddof=1))
            covariance[i, j] = covariance[j, i] = together / max(mine.size, other.size)
    value = np.array([values.mean() for values in each])
    return PolicyValues(names=names, value=value, covariance=covariance, unit="session")


def page_values(result: OnlineResult) -> PolicyValues:
    """The score of a page instead of a session: all score over all pages, errors by the delta method.

    For comparison with the log's own estimates, which are of single pages. The pages are those of the policy's own
    sessions, an estimate's those of the logging policy's.

    Raises:
        InputError: The policies served different numbers of users, or fewer than two.
    """
    names = tuple(result.outcomes)
    counts = {result[name].n_users for name in names}
    if len(counts) != 1 or min(counts) < 2:
        raise InputError(
            f"policies served {sorted(counts)} users",
            where="policy values",
            mend="serve the same users with all",
        )
    n = min(counts)
    value, terms = [], []
    for name in names:
        score, pages = result[name].score, result[name].length
        value.append(score.sum() / pages.sum())
        terms.append((score - value[-1] * pages) / pages.mean())
    covariance = np.atleast_2d(np.cov(np.stack(terms))) / n
    return PolicyValues(names=names, value=np.array(value), covariance=covariance, unit="page")


def off_policy_values(
    results: Mapping[str, OffPolicyResult], users: NDArray[np.int64]
) -> PolicyValues | None:
    """Values from the log of those policies that it supports, per slate or impression; None where it supports none.

    Covariances are those of the estimates' linearised terms, summed by user as in `intervals.mean_interval`.

    Args:
        results: By policy, all judged on the same rows.
        users: (M,) user of each logged row. Where rows without propensities were left out, policies are taken
            to err independently.
    """
    names, value, terms, errors, unit = [], [], [], [], "slate"
    for name, found in results.items():
        if found.status == "ok" and found.interval is not None and found.estimate is not None:
            names.append(name)
            value.append(found.value)
            terms.append(found.estimate.terms - found.value)
            errors.append(found.interval.standard_error)
            unit = "impression" if found.estimator == "SNIPS" else "slate"
    if not names:
        return None
    covariance = np.diag(np.square(errors))
    if all(term.shape == users.shape for term in terms):
        _, dense = np.unique(users, return_inverse=True)
        count = int(dense.max()) + 1
        sums = np.stack([np.bincount(dense, weights=term, minlength=count) for term in terms])  # (P, C)
        covariance = count / (count - 1) * (sums @ sums.T) / users.size**2
    return PolicyValues(names=tuple(names), value=np.array(value), covariance=covariance, unit=unit)
