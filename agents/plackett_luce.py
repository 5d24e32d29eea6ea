"""The Plackett-Luce distribution over slates: sampling, prefix probabilities and exact item-position marginals.

A slate is drawn without replacement, position by position, with probabilities proportional to `exp(score)` among the
candidates that are left (Plackett 1975; Luce 1959). Adding independent Gumbel noise to the scores and sorting draws
from it (Yellott 1977; Kool, van Hoof, Welling 2019). A score of -inf marks a candidate that cannot be shown.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.kernels import plackett_luce as kernels

__all__ = ["item_position_marginals", "log_cascade", "position_marginals", "prefix_sets", "sample", "top_k"]


def top_k(scores: NDArray[Any], slate_size: int) -> NDArray[np.int64]:
    """The `K` best candidates of each row in falling order of score; ties in source order.

    Args:
        scores: (B, N), -inf where a candidate cannot be shown.
        slate_size: `K`.

    Returns:
        Candidate positions (B, K).

    Raises:
        ValueError: A row has fewer than `K` candidates, or a score is nan.
    """
    scores = _checked_scores(scores, slate_size)
    out = np.empty((scores.shape[0], slate_size), np.int64)
    kernels.top_k(scores.shape[0], scores, out)
    return out


def sample(scores: NDArray[Any], gumbel: NDArray[Any], slate_size: int) -> NDArray[np.int64]:
    """Slates (B, K) drawn with the given standard Gumbel noise (B, N)."""
    return top_k(np.asarray(scores, np.float64) + gumbel, slate_size)


def log_cascade(scores: NDArray[Any], actions: NDArray[Any]) -> NDArray[np.float64]:
    """Log-probability of each prefix of the slates; the last column is that of the whole slate.

    Args:
        scores: (B, N).
        actions: Candidate positions (B, K).

    Returns:
        (B, K), non-increasing along a row; -inf from the first repeat or masked candidate on.
    """
    scores = _checked_scores(scores, 1)
    actions = _checked_actions(scores, actions)
    out = np.empty(actions.shape, np.float64)
    kernels.log_cascade(scores.shape[0], scores, actions, out)
    return out


def item_position_marginals(scores: NDArray[Any], actions: NDArray[Any]) -> NDArray[np.float64]:
    """Exact probability (B, K) that the item shown at each position is shown at that position.

    Args:
        scores: (B, N).
        actions: Candidate positions (B, K), without repeats (a slate with a repeat gets zeros).

    Returns:
        (B, K); the error is below 1e-9 of the value, see the module of kernels for the method.
    """
    scores = _checked_scores(scores, 1)
    actions = _checked_actions(scores, actions)
    out = np.empty(actions.shape, np.float64)
    kernels.slate_marginals(scores.shape[0], scores, actions, _step_width(actions.shape[1]), out)
    return out


def prefix_sets(scores: NDArray[Any], actions: NDArray[Any]) -> NDArray[np.float64]:
    """Exact probability (B, K) that the items above each position stand above it in any order, and its item there.

    Args:
        scores: (B, N).
        actions: Candidate positions (B, K); zeros from the first repeat or masked candidate on.

    Returns:
        (B, K), at least the cascade probability; the error is below 1e-9 of the value.
    """
    scores = _checked_scores(scores, 1)
    actions = _checked_actions(scores, actions)
    out = np.empty(actions.shape, np.float64)
    kernels.prefix_sets(scores.shape[0], scores, actions, _step_width(actions.shape[1]), out)
    return out


def position_marginals(scores: NDArray[Any], slate_size: int) -> NDArray[np.float64]:
    """Exact probability (B, K, N) of every candidate at every position; rows over N sum to one."""
    scores = _checked_scores(scores, slate_size)
    B, N = scores.shape
    out = np.empty((B, slate_size, N), np.float64)
    kernels.marginals(B, scores, _step_width(slate_size), out)
    return out


@cache
def _step_width(slate_size: int) -> float:
    """Step of the trapezoid rule in log time.

    The sharpest integrand is that of very many equal clocks, whose k-th rings at a gamma-distributed time; the rule's
    error there is the Fourier transform of its logarithm's density, |Gamma(K + i w)| / Gamma(K) at w = 2 pi / h, and
    |Gamma(K + i w)|^2 = pi w / sinh(pi w) prod_{s=1}^{K-1} (s^2 + w^2). The step is the widest with an error of 1e-11.
    """
    h = 0.4
    while True:
        w = 2.0 * math.pi / h
        log_square = (
            math.log(2.0 * math.pi * w) - math.pi * w
        )  # sinh(pi w) = exp(pi w) / 2 to the last bit here
        log_square += sum(math.log1p((w / s) ** 2) for s in range(1, slate_size))
        if 0.5 * log_square < math.log(1e-11):
            return h
        h *= 0.98


def _checked_scores(scores: NDArray[Any], slate_size: int) -> NDArray[np.float64]:
    scores = np.ascontiguousarray(scores, np.float64)
    if scores.ndim != 2:
        raise ValueError(f"scores must have shape (B, N), found {scores.shape}")
    if np.isnan(scores).any() or np.isposinf(scores).any():
        row = int(np.flatnonzero((np.isnan(scores) | np.isposinf(scores)).any(axis=1))[0])
        raise ValueError(f"scores of row {row} are not all finite or -inf: {scores[row]}")
    available = (scores > -np.inf).sum(axis=1)
    if available.size and available.min() < slate_size:
        row = int(available.argmin())
        raise ValueError(f"row {row} has {available[row]} candidates, fewer than the slate's {slate_size}")
    return scores


def _checked_actions(scores: NDArray[np.float64], actions: NDArray[Any]) -> NDArray[np.int64]:
    actions = np.ascontiguousarray(actions, np.int64)
    if actions.ndim != 2 or actions.shape[0] != scores.shape[0] or actions.shape[1] < 1:
        raise ValueError(f"actions must have shape ({scores.shape[0]}, K), found {actions.shape}")
    return actions
