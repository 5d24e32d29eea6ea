"""`FlatObservation`: the observation as one vector."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from encoders.features import FeatureTables
from envs.observation import Observation
from envs.wrappers.base import Arrays, SingleEnv, observed_dict, slate_env

__all__ = ["FlatObservation", "flatten_observation"]


class FlatObservation(
    gymnasium.ObservationWrapper[NDArray[np.float32], Any, Arrays], gymnasium.utils.RecordConstructorArgs
):
    """The observation as one vector (see `flatten_observation`), for any agent that wants a `Box`.

    Over `SlotBySlot`, the action mask is appended.

    Args:
        env: A `SlateEnv`, wrapped or not, whose observation is still a dictionary.
    """

    def __init__(self, env: SingleEnv) -> None:
        gymnasium.utils.RecordConstructorArgs.__init__(self)
        super().__init__(env)
        self._inner = slate_env(env, "FlatObservation")
        world, N = self._inner.world, self._inner.task.n_candidates
        observed = observed_dict(env, "FlatObservation").spaces
        vectors = 4 if "recent_items" in observed else 3
        size = vectors * world.features.item_vectors.shape[1] + 3 * N + world.simulator.context_size + 4
        size += N if "action_mask" in observed else 0
        most = float(np.finfo(np.float32).max)
        self.observation_space = spaces.Box(-most, most, (size,), np.float32)

    def observation(self, observation: Arrays) -> NDArray[np.float32]:
        """One vector."""
        flat = flatten_observation(Observation.from_dict(observation), self._inner.world.features)[0]
        mask = observation.get("action_mask")
        return flat if mask is None else np.concatenate([flat, mask])


def flatten_observation(observation: Observation, features: FeatureTables) -> NDArray[np.float32]:
    """Observations as vectors (B, 3 D + 3 N + F + 4), or (B, 4 D + 3 N + F + 4) where pages are kept.

    In this order: the query's vector (D), the mean vector of the clicked items (D), the mean vector of the
    candidates (D), the candidates' scores (N), their likeness to the clicked mean (N), how often each was seen
    (N), the user's context (F), progress (4); and, where pages are kept (`TaskConfig.memory`), the mean vector of the
    items on them that were not clicked (D).
    """
    query = observation.query[:, 0]  # (B,)
    query_vector = np.where((query >= 0)[:, None], features.query_vectors[query], 0.0)  # (B, D)
    clicked = _mean_vector(observation.clicked, features)
    vectors = features.item_vectors[observation.candidates]  # (B, N, D)
    likeness = np.where(observation.candidates >= 0, np.einsum("bnd,bd->bn", vectors, clicked), 0.0)
    parts = [
        query_vector,
        clicked,
        _mean_vector(observation.candidates, features),
        observation.scores,
        likeness,
        observation.seen,
        observation.context,
        observation.progress,
    ]
    if observation.recent_items.shape[1]:
        skipped = np.where(
            observation.recent_feedback == 0.0, observation.recent_items, np.int32(-1)
        )  # (B, M)
        parts.append(_mean_vector(skipped, features))
    return np.concatenate(parts, axis=1).astype(np.float32)


def _mean_vector(items: NDArray[np.int32], features: FeatureTables) -> NDArray[np.float32]:
    """Mean vector (B, D) of `items` (B, M), -1 left out; zeros where there is none."""
    known = items >= 0
    total = np.where(known[:, :, None], features.item_vectors[items], 0.0).sum(axis=1)
    mean: NDArray[np.float32] = (total / np.maximum(known.sum(axis=1), 1)[:, None]).astype(np.float32)
    return mean
