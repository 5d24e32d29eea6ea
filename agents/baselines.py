"""Reference policies that learn nothing, or only from logged clicks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agents.kernels import baselines as kernels
from agents.score_policy import ScorePolicy
from encoders.features import FeatureTables
from envs.observation import Observation

__all__ = ["MMRPolicy", "PopularityPolicy", "RandomPolicy", "RelevancePolicy"]


class RandomPolicy(ScorePolicy):
    """Every order of the candidates is equally probable.

    Args:
        temperature: Any positive number gives the uniform distribution.
    """

    name = "random"

    def __init__(self, *, temperature: float = 1.0) -> None:
        if not temperature > 0:
            raise ValueError(f"a random policy needs a temperature above 0, found {temperature}")
        super().__init__(temperature=temperature)

    def scores(self, observation: Observation) -> NDArray[np.float64]:
        """Zeros (B, N)."""
        return np.zeros(observation.candidates.shape, np.float64)


class PopularityPolicy(ScorePolicy):
    """Ranks by the smoothed click-through rate of the training log.

    Args:
        features: Item tables.
        temperature: See `ScorePolicy`; scores are log rates, so 1 draws in proportion to the rates.
    """

    name = "popularity"

    def __init__(self, features: FeatureTables, *, temperature: float = 0.0) -> None:
        super().__init__(temperature=temperature)
        rates = np.maximum(np.asarray(features.popularity, np.float64), 1e-12)
        self._log_popularity = np.append(np.log(rates), 0.0)  # (I + 1,) with a row for -1

    def scores(self, observation: Observation) -> NDArray[np.float64]:
        """Log popularity (B, N)."""
        return self._log_popularity[observation.candidates]


class RelevancePolicy(ScorePolicy):
    """Ranks by the relevance model's click probability.

    Args:
        temperature: See `ScorePolicy`; scores are log probabilities.
    """

    name = "relevance"

    def scores(self, observation: Observation) -> NDArray[np.float64]:
        """Log relevance (B, N)."""
        scores: NDArray[np.float64] = np.log(np.maximum(observation.scores.astype(np.float64), 1e-12))
        return scores


class MMRPolicy(ScorePolicy):
    """Maximal marginal relevance: relevant, and unlike what stands above it (Carbonell and Goldstein 1998).

    The next item maximises `trade_off * relevance - (1 - trade_off) * max(0, highest cosine to an item above)`,
    relevance being scaled to 1 at the page's best candidate. The score of a candidate is that value when it is
    chosen; such values never rise along the order, so sorting by them gives the order back.

    Args:
        features: Item tables.
        trade_off: 1 is relevance order, 0 diversity alone.
        depth: How many positions are chosen one by one; below them candidates keep their last value.
        temperature: See `ScorePolicy`.
    """

    name = "mmr"

    def __init__(
        self, features: FeatureTables, *, trade_off: float = 0.7, depth: int = 20, temperature: float = 0.0
    ) -> None:
        super().__init__(temperature=temperature)
        if not 0 <= trade_off <= 1:
            raise ValueError(f"trade_off must lie in [0, 1], found {trade_off}")
        if depth < 1:
            raise ValueError(f"depth must be at least 1, found {depth}")
        self.trade_off, self.depth = trade_off, depth
        self._vectors = np.ascontiguousarray(features.item_vectors, np.float32)

    def scores(self, observation: Observation) -> NDArray[np.float64]:
        """Value of each candidate when it was chosen (B, N)."""
        items = np.ascontiguousarray(observation.candidates)
        best = np.maximum(observation.scores.max(axis=1, keepdims=True), 1e-12)
        out = np.empty(items.shape, np.float64)
        relevance = (observation.scores / best).astype(np.float64)
        kernels.mmr(items.shape[0], relevance, items, self._vectors, self.trade_off, self.depth, out)
        return np.where(items >= 0, out, 0.0)
