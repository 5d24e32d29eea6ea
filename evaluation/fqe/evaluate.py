"""Fitted Q evaluation: what sessions are worth under a policy, by values fitted to single steps of a log.

    Q_0 = 0,   Q_{n+1} = fit of r + gamma sum_a pi_e(a) Q_n(next, a) on (observation, page shown)

(Ernst, Geurts, Wehenkel: Tree-based batch mode reinforcement learning, JMLR 2005; Le, Voloshin, Yue: Batch policy
learning under constraints, ICML 2019, section 4.) No weights multiply, so sessions may be long; instead the features
must hold what the future depends on, and the regressor must be able to say it. Nothing in the data shows for certain
whether they do.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from evaluation.estimators.sessions_layout import SessionLayout
from evaluation.fqe.config import FqeConfig, FqeNotConverged, FqeResult
from evaluation.fqe.convergence import RewardRange, relative_change, settled
from evaluation.fqe.data import FqeData
from evaluation.fqe.folds import session_folds
from evaluation.fqe.linear import LinearFit, fit_linear
from evaluation.fqe.regressors import make_regressor
from evaluation.intervals.interval import Interval
from evaluation.intervals.means import mean_interval

__all__ = ["fitted_q"]


@dataclass(frozen=True)
class _Fold:
    """Values fitted to the rows of the other folds."""

    q: NDArray[np.float64]  # (M,) of logged pages
    v: NDArray[np.float64]  # (O,) of observations
    changes: tuple[float, ...]
    unsettled: str  # why the values cannot be used; empty where they can
    linear: LinearFit | None

    @property
    def converged(self) -> bool:
        return not self.unsettled


def fitted_q(data: FqeData, config: FqeConfig | None = None) -> FqeResult:
    """The value of a session under the policy judged.

    Consistent if the features are Markov (given them, reward and next features depend on nothing earlier), the
    regressor can represent the policy's values, and the log shows what the policy would. Sessions that were cut off go
    on being worth what the values say (bootstrapping); sessions that ended do not.

    Args:
        data: Logged pages and the policy's pages as features.
        config: How values are fitted.

    Returns:
        The value with its interval over sessions, and the values of all pages by folds.

    Raises:
        InputError: Steps with gaps, arrays that do not fit each other, fewer than two sessions.
    """
    config = config or FqeConfig()
    layout = data.layout()
    n_folds = min(config.n_folds, layout.n_sessions)
    fold = session_folds(layout.labels, n_folds)  # (S,)
    _, fold = np.unique(fold, return_inverse=True)  # a small log may leave a fold empty
    fold = fold.reshape(-1).astype(np.int64)
    fits = _fit_folds(data, fold[layout.row], config, None)
    q, v = _by_fold(fits, fold[layout.row], data)
    start = np.empty(layout.n_sessions, np.int64)
    start[layout.row[layout.step == 0]] = np.flatnonzero(layout.step == 0)
    first = v[start]  # (S,)
    value = float(first.mean())
    notes = _notes(fits, config)
    if config.linear:
        terms = first + _influence(data, layout, fold, start, fits, config)
        interval = mean_interval(terms, level=config.level)
        interval = _renamed(interval, value, "delta method over sessions, the fit's error included")
    elif config.n_refits:
        terms = first
        interval, stuck = _refitted(data, layout, fold, start, value, config)
        if stuck:
            notes.append(f"{stuck} of {config.n_refits} refits behind the interval have not converged")
    else:
        terms = first
        interval = _renamed(
            mean_interval(first, level=config.level), value, "t over first pages, the fit's error left out"
        )
        notes.append(
            "the interval is of the sessions' first pages alone and leaves out the error of the fit: ask for n_refits"
        )
    worst = max(fits, key=lambda fit: (not fit.converged, len(fit.changes)))
    return FqeResult(
        value=value,
        interval=interval,
        terms=terms - terms.mean() + value,
        q=q,
        v=v,
        converged=all(fit.converged for fit in fits),
        rounds=len(worst.changes),
        changes=worst.changes,
        n_sessions=layout.n_sessions,
        warnings=tuple(notes),
    )


def _fit_folds(
    data: FqeData, fold: NDArray[np.int64], config: FqeConfig, weight: NDArray[np.float64] | None
) -> list[_Fold]:
    """One fit per fold, to the rows of the others (to all where there is one fold)."""
    n_folds = int(fold.max()) + 1
    fits = []
    for f in range(n_folds):
        rows = np.flatnonzero(fold != f) if n_folds > 1 else np.arange(data.n_rows)
        if config.linear:
            fits.append(_linear_fold(data, rows, config))
        else:
            fits.append(_refitting_fold(data, rows, config, weight))
    return fits


def _linear_fold(data: FqeData, rows: NDArray[np.int64], config: FqeConfig) -> _Fold:
    mean = data.expected(data.policy_features)  # (O, D): a linear value of a mean is the mean value
    then = data.then[rows]
    fit = fit_linear(
        data.features[rows],
        data.reward[rows],
        mean[np.maximum(then, 0)],
        then >= 0,
        gamma=config.gamma,
        ridge=config.ridge,
        most_rounds=config.most_rounds,
        enough=config.enough,
    )
    v = fit.value(mean)
    return _Fold(
        fit.value(data.features), v, fit.changes, _unsettled(data, v, fit.changes, fit.converged, config), fit
    )


def _refitting_fold(
    data: FqeData, rows: NDArray[np.int64], config: FqeConfig, weight: NDArray[np.float64] | None
) -> _Fold:
    O, R, D = data.policy_features.shape  # noqa: E741
    pages = data.policy_features.reshape(O * R, D)
    features, reward, then = data.features[rows], data.reward[rows], data.then[rows]
    extra: dict[str, Any] = {} if weight is None else {"sample_weight": weight[rows]}
    regressor: Any = make_regressor(config) if config.regressor == "network" else None
    v, changes, converged = np.zeros(O), [], False
    rounds = [v]
    for n in range(1, config.most_rounds + 1):
        target = reward + config.gamma * np.where(then >= 0, v[np.maximum(then, 0)], 0.0)
        if config.regressor != "network":
            regressor = make_regressor(config)
        regressor.fit(features, target, **extra)
        before, v = v, data.expected(np.asarray(regressor.predict(pages), np.float64).reshape(O, R))
        rounds.append(v)
        changes.append(relative_change(before, v))
        converged = changes[-1] < config.enough and settled(n, rounds.__getitem__, config.enough)
        if converged or not np.isfinite(changes[-1]):
            break
    q = np.asarray(regressor.predict(data.features), np.float64)
    return _Fold(q, v, tuple(changes), _unsettled(data, v, tuple(changes), converged, config), None)


def _unsettled(
    data: FqeData, v: NDArray[np.float64], changes: tuple[float, ...], converged: bool, config: FqeConfig
) -> str:
    """Why the values (O,) mean nothing yet; empty where they have settled inside the range of the rewards."""
    after = f"after {len(changes)} rounds the values"
    if not np.isfinite(changes[-1]):
        return f"{after} grow without end"
    if not converged and changes[-1] >= config.enough:
        return f"{after} still change by {changes[-1]:.2g} of their size, not by less than {config.enough:g}"
    if not converged:
        return (
            f"{after} change little in a round, but by as much in every round or nearly: far from their end"
        )
    possible = RewardRange.of(data.reward, config.gamma)
    left = possible.left_by(v)
    return f"{after} have left the range that the rewards allow, {possible}: {left}" if left else ""


def _by_fold(
    fits: list[_Fold], fold: NDArray[np.int64], data: FqeData
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rows = np.arange(data.n_rows)
    q = np.stack([fit.q for fit in fits])[fold, rows]
    v = np.stack([fit.v for fit in fits])[fold, data.at]
    return q, v


def _influence(
    data: FqeData,
    layout: SessionLayout,
    fold: NDArray[np.int64],
    start: NDArray[np.int64],
    fits: list[_Fold],
    config: FqeConfig,
) -> NDArray[np.float64]:
    """(S,) by how much each session moved the value through the fits it took part in, times S; mean 0."""
    S = layout.n_sessions
    out = np.zeros(S)
    mean = data.expected(data.policy_features)
    for f, fit in enumerate(fits):
        assert fit.linear is not None
        judged = np.flatnonzero(fold == f)  # sessions whose first pages this fit values
        rows = np.flatnonzero(fold[layout.row] != f) if len(fits) > 1 else np.arange(data.n_rows)
        towards = mean[data.at[start[judged]]].mean(axis=0)
        then = data.then[rows]
        after = np.where(then >= 0, fit.v[np.maximum(then, 0)], 0.0)
        residual = data.reward[rows] + config.gamma * after - fit.q[rows]
        moved = fit.linear.influence(towards, data.features[rows], residual) * judged.size
        out += np.bincount(layout.row[rows], weights=moved, minlength=S)
    return np.asarray(out - out.mean(), np.float64)


def _refitted(
    data: FqeData,
    layout: SessionLayout,
    fold: NDArray[np.int64],
    start: NDArray[np.int64],
    value: float,
    config: FqeConfig,
) -> tuple[Interval, int]:
    """Student's t around `value`, with the spread of values refitted to sessions weighed by Poisson(1) draws.

    And how many of the refits had not converged.
    """
    rng = np.random.default_rng(config.seed)
    values, stuck = [], 0
    for _ in range(config.n_refits):
        times = rng.poisson(1.0, layout.n_sessions).astype(np.float64)
        fits = _fit_folds(data, fold[layout.row], config, times[layout.row])
        stuck += not all(fit.converged for fit in fits)
        _, v = _by_fold(fits, fold[layout.row], data)
        values.append(float(np.average(v[start], weights=times)))
    error = float(np.std(values, ddof=1))
    reach = float(stdtrit(config.n_refits - 1, 0.5 + config.level / 2)) * error
    interval = Interval(
        value=value,
        low=value - reach,
        high=value + reach,
        standard_error=error,
        level=config.level,
        n_clusters=layout.n_sessions,
        method=f"t of {config.n_refits} refits to resampled sessions",
    )
    return interval, stuck


def _renamed(interval: Interval, value: float, method: str) -> Interval:
    shift = value - interval.value
    return Interval(
        value=value,
        low=interval.low + shift,
        high=interval.high + shift,
        standard_error=interval.standard_error,
        level=interval.level,
        n_clusters=interval.n_clusters,
        method=method,
    )


def _notes(fits: list[_Fold], config: FqeConfig) -> list[str]:
    stuck = [fit for fit in fits if not fit.converged]
    if not stuck:
        return []
    note = (
        f"fitted Q evaluation has not converged: {stuck[0].unsettled}; the figure means nothing yet "
        "(allow more rounds, more ridge, a discount below 1, or a simpler regressor)"
    )
    warnings.warn(note, FqeNotConverged, stacklevel=3)
    return [note]
