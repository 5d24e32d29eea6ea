"""Sufficient statistics of a linear worth under position effects, and the weights they imply.

The worth of an item with columns `x` at position k is `e_k theta . x + noise` (the position-based model; for bandits:
Lagree, Vernade, Cappe, "Multiple-play bandits in the position-based model", NeurIPS 2016). With `A_k = sum x x'` and
`b_k = sum y x` kept by position, the least-squares `theta` given `e` and the least-squares `e` given `theta` are both
exact functions of the statistics, so alternating between them needs no pass over the data.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["LinearFit", "LinearStatistics"]

_ROUNDS = 20
_LEAST, _MOST = 0.02, 2.0


@dataclass(frozen=True)
class LinearFit:
    """Weights and how sure they are: the posterior is normal with mean `theta` and covariance `(S root)' (S root)`."""

    theta: NDArray[np.float64]  # (C,)
    root: NDArray[np.float64]  # (C, C) lower triangular R, with R'R the inverse precision
    noise: float  # S, standard deviation of a page position's worth around its expectation
    position: NDArray[np.float64]  # (K,) e_k, 1 at the top


class LinearStatistics:
    """Grows by batches; the order and the sizes of batches change nothing but rounding.

    Args:
        n_columns: `C`.
        slate_size: Positions `K`.
        ridge: Prior precision of the weights, in units of the noise's.
    """

    def __init__(self, n_columns: int, slate_size: int, *, ridge: float = 1.0) -> None:
        self.ridge = ridge
        self.gram = np.zeros((slate_size, n_columns, n_columns))  # A_k
        self.moment = np.zeros((slate_size, n_columns))  # b_k
        self.square = np.zeros(slate_size)  # sum of y^2
        self.count = np.zeros(slate_size)

    def add(self, x: NDArray[np.floating], worth: NDArray[np.floating], known: NDArray[np.bool_]) -> None:
        """Add pages: columns (B, K, C) of what was shown, its worth (B, K), and whether it is known (B, K)."""
        for k in range(self.count.size):
            rows = known[:, k]
            shown, y = x[rows, k].astype(np.float64), worth[rows, k].astype(np.float64)
            self.gram[k] += shown.T @ shown
            self.moment[k] += shown.T @ y
            self.square[k] += float(y @ y)
            self.count[k] += y.size

    def fit(self) -> LinearFit:
        """Weights, position effects and noise by alternating least squares (the prior alone where nothing is known)."""
        C = self.moment.shape[1]
        position = np.ones(self.count.size)
        for _ in range(_ROUNDS if self.count.any() else 1):
            precision = np.tensordot(position**2, self.gram, axes=1) + self.ridge * np.eye(C)
            lower = np.linalg.cholesky(precision)
            half = np.linalg.solve(lower, position @ self.moment)
            theta = np.linalg.solve(lower.T, half)
            expected = np.einsum("kcd,c,d->k", self.gram, theta, theta)  # sum of (theta . x)^2
            found = np.where(expected > 1e-12, self.moment @ theta / np.maximum(expected, 1e-12), position)
            if not found[0] > 0.0:
                break  # nothing was learned at the top: keep the positions equal
            updated = np.clip(found / found[0], _LEAST, _MOST)
            if np.abs(updated - position).max() < 1e-6:
                break
            position = updated
        precision = np.tensordot(position**2, self.gram, axes=1) + self.ridge * np.eye(C)
        lower = np.linalg.cholesky(precision)
        theta = np.linalg.solve(lower.T, np.linalg.solve(lower, position @ self.moment))
        residual = self.square.sum() - 2 * theta @ (position @ self.moment)
        residual += theta @ (precision - self.ridge * np.eye(C)) @ theta
        # One observation of worth one stands for the noise that is not known yet.
        noise = float(np.sqrt((max(residual, 0.0) + 1.0) / (self.count.sum() + 1.0)))
        return LinearFit(theta, np.linalg.solve(lower, np.eye(C)), noise, position)
