"""What an item is expected to earn at the top of a page: click and purchase models fitted to impressions."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError

__all__ = ["BoostedChance", "Chance", "LogisticChance", "fit_chance"]

_FEWEST_FOR_BOOSTING = 2_000
"""Impressions below which trees would only learn the noise: a logistic regression takes their place."""
_FEWEST_EVENTS = 50


class Chance(Protocol):
    """Columns (M, C) of items -> logits (M,)."""

    def logits(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Logits at the top of a page, (M,)."""
        ...


@dataclass(frozen=True)
class LogisticChance:
    """A logistic regression in the columns; positions enter its fit as a control."""

    weights: NDArray[np.float64]  # (C,) of the raw columns
    constant: float

    def logits(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """See `Chance`; no matrix product, whose last bits depend on the batch."""
        total = np.full(x.shape[0], self.constant)
        for c, weight in enumerate(self.weights):
            total += weight * x[:, c]
        return total


@dataclass(frozen=True)
class BoostedChance:
    """Boosted trees on the columns and the position, asked for the top position."""

    model: Any

    def logits(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """See `Chance`."""
        columns = np.concatenate([x, np.zeros((x.shape[0], 1), np.float32)], axis=1)
        logits: NDArray[np.float64] = np.asarray(self.model.decision_function(columns), np.float64)
        return logits


@dataclass(frozen=True)
class _Constant:
    value: float

    def logits(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        return np.full(x.shape[0], self.value)


def fit_chance(
    x: NDArray[np.float32],
    happened: NDArray[np.floating],
    position: NDArray[np.int64],
    *,
    model: Literal["boosting", "logistic"],
    regularisation: float,
    trees: int,
    seed: int,
) -> Chance:
    """Fit the chance that something happens to an impression.

    Boosting (histogram gradient boosting with early stopping on a tenth of the impressions) needs some thousands of
    impressions; with fewer, or fewer than 50 events of either sort, the logistic regression is fitted instead, and with
    fewer than 10 a constant.

    Args:
        x: (M, C) columns.
        happened: (M,) 0 or 1.
        position: (M,) where the item stood.
        model: Which one.
        regularisation: L2 penalty (on the standardised weights; on the trees' leaves).
        trees: The most trees of boosting.
        seed: Of boosting's held-out tenth.

    Raises:
        InputError: There are no impressions.
    """
    events = float(happened.sum())
    rarer = min(events, happened.size - events)
    if not happened.size:
        raise InputError("there are no impressions", where="click model", mend="give a log with pages")
    if rarer < 10:
        rate = (events + 0.5) / (happened.size + 1.0)
        return _Constant(float(np.log(rate / (1.0 - rate))))
    if model == "boosting" and happened.size >= _FEWEST_FOR_BOOSTING and rarer >= _FEWEST_EVENTS:
        from sklearn.ensemble import HistGradientBoostingClassifier

        boosted = HistGradientBoostingClassifier(
            max_iter=trees,
            learning_rate=0.1,
            max_leaf_nodes=15,
            min_samples_leaf=50,
            l2_regularization=regularisation,
            early_stopping=True,
            validation_fraction=0.1,
            n_iter_no_change=10,
            random_state=seed,
        )
        boosted.fit(np.concatenate([x, position[:, None].astype(np.float32)], axis=1), happened)
        return BoostedChance(boosted)
    return _logistic(x, happened, position, regularisation)


def _logistic(
    x: NDArray[np.float32], happened: NDArray[np.floating], position: NDArray[np.int64], regularisation: float
) -> LogisticChance:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    mean, scale = x.mean(axis=0, dtype=np.float64), x.std(axis=0, dtype=np.float64)
    scale[scale < 1e-6] = np.inf  # a constant column tells nothing: its weight becomes 0
    control = np.eye(int(position.max()) + 1, dtype=np.float32)[position][:, 1:]  # against the top position
    standard = (x - mean.astype(np.float32)) / scale.astype(np.float32)
    model = LogisticRegression(C=1.0 / regularisation, max_iter=500)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        model.fit(np.hstack([standard, control]), happened)
    weights = model.coef_[0, : x.shape[1]].astype(np.float64) / scale
    return LogisticChance(weights, float(model.intercept_[0] - weights @ mean))
