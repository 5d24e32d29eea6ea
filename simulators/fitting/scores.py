"""Held-out scores of the parts: pure functions of probabilities and outcomes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["log_likelihood", "log_loss", "mean", "mean_known", "perplexity", "position_rates"]

_FLOOR = 1e-9


def log_likelihood(chance: NDArray[np.float64], outcome: NDArray[Any]) -> NDArray[np.float64]:
    """Log-probability of each outcome, any shape; chances are kept 1e-9 away from 0 and 1."""
    kept = np.clip(chance, _FLOOR, 1.0 - _FLOOR)
    return np.asarray(np.where(outcome > 0, np.log(kept), np.log1p(-kept)))


def log_loss(chance: NDArray[np.float64], outcome: NDArray[Any]) -> float:
    """Mean negative log-probability; nan where there is nothing."""
    return -mean(log_likelihood(chance, outcome))


def mean(values: NDArray[np.float64]) -> float:
    """The mean; nan, without a warning, of nothing."""
    return float(values.mean()) if values.size else float("nan")


def mean_known(values: tuple[float, ...]) -> float:
    """The mean of those that are not nan."""
    return mean(np.array([value for value in values if not np.isnan(value)]))


def perplexity(
    chance: NDArray[np.float64], click: NDArray[Any], shown: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Perplexity of clicks by position (K,): 2 to the power of the mean negative log2-probability; 1 is perfect.

    Source: Dupret, Piwowarski, "A user browsing model to predict search engine click data", SIGIR 2008.
    """
    bits = np.where(shown, -log_likelihood(np.where(shown, chance, 0.5), click) / np.log(2.0), 0.0)
    count = shown.sum(axis=0)
    average = bits.sum(axis=0) / np.maximum(count, 1)
    return np.where(count > 0, 2.0**average, np.nan)


def position_rates(event: NDArray[Any], shown: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Smoothed rate of an event by position (K,), half an event added each way."""
    return np.asarray(((event * shown).sum(axis=0) + 0.5) / (shown.sum(axis=0) + 1.0))
