"""The linear form: ridge regression round by round, its fixed point, and how much each session moved it.

With features `x_i` of the pages shown, mean features `y_i` of the policy's pages at what followed (0 where nothing
did) and penalty `L`, a round is `theta <- (X'X + L)^-1 X'(r + gamma Y theta)`. It converges if the spectral radius of
`gamma (X'X + L)^-1 X'Y` is below 1, to `A theta = X'r` with `A = X'(X - gamma Y) + L` (Duan, Jia, Wang: Minimax-optimal
off-policy evaluation with linear function approximation, ICML 2020). A row moves the fixed point by
`A^-1 x_i (r_i + gamma y_i theta - x_i theta)`: the delta method, the limit of the bootstrap over sessions (Hao et al.:
Bootstrapping fitted Q-evaluation for off-policy inference, ICML 2021).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from evaluation.fqe.convergence import relative_change, settled

__all__ = ["LinearFit", "Scaling", "fit_linear"]


@dataclass(frozen=True)
class Scaling:
    """Standardised features with a one in front; columns that do not vary are left out."""

    mean: NDArray[np.float64]  # (D,)
    scale: NDArray[np.float64]  # (D,) 0 where left out

    @classmethod
    def of(cls, features: NDArray[np.float64]) -> Scaling:
        """From features (m, D)."""
        spread = features.std(axis=0)
        small = spread <= 1e-9 * np.maximum(np.abs(features).max(axis=0), 1e-300)
        inverse = np.divide(1.0, spread, out=np.zeros_like(spread), where=~small)
        return cls(features.mean(axis=0), inverse)

    def __call__(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n, 1 + D) of (n, D)."""
        scaled = (features - self.mean) * self.scale
        return np.concatenate([np.ones((features.shape[0], 1)), scaled], axis=1)


@dataclass(frozen=True)
class LinearFit:
    """A fitted linear value function."""

    scaling: Scaling
    theta: NDArray[np.float64]  # (1 + D,)
    system: NDArray[np.float64]  # A
    changes: tuple[float, ...]
    converged: bool

    def value(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n,) of (n, D)."""
        return np.asarray(self.scaling(features) @ self.theta, np.float64)

    def influence(
        self,
        towards: NDArray[np.float64],
        features: NDArray[np.float64],
        residual: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """(n,) by how much each row, with its `r + gamma y theta - x theta`, moved the value at `towards` (D,)."""
        target = self.scaling(towards[None])[0]
        try:
            direction = np.linalg.solve(self.system.T, target)
        except np.linalg.LinAlgError:  # features repeat each other and nothing is penalised
            direction = np.linalg.lstsq(self.system.T, target)[0]
        return np.asarray((self.scaling(features) @ direction) * residual, np.float64)


def fit_linear(
    features: NDArray[np.float64],
    reward: NDArray[np.float64],
    following: NDArray[np.float64],
    goes_on: NDArray[np.bool_],
    *,
    gamma: float,
    ridge: float,
    most_rounds: int,
    enough: float,
) -> LinearFit:
    """Fits to `m` rows.

    Args:
        features: (m, D) of the pages shown.
        reward: (m,)
        following: (m, D) mean features of the policy's pages at what followed; anything where nothing did.
        goes_on: (m,) whether anything followed.
        gamma: Discount.
        ridge: Penalty per row.
        most_rounds: Rounds at most.
        enough: Relative change, done and still to come, that ends them.
    """
    scaling = Scaling.of(features)
    x = scaling(features)
    y = scaling(following) * goes_on[:, None]
    penalty = ridge * x.shape[0] * np.eye(x.shape[1])
    penalty[0, 0] = 0.0  # the level is not shrunk
    gram = x.T @ x + penalty
    ahead, told = gamma * (x.T @ y), x.T @ reward
    if ridge > 0:
        factor = linalg.cho_factor(gram)
        step, constant = linalg.cho_solve(factor, ahead), linalg.cho_solve(factor, told)
    else:  # of least norm where features repeat each other
        solve = linalg.pinvh(gram)
        step, constant = solve @ ahead, solve @ told
    thetas, values = [np.zeros(x.shape[1])], np.zeros(x.shape[0])
    changes: list[float] = []
    converged = False
    for n in range(1, most_rounds + 1):
        thetas.append(constant + step @ thetas[-1])
        before, values = values, x @ thetas[-1]
        changes.append(relative_change(before, values))
        converged = changes[-1] < enough and settled(n, lambda back: x @ thetas[back], enough)
        if converged or not np.isfinite(changes[-1]):
            break
    return LinearFit(
        scaling=scaling,
        theta=thetas[-1],
        system=gram - ahead,
        changes=tuple(changes),
        converged=converged,
    )
