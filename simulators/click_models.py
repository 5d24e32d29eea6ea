"""Closed forms of the five click models, in plain NumPy: what `simulators.kernels.clicks` draws from.

All functions take pages by their logits (M, K), -inf where a position is empty, and rows that broadcast to (M, K):
`examination` for position and multinomial, `after_click` and `after_skip` for the models that look from the top
(see `simulators.kernels.clicks` for the laws; the last entries of these two are not read). The appeal a of an item,
the chance of a click on it where it is looked at, is the logistic function of its logit.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simulators.kernels.clicks import ClickModel

__all__ = [
    "ClickModel",
    "click_probability",
    "click_probability_given_above",
    "click_vectors",
    "looks",
    "sigmoid",
    "vector_probability",
]

Floats = NDArray[np.float64]


def sigmoid(logits: Floats) -> Floats:
    """1 / (1 + exp(-x)) without overflow; 0 at -inf."""
    e = np.exp(-np.abs(logits))
    return np.where(logits >= 0, 1.0, e) / (1.0 + e)


def click_vectors(n_positions: int) -> NDArray[np.uint8]:
    """All 2^K click vectors, shape (2^K, K), in the order of binary numbers."""
    codes = np.arange(2**n_positions)[:, None]
    return (codes >> np.arange(n_positions)[::-1] & 1).astype(np.uint8)


def vector_probability(
    model: ClickModel,
    logits: Floats,
    click: NDArray[np.uint8],
    *,
    examination: Floats | float = 1.0,
    after_click: Floats | float = 0.0,
    after_skip: Floats | float = 1.0,
) -> Floats:
    """Probability (M,) of whole click vectors (M, K); over all vectors of a page they sum to one.

    - position: the product of gamma_k a_k where clicked and 1 - gamma_k a_k where not.
    - from the top: the sum over the depth d at which the reader stops of the product of a_k or 1 - a_k and of the
      chances to go on down to d (0 for a depth above the last click).
    - multinomial: the odds w_k of the clicked position, or 1 for none, over 1 + the sum of w; 0 for two clicks.
    """
    clicked = click > 0
    appeal = sigmoid(logits)
    if model == ClickModel.POSITION:
        chance = examination * appeal
        return np.asarray(np.where(clicked, chance, 1.0 - chance).prod(axis=1))
    if model == ClickModel.MULTINOMIAL:
        odds, none = _odds(logits, examination)
        chosen = np.where(clicked.any(axis=1), (clicked * odds).sum(axis=1), none)
        return np.where(clicked.sum(axis=1) > 1, 0.0, chosen / (none + odds.sum(axis=1)))
    shape = np.broadcast_shapes(appeal.shape, click.shape)
    here = np.broadcast_to(np.where(clicked, appeal, 1.0 - appeal), shape)
    go_on = np.broadcast_to(np.where(clicked, after_click, after_skip), shape)
    total, reached = np.zeros(shape[0]), np.ones(shape[0])
    for depth in range(shape[1]):  # the reader looks at this position, and stops here
        reached = reached * here[:, depth]
        last = depth + 1 == shape[1]
        none_below = ~clicked[:, depth + 1 :].any(axis=1)
        total += none_below * reached * (1.0 if last else 1.0 - go_on[:, depth])
        reached = reached * go_on[:, depth]
    return total


def click_probability(
    model: ClickModel,
    logits: Floats,
    *,
    examination: Floats | float = 1.0,
    after_click: Floats | float = 0.0,
    after_skip: Floats | float = 1.0,
) -> Floats:
    """Probability (M, K) of a click at each position, before anything of the page is known."""
    appeal = sigmoid(logits)
    if model == ClickModel.POSITION:
        return np.asarray(examination * appeal)
    if model == ClickModel.MULTINOMIAL:
        odds, none = _odds(logits, examination)
        return np.asarray(odds / (none + odds.sum(axis=1))[:, None])
    return looks(appeal, after_click=after_click, after_skip=after_skip) * appeal


def looks(appeal: Floats, *, after_click: Floats | float, after_skip: Floats | float) -> Floats:
    """Probability (M, K) that a reader who looks from the top looks at each position."""
    go_on = appeal * after_click + (1.0 - appeal) * after_skip  # (M, K)
    out = np.ones(appeal.shape)
    np.cumprod(go_on[:, :-1], axis=1, out=out[:, 1:])
    return out


def click_probability_given_above(
    model: ClickModel,
    logits: Floats,
    click: NDArray[np.uint8],
    *,
    examination: Floats | float = 1.0,
    after_click: Floats | float = 0.0,
    after_skip: Floats | float = 1.0,
) -> Floats:
    """Probability (M, K) of a click at each position given the clicks above it: their product is the likelihood.

    From the top, a pass-over lowers the belief that the position was looked at, by Bayes' rule.
    """
    shape = np.broadcast_shapes(logits.shape, click.shape)
    appeal = np.broadcast_to(sigmoid(logits), shape)
    if model == ClickModel.POSITION:
        return np.asarray(examination * appeal)
    if model == ClickModel.MULTINOMIAL:
        odds, none = _odds(logits, examination)
        from_here = np.cumsum(odds[:, ::-1], axis=1)[:, ::-1]  # this position's odds and those below it
        clicked_above: NDArray[np.int64] = np.cumsum(click > 0, axis=1) - (click > 0)
        return np.where(clicked_above > 0, 0.0, odds / (none[:, None] + from_here))
    go_click, go_skip = np.broadcast_to(after_click, shape), np.broadcast_to(after_skip, shape)
    out = np.empty(shape)
    looked = np.ones(shape[0])
    for k in range(shape[1]):
        out[:, k] = looked * appeal[:, k]
        passed = looked * (1.0 - appeal[:, k]) / np.maximum(1.0 - out[:, k], 1e-12)
        looked = np.where(click[:, k] > 0, go_click[:, k], passed * go_skip[:, k])
    return out


def _odds(logits: Floats, examination: Floats | float) -> tuple[Floats, Floats]:
    """Odds (M, K) of each position and (M,) of no click, on one scale that cannot overflow."""
    top = np.maximum(logits.max(axis=1), 0.0)
    return examination * np.exp(logits - top[:, None]), np.exp(-top)
