"""Choosing one of several policies by one log, with the risk of choosing wrong stated.

Policies are judged on the same rows, so their errors go together. With terms t[i, p] whose mean over the n rows is the
value of policy p, rows are summed by user, u[c, p] = sum_{i in c} (t[i, p] - value_p), and whole users are resampled:
a resample draws counts m[c], and its values are value_p + sum_c m[c] u[c, p] / n. From the resamples:

- *probability of being best*: the share of resamples in which a policy has the largest value (Efron and Tibshirani,
  "The problem of regions", Annals of Statistics 1998: a first-order approximation to a confidence level);
- *expected regret* of choosing p: the mean over resamples of (largest value - value of p);
- *not ruled out*: policies that no other one is surely better than, by the maximum of |studentised difference| over all
  pairs, so that the statement holds at once for all of them and for whichever was chosen (Hsu, Annals of Statistics
  1981, multiple comparisons with the best; Romano and Wolf, Econometrica 2005, for the maximum by resampling);
- *value corrected for choosing*: the best of several estimates is too high on average. The resamples say by how much:
  mean over resamples of (value in the resample - value on the log) of the policy that is best in the resample.

A term of a ratio is its first-order influence, so all this is first-order too; do not rely on it below fifty users.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError
from evaluation.intervals import Interval
from evaluation.intervals.interval import cluster_index, cluster_sums

__all__ = ["Selection", "select_policy"]


@dataclass(frozen=True, kw_only=True)
class Selection:
    """A choice among P policies."""

    names: tuple[str, ...]
    """The policies."""
    value: NDArray[np.float64]
    """(P,) estimates."""
    best: str
    """The one with the largest estimate."""
    probability_best: NDArray[np.float64]
    """(P,) share of resamples in which each is the best."""
    regret: NDArray[np.float64]
    """(P,) expected loss by choosing this one instead of the best, in units of the value."""
    possible: tuple[str, ...]
    """Those that cannot be ruled out as the best, at `level` for all together; the best is always among them."""
    corrected: Interval
    """Value of the chosen one, corrected for having been chosen; its interval holds for all policies at once."""
    margin: Interval
    """The chosen one minus the runner-up; its interval holds for all pairs at once."""
    level: float
    """Of the simultaneous statements."""

    @property
    def risk(self) -> float:
        """Probability that another one is better than the chosen one."""
        return 1.0 - float(self.probability_best[self.names.index(self.best)])

    def sentence(self) -> str:
        """The finding in plain words."""
        at = self.names.index(self.best)
        others = [name for name in self.possible if name != self.best]
        rest = (
            "no other policy can be the best"
            if not others
            else f"{len(others)} other{'s' if len(others) > 1 else ''} cannot be ruled out ({', '.join(others)})"
        )
        # Resamples cannot show what is rarer than one of them.
        risk = f"{self.risk:.0%}" if self.risk >= 0.01 else "below 1%"
        return (
            f"{self.best} has the largest estimate of {len(self.names)}; the probability that another one is better "
            f"is {risk}, and the expected loss by choosing it is {self.regret[at]:.2g}. At {self.level:.0%} for all "
            f"pairs at once, {rest}."
        )


def select_policy(
    terms: NDArray[np.float64],
    *,
    names: tuple[str, ...],
    users: NDArray[Any] | None = None,
    level: float = 0.95,
    n_resamples: int = 4000,
    seed: int = 0,
) -> Selection:
    """Chooses the policy with the largest estimate, and says how sure that is.

    Args:
        terms: (n, P) one term a row and policy, whose column means are the values.
        names: P names.
        users: (n,) whose rows depend on each other; None: every row for itself.
        level: Of the simultaneous statements.
        n_resamples: Resamples of users.
        seed: Of the resampling.

    Raises:
        InputError: Fewer than two policies or users, or terms that are not finite.
    """
    if terms.ndim != 2 or terms.shape[1] != len(names) or terms.shape[1] < 2 or not 0 < level < 1:
        raise InputError(
            f"terms of shape {terms.shape} for {len(names)} policies, level {level}",
            where="selection",
            mend="pass one column a policy, two policies or more, and a level between 0 and 1",
        )
    if not np.isfinite(terms).all():
        bad = names[int(np.flatnonzero(~np.isfinite(terms).all(axis=0))[0])]
        raise InputError(
            f"the terms of {bad} are not all finite",
            where="selection",
            mend="leave out policies whose figure cannot be believed",
        )
    n, width = terms.shape
    sums, count = _by_user(terms, users)
    if count < 2:
        raise InputError("a single user", where="selection", mend="bring a log of more users")
    value = terms.mean(axis=0)  # (P,)
    draws = value + _deviations(sums, n_resamples, seed) / n  # (R, P)
    winner = draws.argmax(axis=1)
    first = int(value.argmax())
    # Standard errors of values and of all differences, from the sums: no noise of resampling in them.
    covariance = count / (count - 1) * (sums.T @ sums) / n**2  # (P, P)
    variance = np.diag(covariance)
    between = np.sqrt(np.maximum(variance[:, None] + variance[None, :] - 2 * covariance, 0.0))
    moved = draws - value
    reach = _quantile_of_maximum(moved, between, level)  # of all pairs
    reach_values = float(
        np.quantile(np.max(np.abs(moved) / np.where(variance > 0, np.sqrt(variance), np.inf), axis=1), level)
    )
    lead = value[:, None] - value[None, :]  # (P, P) row minus column
    beaten = (lead.T - reach * between > 0).any(axis=1)  # some other is surely better
    order = np.argsort(-value, kind="stable")
    second = int(order[1])
    # Below zero by the noise of resampling alone: choosing never makes a value too low.
    optimism = max(0.0, float(moved[np.arange(len(draws)), winner].mean()))
    error = float(np.sqrt(variance[first]))
    gap, gap_error = float(lead[first, second]), float(between[first, second])
    return Selection(
        names=names,
        value=value,
        best=names[first],
        probability_best=np.bincount(winner, minlength=width) / len(draws),
        regret=(draws.max(axis=1)[:, None] - draws).mean(axis=0),
        possible=tuple(names[p] for p in order if not beaten[p]),
        corrected=_interval(
            float(value[first]) - optimism,
            float(value[first]),
            reach_values * error,
            error,
            level,
            count,
            "simultaneous over policies",
        ),
        margin=_interval(gap, gap, reach * gap_error, gap_error, level, count, "simultaneous over pairs"),
        level=level,
    )


def _interval(
    value: float, centre: float, reach: float, error: float, level: float, count: int, method: str
) -> Interval:
    return Interval(
        value=value,
        low=min(value, centre - reach),
        high=max(value, centre + reach),
        standard_error=error,
        level=level,
        n_clusters=count,
        method=f"bootstrap over users, {method}",
    )


def _by_user(terms: NDArray[np.float64], users: NDArray[Any] | None) -> tuple[NDArray[np.float64], int]:
    """(C, P) sums of the centred terms of each user, and C."""
    centred = terms - terms.mean(axis=0)
    dense, count = cluster_index(users, terms.shape[0])
    return cluster_sums(centred, dense, count), count


def _deviations(sums: NDArray[np.float64], n_resamples: int, seed: int) -> NDArray[np.float64]:
    """(R, P) sums over resampled users, of `sums` (C, P) whose columns add up to nothing.

    Users get Poisson weights: for sums about their mean the same as drawing users with replacement, in a tenth of the
    time (see `evaluation.intervals.bootstrap`).
    """
    from evaluation.kernels.poisson_sums import TILE, poisson_sums

    out = np.zeros((sums.shape[1], -(-n_resamples // TILE) * TILE))
    keys = np.arange(sums.shape[0], dtype=np.uint64)
    poisson_sums(keys.shape[0], keys, np.ascontiguousarray(sums), np.uint64(seed), out)
    return np.asarray(out[:, :n_resamples].T)


def _quantile_of_maximum(moved: NDArray[np.float64], between: NDArray[np.float64], level: float) -> float:
    """Quantile over resamples of the largest |studentised difference| over all pairs."""
    largest = np.zeros(len(moved))
    width = moved.shape[1]
    for p in range(width):
        for q in range(p):
            if between[p, q] > 0:
                np.maximum(largest, np.abs(moved[:, p] - moved[:, q]) / between[p, q], out=largest)
    return float(np.quantile(largest, level))
