"""A trained direction agent as a `Policy`."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.policies import BasePolicy

from agents.item_columns import ItemColumns
from agents.score_policy import ScorePolicy
from encoders.features import FeatureTables
from envs.observation import Observation
from envs.wrappers.proto import proto_scores, session_vector

__all__ = ["DirectionPolicy"]

_TILE = 64


class DirectionPolicy(ScorePolicy):
    """Ranks by the inner product with the direction that the actor points in.

    The actor is asked in tiles of 64 users, the last one filled up with copies: a user's direction does not depend on
    who else is served.

    Args:
        actor: Session vector -> action in the box; SB3's deterministic actor.
        features: The public tables.
        columns: The candidates' columns it was trained with.
        name: What to call it.
        temperature: See `ScorePolicy`.
    """

    def __init__(
        self,
        actor: BasePolicy,
        features: FeatureTables,
        columns: ItemColumns,
        *,
        name: str,
        temperature: float = 0.0,
    ) -> None:
        super().__init__(temperature=temperature)
        self.actor, self.features, self.columns, self.name = actor, features, columns, name

    def directions(self, observation: Observation) -> NDArray[np.float32]:
        """Actions (B, D + C)."""
        sessions = session_vector(observation, self.features)
        n = sessions.shape[0]
        parts = []
        for start in range(0, n, _TILE):
            rows = np.minimum(np.arange(start, start + _TILE), n - 1)
            tensor = torch.as_tensor(sessions[rows], device=self.actor.device)
            with torch.no_grad():
                parts.append(self.actor._predict(tensor, deterministic=True).cpu().numpy()[: n - start])
        found: NDArray[np.float32] = np.concatenate(parts)
        return found

    def scores(self, observation: Observation) -> NDArray[np.float64]:
        """Inner products (B, N)."""
        return proto_scores(
            observation, self.directions(observation), self.features, self.columns(observation)
        )
