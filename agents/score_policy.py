"""Policies that score candidates: sorted by score, or drawn from the Plackett-Luce distribution over scores."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
from numpy.typing import NDArray

from agents import plackett_luce
from agents.base import Draw, Policy, SlatePropensity
from envs.observation import Observation
from simulators.base import SessionState
from simulators.kernels.rng import Purpose, gumbel_table

__all__ = ["ScorePolicy"]


class ScorePolicy(Policy):
    """Ranks by `scores`; with a temperature above 0 it draws slates with weights `exp(score / temperature)`.

    Args:
        temperature: 0 sorts by score (ties in source order); above 0 a slate is a Plackett-Luce draw.
    """

    def __init__(self, *, temperature: float = 0.0) -> None:
        if not (np.isfinite(temperature) and temperature >= 0):
            raise ValueError(f"temperature must be 0 or a positive number, found {temperature}")
        self.temperature = float(temperature)

    @abstractmethod
    def scores(self, observation: Observation) -> NDArray[np.float64]:
        """How good each candidate is, (B, N); the values at padded candidates do not matter."""

    def rank(
        self, observation: Observation, draw: Draw, *, slate_size: int, state: SessionState | None = None
    ) -> NDArray[np.int64]:
        """Slates (B, K); see `Policy.rank`. Equal keys of `draw` give equal slates, in any batch."""
        scores = self.masked_scores(observation)  # (B, N)
        if self.temperature > 0:
            noise = gumbel_table(draw.seed, draw.user, draw.step, Purpose.POLICY, scores.shape[1])
            return plackett_luce.sample(scores, noise, slate_size)
        return plackett_luce.top_k(scores, slate_size)

    def propensity(self, observation: Observation, actions: NDArray[np.int64]) -> SlatePropensity:
        """Exact propensities of `actions` (B, K); zeros and ones where the temperature is 0."""
        scores = self.masked_scores(observation)  # (B, N)
        if self.temperature > 0:
            item = plackett_luce.item_position_marginals(scores, actions)
            cascade = np.exp(plackett_luce.log_cascade(scores, actions))
        else:
            same = plackett_luce.top_k(scores, actions.shape[1]) == actions  # (B, K)
            item = same.astype(np.float64)
            cascade = np.logical_and.accumulate(same, axis=1).astype(np.float64)
        return SlatePropensity(item=item, cascade=cascade, slate=cascade[:, -1].copy())

    def masked_scores(self, observation: Observation) -> NDArray[np.float64]:
        """The scores over the temperature (B, N) with -inf at padding: the logits of the draw."""
        scores = np.asarray(self.scores(observation), np.float64)
        if self.temperature > 0:
            scores = scores / self.temperature
        return np.where(observation.candidates >= 0, scores, -np.inf)
