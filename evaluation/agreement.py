"""Does a simulator's value of a policy agree with its true value: error, order, and what a choice by it costs.

Pure functions of arrays over `P` policies. All figures speak of these policies, which are chosen and no sample of
anything; so policies are not resampled. What is uncertain is each value: both sides were measured with error. The
figures are therefore computed anew on draws of what the values really are (`evaluation.agreement_draws`), given their
standard errors, or covariances where the same users served all policies. An interval holds the middle of these draws,
and is widened to hold the figure itself; docs/agreement.md says how often it holds the truth.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit
from scipy.stats import rankdata

from behavior.errors import InputError
from evaluation.agreement_draws import draw_values
from evaluation.agreement_result import FIGURES, Agreement
from evaluation.intervals import Interval
from simulators.agreement_summary import AgreementSummary

__all__ = ["Agreement", "AgreementSummary", "kendall", "measure_agreement", "member_intervals", "spearman"]

_FEW = 5
_RANGES = {
    "spearman": (-1.0, 1.0),
    "kendall": (-1.0, 1.0),
    "regret": (0.0, np.inf),
    "regret_share": (0.0, np.inf),
    "rmse": (0.0, np.inf),
    "relative_error": (0.0, np.inf),
    "coverage": (0.0, 1.0),
    "sign_agreement": (0.0, 1.0),
    "sure_sign_agreement": (0.0, 1.0),
}
Array = NDArray[np.float64]


def measure_agreement(
    simulated: Array | None,
    true: Array,
    *,
    simulated_error: Array | None = None,
    true_error: Array | None = None,
    members: Array | None = None,
    intervals: tuple[Array, Array] | None = None,
    names: Sequence[str] = (),
    reference: str | None = None,
    truth: str = "the true store",
    level: float = 0.95,
    n_draws: int = 2000,
    seed: int = 0,
) -> Agreement:
    """Compares simulated with true values of `P` policies.

    Args:
        simulated: (P,) values in the simulator; None: the means of `members`.
        true: (P,) true values, or unbiased estimates of them.
        simulated_error: Standard errors (P,) of `simulated` from finitely many simulated users, or their covariance
            (P, P); None: exact.
        true_error: The same of `true`.
        members: (M, P) values in each member of an ensemble of simulators; they make the simulator's intervals where
            `intervals` gives none.
        intervals: The simulator's own intervals, lower and upper ends (P,); None and no `members`: those of finitely
            many users alone.
        names: P names; numbers where none are given.
        reference: Name of the policy that shares of regret are measured from (behaviour, or random).
        truth: Where the true values come from, in words.
        level: Confidence level.
        n_draws: Draws of the real values.
        seed: Of the draws.

    Raises:
        InputError: Fewer than two policies, values that are not finite, errors or names of another shape, or a
            reference that is not among the names.
    """
    if simulated is None:
        if members is None:
            raise InputError("no simulated values", where="agreement", mend="give simulated or members")
        simulated = np.asarray(members, np.float64).mean(axis=0)
    s, t = np.asarray(simulated, np.float64), np.asarray(true, np.float64)
    names = tuple(names) or tuple(str(p) for p in range(s.size))
    _check(s, t, names, reference, level)
    cov_s, cov_t = _covariance(simulated_error, s.size), _covariance(true_error, s.size)
    low, high, kind = _intervals(s, cov_s, members, intervals, level)
    at = names.index(reference) if reference is not None else None
    sure = _sure_pairs(t, cov_t, level)
    noise = float((np.diag(cov_s) + np.diag(cov_t)).mean())
    point = _figures(s[None], t[None], low, high, at, sure, noise)
    drawn = _figures(*draw_values(s, t, cov_s, cov_t, n=n_draws, seed=seed), low, high, at, sure, 0.0)
    found = {
        name: _interval(name, float(point[name][0]), drawn[name], level=level, n_policies=s.size)
        for name in FIGURES
    }
    return Agreement(
        names=names,
        simulated=s,
        simulated_low=low,
        simulated_high=high,
        interval_kind=kind,
        true=t,
        true_error=np.sqrt(np.diag(cov_t)),
        truth=truth,
        reference=reference,
        n_sure_pairs=int(sure[0].size),
        level=level,
        notes=_notes(s, t, cov_t, kind),
        **found,
    )


def spearman(first: Array, second: Array) -> Array:
    """Spearman's rank correlation (R,) of the rows of (R, P) and (R, P); nan where one side is all ties."""
    # scipy.stats takes one pair of vectors at a time, a hundred times slower over thousands of draws.
    a, b = (rankdata(x, axis=1) - (x.shape[1] + 1) / 2 for x in (first, second))
    top, bottom = (a * b).sum(axis=1), np.sqrt(np.square(a).sum(axis=1) * np.square(b).sum(axis=1))
    return _divide(top, bottom)


def kendall(first: Array, second: Array) -> Array:
    """Kendall's tau-b (R,) of the rows of (R, P) and (R, P); nan where one side is all ties."""
    a, b = _signs(first), _signs(second)
    return _divide((a * b).sum(axis=1), np.sqrt(np.abs(a).sum(axis=1) * np.abs(b).sum(axis=1)))


def member_intervals(
    members: Array, error: Array | None = None, *, level: float = 0.95
) -> tuple[Array, Array]:
    """Intervals (P,), (P,) of values from an ensemble's `M` members (M, P), each fitted to a resample of the log.

    `mean ± t(M - 1) sqrt(sd^2 (1 + 1/M) + error^2)`: the members' spread stands for what another log would have said,
    `error` (P,) for the finite number of users that all members met.

    Raises:
        InputError: Fewer than two members.
    """
    members = np.asarray(members, np.float64)
    count = members.shape[0]
    if count < 2:
        raise InputError(
            f"{count} members", where="agreement", mend="an ensemble's spread needs two members or more"
        )
    variance = members.var(axis=0, ddof=1) * (1 + 1 / count)
    if error is not None:
        variance = variance + np.square(error)
    reach = float(stdtrit(count - 1, 0.5 + level / 2)) * np.sqrt(variance)
    mean = members.mean(axis=0)
    return mean - reach, mean + reach


def _figures(
    s: Array,
    t: Array,
    low: Array,
    high: Array,
    reference: int | None,
    sure: tuple[NDArray[np.int64], Array],
    noise: float,
) -> dict[str, Array]:
    """All figures (R,) of values (R, P) and (R, P); `noise` is the mean error variance of a difference."""
    off = s - t
    best = t.max(axis=1)
    chosen = np.take_along_axis(t, s.argmax(axis=1)[:, None], axis=1)[:, 0]
    regret = best - chosen
    nothing = np.full(s.shape[0], np.nan)
    gain = nothing if reference is None else best - t[:, reference]
    same = _signs(s) * _signs(t)  # (R, pairs)
    # Measured values are further apart than real ones, by both errors' variances.
    rmse = np.sqrt(np.maximum(np.square(off).mean(axis=1) - noise, 0.0))
    pairs, order = sure
    return {
        "bias": off.mean(axis=1),
        "rmse": rmse,
        "relative_error": _divide(rmse, np.abs(t).mean(axis=1)),
        "spearman": spearman(s, t),
        "kendall": kendall(s, t),
        "regret": regret,
        "regret_share": _divide(regret, np.where(gain > 0, gain, np.nan)),
        "coverage": nothing if np.isnan(low).any() else ((t >= low) & (t <= high)).mean(axis=1),
        "sign_agreement": (0.5 + 0.5 * same).mean(axis=1),
        "sure_sign_agreement": (0.5 + 0.5 * _signs(s)[:, pairs] * order).mean(axis=1)
        if pairs.size
        else nothing,
    }


def _interval(name: str, value: float, drawn: Array, *, level: float, n_policies: int) -> Interval:
    """The middle of the draws, widened to hold the value."""
    kept = drawn[~np.isnan(drawn)]
    floor, ceiling = _RANGES.get(name, (-np.inf, np.inf))
    tail = (1 - level) / 2
    if np.isnan(value) or not kept.size:
        low = high = np.nan
    elif drawn.size - kept.size > tail * drawn.size:  # so many draws have no value that anything is possible
        low, high = floor, ceiling
    else:
        below, above = (float(q) for q in np.quantile(kept, [tail, 1 - tail]))
        low, high = min(below, value), max(above, value)
    return Interval(
        value=value,
        low=low,
        high=high,
        standard_error=float(kept.std(ddof=1)) if kept.size > 1 else float("nan"),
        level=level,
        n_clusters=n_policies,
        method=f"posterior draws of both sides ({drawn.size})",
    )


def _intervals(
    s: Array,
    cov_s: Array,
    members: Array | None,
    intervals: tuple[Array, Array] | None,
    level: float,
) -> tuple[Array, Array, str]:
    error = np.sqrt(np.diag(cov_s))
    if intervals is not None:
        low, high = (np.asarray(end, np.float64) for end in intervals)
        if low.shape != s.shape or high.shape != s.shape or (low > high).any():
            raise InputError(
                f"interval ends of shapes {low.shape} and {high.shape} for {s.size} policies",
                where="agreement",
                mend="give a lower and an upper end for each policy",
            )
        return low, high, "given with the values"
    if members is not None:
        members = np.asarray(members, np.float64)
        if members.ndim != 2 or members.shape[1] != s.size:
            raise InputError(
                f"members of shape {members.shape} for {s.size} policies",
                where="agreement",
                mend="give one row per member, one column per policy",
            )
        return *member_intervals(members, error, level=level), "spread of the ensemble, and finite users"
    if not error.any():
        return np.full(s.shape, np.nan), np.full(s.shape, np.nan), "none"
    reach = float(ndtri(0.5 + level / 2)) * error
    return s - reach, s + reach, "finite users alone"


def _covariance(error: Array | None, n: int) -> Array:
    if error is None:
        return np.zeros((n, n))
    error = np.asarray(error, np.float64)
    if error.shape not in ((n,), (n, n)) or not np.isfinite(error).all():
        raise InputError(
            f"errors of shape {error.shape} for {n} policies",
            where="agreement",
            mend="give a finite standard error for each policy, or their covariance",
        )
    return np.diag(np.square(error)) if error.ndim == 1 else error


def _sure_pairs(t: Array, covariance: Array, level: float) -> tuple[NDArray[np.int64], Array]:
    """Numbers of the pairs whose difference exceeds its error, and the sign of each."""
    i, j = np.triu_indices(t.size, 1)
    variance = covariance[i, i] + covariance[j, j] - 2 * covariance[i, j]
    gap = t[i] - t[j]
    reach = float(ndtri(0.5 + level / 2)) * np.sqrt(np.maximum(variance, 0.0))
    sure = np.flatnonzero(np.abs(gap) > reach)
    return sure, np.sign(gap[sure])


def _signs(x: Array) -> Array:
    """Signs (R, pairs) of the differences of all pairs of columns."""
    i, j = np.triu_indices(x.shape[1], 1)
    return np.sign(x[:, i] - x[:, j])


def _divide(top: Array, bottom: Array) -> Array:
    fine = np.isfinite(bottom) & (bottom > 0)
    return np.divide(top, bottom, out=np.full_like(top, np.nan), where=fine)


def _notes(s: Array, t: Array, covariance: Array, kind: str) -> tuple[str, ...]:
    notes = []
    if s.size < _FEW:
        notes.append(f"{s.size} policies say little about an order: compare more of them, and varied ones.")
    spread, noise = float(t.std(ddof=1)), float(np.sqrt(np.diag(covariance).mean()))
    if noise > spread / 2:
        notes.append(
            f"The true values spread by {spread:.3g} and are known to within {noise:.3g} (one standard error): much "
            "of their order is chance."
        )
    if kind == "finite users alone":
        notes.append(
            "The simulator's intervals hold the chance of finitely many users only, not what the log could not tell "
            "of it; an ensemble's would."
        )
    return tuple(notes)


def _check(s: Array, t: Array, names: tuple[str, ...], reference: str | None, level: float) -> None:
    if s.ndim != 1 or s.shape != t.shape or len(names) != s.size or s.size < 2:
        raise InputError(
            f"simulated values {s.shape}, true values {t.shape}, {len(names)} names",
            where="agreement",
            mend="give both values of the same two or more policies",
        )
    if not (np.isfinite(s).all() and np.isfinite(t).all()):
        p = int(np.flatnonzero(~(np.isfinite(s) & np.isfinite(t)))[0])
        raise InputError(
            f"simulated {s[p]} and true {t[p]}",
            where=f"agreement, policy {names[p]}",
            mend="leave out policies whose value is not known on both sides",
        )
    if reference is not None and reference not in names:
        raise InputError(
            f"no policy named '{reference}'", where="agreement", mend=f"choose from {', '.join(names)}"
        )
    if not 0 < level < 1:
        raise InputError(f"confidence level {level}", where="agreement", mend="a level between 0 and 1")
