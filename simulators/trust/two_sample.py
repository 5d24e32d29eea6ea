"""Classifier two-sample test: how well boosted trees tell simulated from logged, and by what.

Source: Lopez-Paz, Oquab, "Revisiting classifier two-sample tests", ICLR 2017; the area under the curve stands in place
of the accuracy. Variance of an area: DeLong et al., Biometrics 1988, with contributions summed by session, because the
pages of a session, and a page and its double, are not independent. The folds are not independent either, each having
been trained on the others: the variance of their mean is corrected as in Nadeau, Bengio, "Inference for the
generalization error", Machine Learning 52, 2003.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

__all__ = ["Area", "Clue", "TwoSample", "area_under_curve", "tell_apart"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Area:
    """Area under the curve: the chance that a simulated row scores above a logged one; 0.5 is guessing."""

    value: float
    """Mean over folds."""
    low: float
    """Lower end of its interval."""
    high: float
    """Upper end."""
    error: float
    """Standard error."""


@dataclass(frozen=True, kw_only=True)
class Clue:
    """A feature that gives simulated rows away."""

    feature: str
    """In words."""
    importance: float
    """Area lost where the feature is shuffled among held-out rows, mean over folds."""
    simulated: float
    """Mean of the feature among simulated rows; empty values left out."""
    logged: float
    """Among logged rows."""
    spread: float
    """Standard deviation among logged rows."""

    @property
    def words(self) -> str:
        """How the means differ, or that they hardly do."""
        if abs(self.simulated - self.logged) < 0.05 * self.spread:
            return f"{self.feature} (alike on average; its spread, or what it goes with, differs)"
        return f"{self.feature} (mean {self.simulated:.3g} simulated, {self.logged:.3g} logged)"


@dataclass(frozen=True, kw_only=True)
class TwoSample:
    """What the classifier found."""

    rows: str
    """What a row is: 'page' or 'session'."""
    n_simulated: int
    """Simulated rows."""
    n_logged: int
    """Logged rows."""
    area: Area
    """Simulated against logged."""
    null: Area
    """One random half of the logged sessions against the other: what the same classifier makes of no difference."""
    p: float
    """Of 'cannot be told apart', one-sided."""
    clues: tuple[Clue, ...]
    """Most telling first."""


def area_under_curve(score: Floats, positive: NDArray[np.bool_], unit: Ints) -> tuple[float, Floats]:
    """Area under the curve, and what each unit adds to its error (U,); the squares add up to the variance."""
    high, low = np.sort(score[positive]), np.sort(score[~positive])

    def share_below(of: Floats, among: Floats) -> Floats:
        left, right = np.searchsorted(among, of, "left"), np.searchsorted(among, of, "right")
        return np.asarray((left + right) / (2.0 * len(among)))

    place = np.where(positive, share_below(score, low), 1.0 - share_below(score, high))
    area = float(place[positive].mean())
    weight = np.where(positive, 1.0 / len(high), 1.0 / len(low))
    dense = np.unique(unit, return_inverse=True)[1]
    return area, np.asarray(np.bincount(dense, weights=(place - area) * weight), np.float64)


def tell_apart(
    simulated: Floats,
    logged: Floats,
    simulated_unit: Ints,
    logged_unit: Ints,
    names: Sequence[str],
    *,
    rows: str,
    folds: int,
    confidence: float,
    seed: int,
) -> TwoSample:
    """Cross-validate over sessions; a simulated row is always in the fold of the session it stands beside.

    Args:
        simulated: (Z, P)
        logged: (Y, P)
        simulated_unit: (Z,) held-out session.
        logged_unit: (Y,) held-out session.
        names: P names.
        rows: What a row is.
        folds: Folds.
        confidence: Of the intervals.
        seed: Of folds, halves and trees.
    """
    both = np.concatenate([simulated, logged])
    unit = np.concatenate([simulated_unit, logged_unit])
    is_simulated = np.arange(len(both)) < len(simulated)
    rng = np.random.default_rng([seed, 0xC257])
    area, importance = _cross_validate(both, is_simulated, unit, folds, confidence, seed, rng, explain=True)
    half = rng.permutation(int(unit.max()) + 1) % 2 == 0
    null, _ = _cross_validate(
        logged, half[logged_unit], logged_unit, folds, confidence, seed, rng, explain=False
    )
    order = np.argsort(-importance)
    clues = tuple(
        Clue(
            feature=names[j],
            importance=float(importance[j]),
            simulated=_mean(simulated[:, j]),
            logged=_mean(logged[:, j]),
            spread=float(np.nanstd(logged[:, j])) if (~np.isnan(logged[:, j])).any() else 0.0,
        )
        for j in order
        if importance[j] > 0
    )
    z = (area.value - 0.5) / max(area.error, 1e-12)
    return TwoSample(
        rows=rows,
        n_simulated=len(simulated),
        n_logged=len(logged),
        area=area,
        null=null,
        p=0.5 * math.erfc(z / math.sqrt(2.0)),
        clues=clues,
    )


def _cross_validate(
    x: Floats,
    positive: NDArray[np.bool_],
    unit: Ints,
    folds: int,
    confidence: float,
    seed: int,
    rng: np.random.Generator,
    *,
    explain: bool,
) -> tuple[Area, Floats]:
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.inspection import permutation_importance

    fold_of = (rng.permutation(int(unit.max()) + 1) % folds)[unit]
    areas, variance, importance, weight = [], 0.0, np.zeros(x.shape[1]), 0
    for fold in range(folds):
        test = fold_of == fold
        if len(np.unique(positive[test])) < 2 or len(np.unique(positive[~test])) < 2:
            continue
        # The trees take empty values, but no column of nothing else.
        x = np.where(np.isnan(x[~test]).all(axis=0), 0.0, x)
        model = HistGradientBoostingClassifier(
            max_iter=60,
            learning_rate=0.1,
            max_leaf_nodes=15,
            min_samples_leaf=30,
            l2_regularization=1.0,
            early_stopping=False,
            random_state=seed,
        ).fit(x[~test], positive[~test])
        found, parts = area_under_curve(
            np.asarray(model.decision_function(x[test]), np.float64), positive[test], unit[test]
        )
        areas.append(found)
        variance += float((parts**2).sum())
        weight += 1
        if explain:
            shuffled = permutation_importance(
                model, x[test], positive[test], scoring="roc_auc", n_repeats=1, random_state=seed
            )
            importance += shuffled.importances_mean
    value = float(np.mean(areas))
    # Of `weight` folds the mean has variance s^2 / weight; what a fold's training shares adds s^2 / (weight - 1).
    error = math.sqrt(variance * (1.0 + weight / (weight - 1.0))) / weight
    reach = NormalDist().inv_cdf(0.5 + confidence / 2.0) * error
    return Area(value=value, low=value - reach, high=value + reach, error=error), importance / weight


def _mean(values: Floats) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")
