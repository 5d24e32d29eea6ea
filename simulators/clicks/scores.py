"""Perplexity and log-likelihood of clicks on sessions held out, with bootstrap intervals, and their differences.

Perplexity at a position is 2 to the power of the mean negative log2-probability of what happened there: 1 is
perfect, 2 is a coin. The *plain* one asks for the chance of a click before anything of the page is known, the
*conditional* one for the chance given the clicks above; overall is the mean over positions (Dupret and
Piwowarski, SIGIR 2008; Chuklin, Markov, de Rijke, 2015, section 5.1). A model that gives an event that happened
no chance has log-likelihood -inf: its chances are kept 1e-9 away from 0 and 1 in these figures, and
`impossible` counts the pages.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError
from simulators.clicks.fitted import Prediction
from simulators.clicks.pages import ClickPages
from simulators.resampling import resampled_sums, sums_by_session

__all__ = ["ClickScores", "Figure", "rates_prediction", "score", "subtract"]

Floats = NDArray[np.float64]
_FLOOR = math.log(1e-9)


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A value with its bootstrap interval over sessions, and the resampled values behind it."""

    value: float
    low: float
    high: float
    draws: Floats  # (R,)

    @classmethod
    def of(cls, value: float, draws: Floats, confidence: float) -> Figure:
        """With percentile ends."""
        known = draws[~np.isnan(draws)]
        if not len(known) or math.isnan(value):
            return cls(value=value, low=math.nan, high=math.nan, draws=draws)
        tail = (1.0 - confidence) / 2.0
        low, high = (float(q) for q in np.quantile(known, [tail, 1.0 - tail]))
        return cls(value=value, low=low, high=high, draws=draws)

    @property
    def excludes_zero(self) -> bool:
        """Whether zero lies outside."""
        return self.low > 0 or self.high < 0

    def __str__(self) -> str:
        return f"{self.value:.4f} [{self.low:.4f}, {self.high:.4f}]"


@dataclass(frozen=True, kw_only=True)
class ClickScores:
    """One model on one set of held-out pages."""

    log_likelihood: Figure
    """Per page; higher is better."""
    perplexity: Figure
    """Mean over positions of the plain one."""
    conditional_perplexity: Figure
    """Mean over positions of the conditional one."""
    by_position: tuple[Figure, ...]
    """Plain, at each position; nan where nothing was shown."""
    conditional_by_position: tuple[Figure, ...]
    """Conditional, at each position."""
    impossible: int
    """Held-out pages that the model says cannot be."""
    confidence: float
    """Of the intervals."""


def score(
    prediction: Prediction,
    pages: ClickPages,
    *,
    n_bootstrap: int = 1_000,
    confidence: float = 0.95,
    seed: int = 0,
) -> ClickScores:
    """Judge a prediction of `pages`.

    Raises:
        InputError: There are no pages.
    """
    if not pages.n_pages:
        raise InputError("there is no held-out page to judge by", where="score", mend="a longer log")
    k, shown = pages.n_positions, pages.shown

    def bits(yes: Floats, no: Floats) -> Floats:
        found = np.where(pages.click, yes, no)
        return np.where(shown, -np.maximum(found, _FLOOR) / math.log(2.0), 0.0)

    # The conditional terms add up to the page's log-likelihood, kept away from -inf like them.
    given = bits(prediction.given_yes, prediction.given_no)
    before = bits(prediction.marginal_yes, prediction.marginal_no)
    likelihood = -given.sum(axis=1, keepdims=True) * math.log(2.0)
    one = np.ones((pages.n_pages, 1))
    columns = np.concatenate([likelihood, one, before, given, shown.astype(np.float64)], axis=1)
    sums = sums_by_session(columns, pages.session)
    drawn = resampled_sums(sums, n_bootstrap, seed)
    every = np.concatenate([sums.sum(axis=0, keepdims=True), drawn])  # (1 + R, J), the log itself first
    with np.errstate(invalid="ignore", divide="ignore"):
        count = every[:, 2 + 2 * k :]
        plain = np.where(count > 0, 2.0 ** (every[:, 2 : 2 + k] / count), np.nan)
        conditional = np.where(count > 0, 2.0 ** (every[:, 2 + k : 2 + 2 * k] / count), np.nan)
        page = every[:, 0] / every[:, 1]

    def figure(values: Floats) -> Figure:
        return Figure.of(float(values[0]), values[1:], confidence)

    used = shown.any(axis=0)
    return ClickScores(
        log_likelihood=figure(page),
        perplexity=figure(plain[:, used].mean(axis=1)),
        conditional_perplexity=figure(conditional[:, used].mean(axis=1)),
        by_position=tuple(figure(plain[:, j]) for j in range(k)),
        conditional_by_position=tuple(figure(conditional[:, j]) for j in range(k)),
        impossible=int(np.isneginf(prediction.log_likelihood).sum()),
        confidence=confidence,
    )


def subtract(first: Figure, second: Figure, confidence: float = 0.95) -> Figure:
    """Interval of `first - second`, both from `score` on the same pages with the same seed: the same resamples."""
    return Figure.of(first.value - second.value, first.draws - second.draws, confidence)


def rates_prediction(train: ClickPages, pages: ClickPages) -> Prediction:
    """The baseline: the rate of clicks at each position of `train`, whatever is shown; half a click added each way."""
    shown = train.shown
    rate = ((train.click & shown).sum(axis=0) + 0.5) / (shown.sum(axis=0) + 1.0)
    yes = np.broadcast_to(np.log(rate), pages.item.shape)
    no = np.broadcast_to(np.log1p(-rate), pages.item.shape)
    likelihood = np.where(pages.shown, np.where(pages.click, yes, no), 0.0).sum(axis=1)
    return Prediction(log_likelihood=likelihood, given_yes=yes, given_no=no, marginal_yes=yes, marginal_no=no)
