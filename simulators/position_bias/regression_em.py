"""Examination by regression EM: relevance is a function of features, so no item has to move.

A click is a look times relevance, P(click) = theta_k sigmoid(f(x)). Given no click, the chance that the place was
looked at is theta (1 - r) / (1 - theta r), and that the item was relevant r (1 - theta) / (1 - theta r), with
r = sigmoid(f(x)); given a click both are 1. The E step is exact. The M step sets theta_k to the mean chance of a look,
and improves f towards the chances of relevance: a few Newton steps of a penalised line, or one more regression tree.
Either is kept only as far as it does not lower the expected log-likelihood, so the (penalised) likelihood of the log
never falls (Dempster, Laird, Rubin, JRSS B 1977, on generalised EM).

What tells theta from f is that like features stand at different positions. Where the features foretell the position,
nothing does but the form of f; `simulators.position_bias.overlap` measures it.

Source: Wang, Golbandi, Bendersky, Metzler, Najork, "Position bias estimation for unbiased learning to rank in personal
search", WSDM 2018, section 4.2 (there trees are fitted to drawn labels; here to the chances themselves).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from simulators.click_models import sigmoid

__all__ = ["MOST_IMPRESSIONS", "RegressionEm", "Regressor", "fit_regression_em"]

Floats = NDArray[np.float64]
Regressor = Literal["line", "trees"]
MOST_IMPRESSIONS = 25_000
"""Of the latest impressions so many are fitted to by fits and reports: a tree a round takes its time."""
_STEP = 0.3  # share of a tree's Newton step that is taken
_FARTHEST = 4.0  # largest Newton step of a leaf, in logits
_LEAST_SCALE = 0.02
_FLOOR = 1e-6
_BETTER = 1e-6  # gain per impression of the later sessions that counts as one
_PATIENCE = 20  # rounds without one
_HALVINGS = 6


@dataclass(frozen=True, kw_only=True)
class RegressionEm:
    """Where regression EM arrived."""

    examination: Floats  # (K,) theta, the largest being 1; nan where nothing was shown
    log_likelihood: Floats  # (rounds,) per impression, less the penalty; it never falls
    converged: bool
    """Whether the likelihood stopped rising before the rounds ended (trees: before the later sessions got worse)."""


class _Relevance(Protocol):
    """A function of features that can be improved towards soft labels."""

    penalty: float

    @property
    def logits(self) -> Floats:
        """(u,) of the rows."""
        ...

    def improve(self, relevant: Floats, irrelevant: Floats) -> None:
        """Raise the expected log-likelihood of so many relevant and irrelevant impressions (u,) of each row."""
        ...


@dataclass(frozen=True, kw_only=True)
class _Units:
    """Impressions of like features at the same position, counted together."""

    rows: NDArray[np.float32]  # (u, P)
    position: NDArray[np.int64]  # (u,)
    hits: Floats  # (u,)
    misses: Floats  # (u,)
    judge: NDArray[np.bool_]  # (u,)

    @property
    def count(self) -> Floats:
        """(u,) impressions."""
        return self.hits + self.misses


def _units(
    rows: NDArray[np.float32], position: NDArray[np.int64], click: NDArray[Any], judge: NDArray[np.bool_]
) -> _Units:
    tagged = np.column_stack([rows, position.astype(np.float32), judge.astype(np.float32)])
    # Equal rows have equal bytes (-0.0 becomes 0.0 first): one sort of whole rows.
    whole = np.ascontiguousarray(tagged + np.float32(0.0)).view(
        np.dtype((np.void, tagged.dtype.itemsize * tagged.shape[1]))
    )
    _, first, at = np.unique(whole.ravel(), return_index=True, return_inverse=True)
    hit = click > 0
    return _Units(
        rows=rows[first],
        position=position[first],
        hits=np.bincount(at[hit], minlength=len(first)).astype(np.float64),
        misses=np.bincount(at[~hit], minlength=len(first)).astype(np.float64),
        judge=judge[first],
    )


def fit_regression_em(
    rows: NDArray[np.float32],
    position: NDArray[np.int64],
    click: NDArray[Any],
    *,
    n_positions: int,
    regressor: Regressor = "line",
    judge: NDArray[np.bool_] | None = None,
    strength: float = 3.0,
    max_rounds: int = 500,
    tolerance: float = 1e-7,
    tick: Callable[[], None] = lambda: None,
) -> RegressionEm:
    """Fit examination and relevance to impressions.

    Args:
        rows: (n, P) features that do not know the position.
        position: (n,) 0-based.
        click: (n,).
        n_positions: K.
        regressor: "line": logistic in the features; "trees": boosted, one tree a round.
        judge: (n,) trees only: impressions that are not fitted to and say when to stop; none by default.
        strength: "line": of the Gaussian prior on weights of standardised columns.
        max_rounds: Most rounds.
        tolerance: Gain per impression below which the fit has arrived.
        tick: Called after each round.
    """
    apart = np.zeros(len(rows), bool) if judge is None or regressor == "line" else judge
    u = _units(rows, position, click, apart)
    fit, total = ~u.judge, float((~apart).sum())
    shown = np.bincount(u.position[fit], u.count[fit], n_positions)
    rate = (np.bincount(u.position[fit], u.hits[fit], n_positions) + 0.5) / (shown + 1.0)
    theta = np.clip(0.9 * rate / rate.max(), 0.02, 0.98)
    begin = float(np.clip(rate.max() / 0.9, 0.001, 0.9))
    make: Any = _Line if regressor == "line" else _Trees
    relevance: _Relevance = make(u, np.log(begin / (1.0 - begin)), strength)

    def likelihood(where: NDArray[np.bool_], look: Floats) -> float:
        chance = np.clip(look[u.position] * sigmoid(relevance.logits), _FLOOR, 1.0 - _FLOOR)
        terms = u.hits * np.log(chance) + u.misses * np.log1p(-chance)
        return float(terms[where].sum() / u.count[where].sum())

    trace = [likelihood(fit, theta) - relevance.penalty / total]
    best, best_theta, since, converged = -np.inf, theta, 0, False
    for _ in range(max_rounds):
        r, t = sigmoid(relevance.logits), theta[u.position]
        left = np.maximum(1.0 - t * r, 1e-12)
        looked = u.hits + u.misses * t * (1.0 - r) / left
        relevance.improve(u.hits + u.misses * r * (1.0 - t) / left, u.misses * (1.0 - r) / left)
        theta = np.where(
            shown > 0, np.bincount(u.position[fit], looked[fit], n_positions) / np.maximum(shown, 1.0), theta
        )
        trace.append(likelihood(fit, theta) - relevance.penalty / total)
        tick()
        if apart.any():
            judged = likelihood(u.judge, theta)
            if judged > best + _BETTER:
                best, best_theta, since = judged, theta, 0
            elif (since := since + 1) >= _PATIENCE:
                converged = True
                break
        elif trace[-1] - trace[-2] < tolerance:
            converged = True
            break
    theta = best_theta if apart.any() else theta
    return RegressionEm(
        examination=np.where(shown > 0, theta / theta[shown > 0].max(), np.nan),
        log_likelihood=np.array(trace),
        converged=converged,
    )


class _Line:
    """Logistic regression on standardised columns; soft labels are each row twice, with weights."""

    def __init__(self, u: _Units, begin: float, strength: float) -> None:
        from sklearn.linear_model import LogisticRegression

        mean = np.average(u.rows, axis=0, weights=u.count)
        scale = np.sqrt(np.average((u.rows - mean) ** 2, axis=0, weights=u.count))
        kept = scale > 1e-9  # the constant is the intercept's
        if not kept.any():  # nothing but a constant: a column of zeros, as a line needs one
            kept[0] = True
        self.x = (u.rows[:, kept] - mean[kept]) / np.maximum(scale[kept], _LEAST_SCALE)
        self.strength = strength
        self.model = LogisticRegression(
            C=1.0 / strength, solver="newton-cholesky", max_iter=2, warm_start=True, tol=1e-9
        )
        self.model.classes_ = np.array([0, 1])
        self.model.coef_ = np.zeros((1, self.x.shape[1]))
        self.model.intercept_ = np.array([begin])
        self.twice = np.concatenate([self.x, self.x])
        self.label = np.repeat([1, 0], len(self.x))

    @property
    def penalty(self) -> float:
        """What the prior takes off the log-likelihood."""
        return float(0.5 * self.strength * (self.model.coef_**2).sum())

    @property
    def logits(self) -> Floats:
        """(u,) of the rows."""
        return np.asarray(self.x @ self.model.coef_[0] + self.model.intercept_[0])

    def improve(self, relevant: Floats, irrelevant: Floats) -> None:
        """Two Newton steps."""
        from sklearn.exceptions import ConvergenceWarning

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # two steps are meant to stop short
            both = np.concatenate([relevant, irrelevant])
            self.model.fit(self.twice, self.label, sample_weight=both)


class _Trees:
    """Boosted regression trees; each step is halved until it raises the expected log-likelihood."""

    penalty = 0.0

    def __init__(self, u: _Units, begin: float, strength: float) -> None:
        self.rows, self.fit = u.rows, ~u.judge
        self.count = u.count
        self._logits = np.full(len(u.rows), begin)

    @property
    def logits(self) -> Floats:
        """(u,) of the rows."""
        return self._logits

    def improve(self, relevant: Floats, irrelevant: Floats) -> None:
        """One tree, fitted to the Newton steps of the impressions."""
        from sklearn.tree import DecisionTreeRegressor

        count = relevant + irrelevant
        chance = sigmoid(self._logits)
        bend = np.maximum(chance * (1.0 - chance), 1e-3)
        newton = np.clip((relevant / count - chance) / bend, -_FARTHEST, _FARTHEST)
        tree = DecisionTreeRegressor(max_leaf_nodes=8, min_samples_leaf=10, random_state=0)
        tree.fit(self.rows[self.fit], newton[self.fit], sample_weight=(count * bend)[self.fit])
        step = _STEP * tree.predict(self.rows)

        def expected(logits: Floats) -> float:
            terms = relevant * logits - count * np.logaddexp(0.0, logits)
            return float(terms[self.fit].sum())

        before = expected(self._logits)
        for _ in range(_HALVINGS):
            if expected(self._logits + step) >= before:
                self._logits = self._logits + step
                return
            step = step / 2.0
