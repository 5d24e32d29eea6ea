"""The linear bandits as policies: a frozen fit, ranked by its index."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from agents import plackett_luce
from agents.bandits.statistics import LinearFit
from agents.base import Draw, Policy
from agents.item_columns import ItemColumns
from agents.kernels import item_columns as kernels
from agents.score_policy import ScorePolicy
from envs.observation import Observation
from simulators.base import SessionState
from simulators.kernels.rng import Purpose, uniform_table

__all__ = ["LinUCBPolicy", "LinearThompsonPolicy"]


class LinUCBPolicy(ScorePolicy):
    """Ranks by mean worth plus `exploration` standard deviations.

    Args:
        columns: Observation -> columns.
        fit: Weights and how sure they are.
        exploration: Standard deviations added; 0 is the greedy ranking.
    """

    name = "linucb"

    def __init__(self, columns: ItemColumns, fit: LinearFit, *, exploration: float = 1.0) -> None:
        super().__init__(temperature=0.0)
        self.columns, self.fit, self.exploration = columns, fit, exploration

    def scores(self, observation: Observation) -> NDArray[np.float64]:
        """Upper confidence bound (B, N) of each candidate's worth at the top of the page."""
        return self.index(self.columns(observation))

    def index(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """The bound (B, N) from the columns (B, N, C)."""
        scores = _linear(x, np.broadcast_to(self.fit.theta, (x.shape[0], x.shape[2])))
        if self.exploration > 0:
            width = np.empty(x.shape[:2])
            kernels.spread(x.shape[0], x, self.fit.root, width)
            scores += self.exploration * self.fit.noise * width
        return scores

    def rank_columns(
        self, x: NDArray[np.float32], observation: Observation, draw: Draw, *, slate_size: int
    ) -> NDArray[np.int64]:
        """Slates (B, K) from the columns (B, N, C) of `observation`."""
        return plackett_luce.top_k(np.where(observation.candidates >= 0, self.index(x), -np.inf), slate_size)


class LinearThompsonPolicy(Policy):
    """Ranks by a draw of the weights from their posterior, one draw a page.

    The probability of a slate is that of a polyhedron under a normal law, which has no closed form: `propensity`
    gives None.

    Args:
        columns: Observation -> columns.
        fit: Weights and how sure they are.
        exploration: Multiplies the posterior's standard deviation; 0 ranks by the mean.
    """

    name = "lints"

    def __init__(self, columns: ItemColumns, fit: LinearFit, *, exploration: float = 1.0) -> None:
        self.columns, self.fit, self.exploration = columns, fit, exploration

    def rank(
        self, observation: Observation, draw: Draw, *, slate_size: int, state: SessionState | None = None
    ) -> NDArray[np.int64]:
        """Slates (B, K); see `Policy.rank`."""
        return self.rank_columns(self.columns(observation), observation, draw, slate_size=slate_size)

    def rank_columns(
        self, x: NDArray[np.float32], observation: Observation, draw: Draw, *, slate_size: int
    ) -> NDArray[np.int64]:
        """Slates (B, K) from the columns (B, N, C) of `observation`."""
        uniform = uniform_table(draw.seed, draw.user, draw.step, Purpose.POLICY, x.shape[2])
        normal = ndtri(np.clip(uniform, 1e-12, 1 - 1e-12))  # (B, C)
        # einsum without BLAS: a user's weights must not depend on who else is served.
        noise = np.einsum("bi,ij->bj", normal, self.fit.root, optimize=False)
        scores = _linear(x, self.fit.theta + self.exploration * self.fit.noise * noise)
        return plackett_luce.top_k(np.where(observation.candidates >= 0, scores, -np.inf), slate_size)


def _linear(x: NDArray[np.float32], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    out = np.empty(x.shape[:2])
    kernels.linear(x.shape[0], x, np.ascontiguousarray(weights), out)
    return out
