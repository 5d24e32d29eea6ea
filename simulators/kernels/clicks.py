"""Five click models as device functions of one user's page: draw the clicks, or say how probable they were.

A page is given by its logits (chance of a click on an item that is looked at: the logistic function of its logit;
-inf where the position is empty) and by three rows of one length with it, of which a model reads what it needs:

- position (reads `examination`): a click at k with chance examination[k] * sigmoid(logit[k]), positions independent.
- cascade, dependent, dynamic Bayesian (read `after_click` and `after_skip`): look from the top; go on to k+1 with
  chance after_click[k] after a click at k, after_skip[k] otherwise. They differ in what fills the rows, never in
  the law: cascade has 0 and 1; dependent after_click free and after_skip 1; dynamic Bayesian
  after_click[k] = perseverance * (1 - satisfaction with the item at k) and after_skip = perseverance.
- multinomial (reads `examination`): at most one click; odds against none: examination[k] * exp(logit[k]).

All are inlined where they are called: a call that hands over six arrays takes as long as all the random numbers of
a page.

Sources: Chuklin, Markov, de Rijke, "Click Models for Web Search", 2015, chapter 3; Chapelle and Zhang, "A dynamic
Bayesian network click model for web search ranking", WWW 2009; Luce, "Individual Choice Behavior", 1959.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import numpy as np
from numba import njit, prange

from simulators.kernels.rng import Purpose, philox4x32, uniform
from simulators.kernels.tables import sigmoid
from simulators.kernels.twins import Twin

__all__ = ["ClickModel", "draw_clicks", "log_probability", "page_clicks", "page_log_probabilities"]


class ClickModel(IntEnum):
    """The code by which kernels choose a click model."""

    POSITION = 0
    CASCADE = 1
    DEPENDENT = 2
    DYNAMIC_BAYESIAN = 3
    MULTINOMIAL = 4


_POSITION = int(ClickModel.POSITION)
_MULTINOMIAL = int(ClickModel.MULTINOMIAL)
_CLICK = int(Purpose.CLICK)
_EXAMINATION = int(Purpose.EXAMINATION)
_LOW = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)
_16 = np.uint64(16)


@njit(cache=True, inline="always")
def _block(seed: Any, user: Any, step: Any, purpose: Any, index: Any) -> Any:
    """The four words behind `uniform(..., 4 * index)` to `uniform(..., 4 * index + 3)`."""
    s = np.uint64(seed)
    u = np.uint64(user)
    last = (np.uint64(purpose) << _16) | np.uint64(index)
    return philox4x32(u & _LOW, u >> _32, np.uint64(step), last, s & _LOW, s >> _32)


@njit(cache=True, inline="always")
def _number(word: Any) -> Any:
    """A number in (0, 1), as `uniform` makes it of a word."""
    return (np.float64(word) + 0.5) * 2.3283064365386963e-10  # 2^-32


@njit(cache=True, inline="always")
def _draw_independent(
    n_positions: Any, logits: Any, examination: Any, user: Any, step: Any, seed: Any, click: Any
) -> None:
    a, b, c, d = np.uint64(0), np.uint64(0), np.uint64(0), np.uint64(0)
    for k in range(n_positions):
        if k & 3 == 0:
            a, b, c, d = _block(seed, user, step, _CLICK, k >> 2)
        u, x = _number(a), logits[k]
        # For x <= 0, exp(-x) >= 1 - x + x^2/2, so sigmoid(x) <= 1 / (2 - x + x^2/2): most draws of a rare click are
        # settled without an exponential.
        if x <= 0.0 and u * (2.0 - x + 0.5 * x * x) >= examination[k]:
            click[k] = 0
        else:
            click[k] = u < examination[k] * sigmoid(x)
        a, b, c, d = b, c, d, a


@njit(cache=True, inline="always")
def _draw_from_the_top(
    n_positions: Any,
    logits: Any,
    after_click: Any,
    after_skip: Any,
    user: Any,
    step: Any,
    seed: Any,
    click: Any,
) -> None:
    a, b, c, d = np.uint64(0), np.uint64(0), np.uint64(0), np.uint64(0)
    e, f, g, h = np.uint64(0), np.uint64(0), np.uint64(0), np.uint64(0)
    drawn = -1  # the block of examination numbers at hand; none is needed where going on is certain
    for k in range(n_positions):
        if k & 3 == 0:
            a, b, c, d = _block(seed, user, step, _CLICK, k >> 2)
        clicked = _number(a) < sigmoid(logits[k])
        a, b, c, d = b, c, d, a
        click[k] = clicked
        go_on = after_click[k] if clicked else after_skip[k]
        looking = go_on >= 1.0
        if 0.0 < go_on < 1.0:
            if drawn != k >> 2:
                drawn = k >> 2
                e, f, g, h = _block(seed, user, step, _EXAMINATION, drawn)
            lane = k & 3
            looking = _number(e if lane == 0 else f if lane == 1 else g if lane == 2 else h) < go_on
        if not looking:
            for j in range(k + 1, n_positions):
                click[j] = 0
            return


@njit(cache=True, inline="always")
def _odds(n_positions: Any, logits: Any, examination: Any) -> Any:
    """The largest logit (at least 0, that of no click), and the sum of all odds divided by its exponential."""
    top = 0.0
    for k in range(n_positions):
        top = max(top, logits[k])
    total = np.exp(-top)
    for k in range(n_positions):
        total += examination[k] * np.exp(logits[k] - top)
    return top, total


@njit(cache=True, inline="always")
def _draw_one(
    n_positions: Any, logits: Any, examination: Any, user: Any, step: Any, seed: Any, click: Any
) -> None:
    top, total = _odds(n_positions, logits, examination)
    left = uniform(seed, user, step, _CLICK, 0) * total
    for k in range(n_positions):
        click[k] = 0
    for k in range(n_positions):
        weight = examination[k] * np.exp(logits[k] - top)
        if left < weight:
            click[k] = 1
            return
        left -= weight


@njit(cache=True, inline="always")
def draw_clicks(
    model: Any,
    n_positions: Any,
    logits: Any,
    examination: Any,
    after_click: Any,
    after_skip: Any,
    user: Any,
    step: Any,
    seed: Any,
    click: Any,
) -> None:
    """Draw one user's clicks on a page; nothing is allocated.

    The numbers are `uniform(seed, user, step, CLICK, k)` and, for going on, `uniform(..., EXAMINATION, k)`, drawn
    four at a time; multinomial choice takes the first alone.

    Args:
        model: Code of a `ClickModel`.
        n_positions: K; the rows may be longer.
        logits: (K,) float64, -inf where the position is empty.
        examination: (K,) for position and multinomial.
        after_click: (K,) for the models that look from the top; its last entry is not read.
        after_skip: (K,) likewise.
        user: Key of chance.
        step: Key of chance.
        seed: Key of chance.
        click: (K,) uint8, written: 0 or 1.
    """
    if model == _POSITION:
        _draw_independent(n_positions, logits, examination, user, step, seed, click)
    elif model == _MULTINOMIAL:
        _draw_one(n_positions, logits, examination, user, step, seed, click)
    else:
        _draw_from_the_top(n_positions, logits, after_click, after_skip, user, step, seed, click)


@njit(cache=True, inline="always")
def _log_independent(n_positions: Any, logits: Any, examination: Any, click: Any) -> Any:
    out = 0.0
    chance = 1.0
    for k in range(n_positions):
        if click[k]:
            chance *= examination[k] * sigmoid(logits[k])
        else:  # 1 - gamma * a, without cancellation where both are near 1
            chance *= (1.0 - examination[k]) + examination[k] * sigmoid(-logits[k])
        if chance < 1e-3:  # one logarithm for many factors, and never an underflow
            if chance <= 0.0:
                return -np.inf
            out += np.log(chance)
            chance = 1.0
    return out + np.log(chance)


@njit(cache=True, inline="always")
def _log_from_the_top(n_positions: Any, logits: Any, after_click: Any, after_skip: Any, click: Any) -> Any:
    # Forward recursion over the one thing not seen: whether the reader still looks.
    out = 0.0
    looking, stopped = 1.0, 0.0
    for k in range(n_positions):
        if click[k]:
            seen = looking * sigmoid(logits[k])
            stopped = 0.0
            go_on = after_click[k]
        else:
            seen = looking * sigmoid(-logits[k])
            go_on = after_skip[k]
        if k + 1 == n_positions:
            go_on = 1.0
        stopped += seen * (1.0 - go_on)
        looking = seen * go_on
        total = looking + stopped
        if total < 1e-3:
            if total <= 0.0:
                return -np.inf
            out += np.log(total)
            looking /= total
            stopped /= total
    return out + np.log(looking + stopped)


@njit(cache=True, inline="always")
def _log_one(n_positions: Any, logits: Any, examination: Any, click: Any) -> Any:
    chosen = -1
    for k in range(n_positions):
        if click[k]:
            if chosen >= 0:
                return -np.inf
            chosen = k
    top, total = _odds(n_positions, logits, examination)
    if chosen < 0:
        return -top - np.log(total)
    if examination[chosen] <= 0.0:
        return -np.inf
    return np.log(examination[chosen]) + logits[chosen] - top - np.log(total)


@njit(cache=True, inline="always")
def log_probability(
    model: Any,
    n_positions: Any,
    logits: Any,
    examination: Any,
    after_click: Any,
    after_skip: Any,
    click: Any,
) -> Any:
    """Log of the probability that `draw_clicks` with these arguments gives the whole vector `click` (K,)."""
    if model == _POSITION:
        return _log_independent(n_positions, logits, examination, click)
    if model == _MULTINOMIAL:
        return _log_one(n_positions, logits, examination, click)
    return _log_from_the_top(n_positions, logits, after_click, after_skip, click)


@Twin
def page_clicks(
    click: Any,
    model: Any,
    logits: Any,
    examination: Any,
    after_click: Any,
    after_skip: Any,
    user: Any,
    step: Any,
    seed: Any,
) -> None:
    """`draw_clicks` for B users: logits (B, K) and rows (B, K), or (1, K) where all users share them."""
    for b in prange(logits.shape[0]):
        i = np.int64(
            b
        )  # numba counts pranges in unsigned numbers, and would mix them with signed ones to floats
        draw_clicks(
            model,
            logits.shape[1],
            logits[b],
            examination[min(i, examination.shape[0] - 1)],
            after_click[min(i, after_click.shape[0] - 1)],
            after_skip[min(i, after_skip.shape[0] - 1)],
            user[b],
            step[b],
            seed,
            click[b],
        )


@Twin
def page_log_probabilities(
    out: Any, model: Any, logits: Any, examination: Any, after_click: Any, after_skip: Any, click: Any
) -> None:
    """`log_probability` (B,) for B users; rows as in `page_clicks`."""
    for b in prange(logits.shape[0]):
        i = np.int64(b)
        out[b] = log_probability(
            model,
            logits.shape[1],
            logits[b],
            examination[min(i, examination.shape[0] - 1)],
            after_click[min(i, after_click.shape[0] - 1)],
            after_skip[min(i, after_skip.shape[0] - 1)],
            click[b],
        )
