"""Logistic regression on counts with a ridge, and a choice of the ridge that distrusts few clicks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["choose_ridge", "fit_cautiously", "fit_logistic", "log_likelihood", "sigmoid"]

_GRID = (1e6, 300.0, 100.0, 30.0, 10.0, 3.0, 1.0)


def sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 / (1 + exp(-x)) without overflow."""
    out: NDArray[np.float64] = 0.5 * (1.0 + np.tanh(0.5 * x))
    return out


def fit_logistic(
    x: NDArray[np.float64],
    hits: NDArray[np.float64],
    misses: NDArray[np.float64],
    *,
    ridge: float,
    centre: NDArray[np.float64] | None = None,
    iterations: int = 50,
) -> tuple[NDArray[np.float64], float]:
    """Maximise `sum(hits log p + misses log(1-p)) - ridge/2 |w - centre|^2` with `p = sigmoid(x w + b)`.

    Newton's method; the intercept has no ridge, but half a hit and half a miss in all keep it finite.

    Args:
        x: Features (n, D).
        hits: Weight of positives of each row (n,).
        misses: Weight of negatives of each row (n,).
        ridge: Weight of the prior on `w`, positive.
        centre: Where the prior pulls `w` (D,); zero by default.
        iterations: Newton steps at most.

    Returns:
        `w` (D,) and `b`.
    """
    n, D = x.shape
    prior = np.zeros(D) if centre is None else centre
    total = hits + misses
    rate = (hits.sum() + 0.5) / (total.sum() + 1.0)
    w, b = prior.copy(), float(np.log(rate / (1.0 - rate)))
    if n == 0 or total.sum() == 0.0:
        return w, b
    design = np.concatenate([x, np.ones((n, 1))], axis=1)  # (n, D+1)
    for _ in range(iterations):
        p = sigmoid(x @ w + b)
        shrink = sigmoid(np.array([b]))[0]  # the half hit and half miss, at w = 0
        gradient = design.T @ (hits - total * p)
        gradient[:D] -= ridge * (w - prior)
        gradient[D] += 0.5 - shrink
        curvature = (design * (total * p * (1.0 - p))[:, None]).T @ design
        curvature[np.arange(D), np.arange(D)] += ridge
        curvature[D, D] += shrink * (1.0 - shrink)
        step = np.linalg.solve(curvature, gradient)
        # A long first step can overshoot where rates are tiny: no coordinate of the logit moves by more than 4.
        longest = float(np.abs(design @ step).max())
        step *= min(1.0, 4.0 / max(longest, 1e-12))
        w, b = w + step[:D], b + float(step[D])
        if float(np.abs(step).max()) < 1e-8:
            break
    return w, b


def fit_cautiously(
    x: NDArray[np.float64],
    hits: NDArray[np.float64],
    misses: NDArray[np.float64],
    *,
    seed: int,
    rank: int = 48,
) -> tuple[NDArray[np.float64], float]:
    """`fit_logistic` with the ridge that `choose_ridge` finds, in the `rank` strongest directions of `x`.

    A ridge leaves weak directions near zero anyway; without them a fit of 384-wide embeddings costs milliseconds
    instead of a second, and cross-validation makes dozens.
    """
    _, _, directions = np.linalg.svd(x, full_matrices=False)
    basis = directions[:rank].T  # (D, r)
    reduced = x @ basis
    w, b = fit_logistic(reduced, hits, misses, ridge=choose_ridge(reduced, hits, misses, seed=seed))
    return basis @ w, b


def log_likelihood(
    x: NDArray[np.float64],
    hits: NDArray[np.float64],
    misses: NDArray[np.float64],
    w: NDArray[np.float64],
    b: float,
) -> float:
    """`sum(hits log p + misses log(1-p))`."""
    logit = x @ w + b
    return float(-(hits * np.logaddexp(0.0, -logit)).sum() - (misses * np.logaddexp(0.0, logit)).sum())


def choose_ridge(
    x: NDArray[np.float64],
    hits: NDArray[np.float64],
    misses: NDArray[np.float64],
    *,
    seed: int,
    folds: int = 5,
    grid: tuple[float, ...] = _GRID,
) -> float:
    """The strongest ridge within one standard error of the best, by cross-validation over thinned counts.

    The hits and misses of every row are dealt to the folds at random, so each fold is a log of its own. The grid
    starts with a ridge that leaves only the constant: with few clicks that is what wins.
    """
    rng = np.random.default_rng(seed)
    dealt = [_deal(counts, folds, rng) for counts in (hits, misses)]
    gains = np.zeros((len(grid), folds))
    for f in range(folds):
        train = [counts - parts[f] for counts, parts in zip((hits, misses), dealt, strict=True)]
        for g, ridge in enumerate(grid):
            w, b = fit_logistic(x, train[0], train[1], ridge=ridge)
            gains[g, f] = log_likelihood(x, dealt[0][f], dealt[1][f], w, b)
    mean = gains.mean(axis=1)
    best = int(mean.argmax())
    error = float((gains[best] - gains[0]).std(ddof=1) / np.sqrt(folds))
    return float(grid[int(np.flatnonzero(mean >= mean[best] - error)[0])])


def _deal(counts: NDArray[np.float64], folds: int, rng: np.random.Generator) -> list[NDArray[np.float64]]:
    """Deal whole counts to `folds` at random; the fractional rest is shared evenly."""
    whole = np.floor(counts).astype(np.int64)
    parts = rng.multinomial(whole, np.full(folds, 1.0 / folds))  # (n, folds)
    rest = (counts - whole) / folds
    return [parts[:, f] + rest for f in range(folds)]
