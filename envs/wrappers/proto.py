"""`ProtoAction`: the agent points in a direction, and the candidates that lie furthest that way are shown.

A proto-action and the nearest actual actions are the way of Dulac-Arnold et al., "Deep reinforcement learning in large
discrete action spaces" (2015); here the "nearest" are those of the highest inner product, which is a page in one
search. The size of the action does not depend on the number of candidates.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnvWrapper

from behavior.errors import InputError
from encoders.features import FeatureTables
from envs.observation import Observation
from envs.sb3 import SlateVecEnv

__all__ = ["ProtoAction", "proto_scores", "session_vector", "top_positions"]

Columns = Callable[[Observation], NDArray[np.float32]]
_TILE = 4_194_304  # numbers of the product in memory at a time


class ProtoAction(VecEnvWrapper):
    """Actions `Box(-1, 1, (D + C,))` over a `SlateVecEnv`: a direction in the space of items, and column weights.

    The score of a candidate is `sqrt(D) v . a_D + z . a_C`, with `v` its unit vector and `z` its columns, standardised
    over the page; the K highest are shown, highest first, equal ones in the source's order. So the zero action shows
    the relevance order. The observation is one vector a user, see `session_vector`.

    Args:
        env: Many users side by side.
        columns: Observation -> further columns (B, N, C) of candidates; None: the direction alone.
    """

    venv: SlateVecEnv

    def __init__(self, env: SlateVecEnv, columns: Columns | None = None) -> None:
        if not isinstance(env, SlateVecEnv):
            raise InputError(
                f"ProtoAction wraps a SlateVecEnv, not a {type(env).__name__}",
                where="ProtoAction",
                mend="make the environment with envs.SlateVecEnv",
            )
        self.columns = columns
        self._features = env.world.features
        self._seen: Observation | None = None
        n_columns, width = 0, self._features.item_vectors.shape[1]
        if columns is not None:
            n_columns = columns(_blank(env)).shape[2]
        most = float(np.finfo(np.float32).max)
        size = session_vector(_blank(env), self._features).shape[1]
        super().__init__(
            env,
            spaces.Box(-most, most, (size,), np.float32),
            spaces.Box(-1.0, 1.0, (width + n_columns,), np.float32),
        )

    def reset(self) -> NDArray[np.float32]:
        """Start new sessions in all slots."""
        return self._observe(Observation(**self.venv.reset()))

    def step_async(self, actions: NDArray[Any]) -> None:
        """Take the directions (B, D + C).

        Raises:
            InputError: Wrong shape, or not numbers.
        """
        assert self._seen is not None
        assert self.action_space.shape is not None
        wanted = (self.num_envs, *self.action_space.shape)
        if actions.shape != wanted or not np.isfinite(actions).all():
            raise InputError(
                f"directions are {actions.dtype} of shape {actions.shape}"
                + ("" if actions.shape != wanted else " and not all finite"),
                where="ProtoAction.step",
                mend=f"give finite numbers of shape {wanted}",
            )
        extra = None if self.columns is None else self.columns(self._seen)
        scores = proto_scores(self._seen, actions, self._features, extra)
        self.venv.step_async(top_positions(scores, self.venv.task.slate_size))

    def step_wait(self) -> Any:
        """Show the pages; as SB3 wants it."""
        observation, rewards, dones, infos = self.venv.step_wait()
        for b in np.flatnonzero(dones):
            last = Observation.from_dict(infos[b]["terminal_observation"])
            infos[b]["terminal_observation"] = session_vector(last, self._features)[0]
        return self._observe(Observation(**observation)), rewards, dones, infos

    def _observe(self, observation: Observation) -> NDArray[np.float32]:
        self._seen = observation
        return session_vector(observation, self._features)


def session_vector(observation: Observation, features: FeatureTables) -> NDArray[np.float32]:
    """What is known of a session, whatever the number of candidates, (B, 5 D + X + 4 + 2 K).

    The query's vector, the mean vectors of what was clicked lately, of what was clicked and of what was skipped on the
    last page, and of the candidates; the user's context (X), progress, and the last page's clicks and purchases.
    """
    query = observation.query[:, 0]
    slate, click = observation.last_slate, observation.last_click
    return np.concatenate(
        [
            np.where((query >= 0)[:, None], features.query_vectors[query], 0.0),
            _mean(observation.clicked, np.ones(observation.clicked.shape, np.float32), features),
            _mean(slate, click, features),
            _mean(slate, 1.0 - click, features),
            _mean(observation.candidates, np.ones(observation.candidates.shape, np.float32), features),
            observation.context,
            observation.progress,
            click,
            observation.last_purchase,
        ],
        axis=1,
    ).astype(np.float32)


def proto_scores(
    observation: Observation,
    actions: NDArray[np.floating],
    features: FeatureTables,
    columns: NDArray[np.float32] | None = None,
) -> NDArray[np.float64]:
    """Inner products (B, N) of the candidates with directions (B, D + C); -inf where there is no candidate.

    Computed user by user without matrix products over the batch, in tiles of candidates.
    """
    items = observation.candidates
    B, N = items.shape
    D = features.item_vectors.shape[1]
    out = np.zeros((B, N))
    step = max(1, _TILE // max(1, N * D))
    for start in range(0, B, step):
        rows = slice(start, start + step)
        vectors = features.item_vectors[items[rows]]  # (b, N, D)
        for d in range(D):
            out[rows] += np.sqrt(D) * vectors[:, :, d] * actions[rows, d, None]
    if columns is not None:
        there = items >= 0
        count = np.maximum(there.sum(axis=1, keepdims=True), 1)
        for c in range(columns.shape[2]):
            values = np.where(there, columns[:, :, c].astype(np.float64), 0.0)
            centred = np.where(there, values - values.sum(axis=1, keepdims=True) / count, 0.0)
            spread = np.sqrt(np.square(centred).sum(axis=1, keepdims=True) / count)
            out += centred / np.maximum(spread, 1e-3) * actions[:, D + c, None]
    return np.where(items >= 0, out, -np.inf)


def top_positions(scores: NDArray[np.float64], slate_size: int) -> NDArray[np.int64]:
    """The `K` highest of each row (B, N), highest first, ties in source order, without sorting all of them."""
    N = scores.shape[1]
    if 4 * slate_size >= N:
        return np.argsort(-scores, axis=1, kind="stable")[:, :slate_size]
    # Those at least as high as the K-th highest, of which more than K may stand level.
    limit = -np.partition(-scores, slate_size - 1, axis=1)[:, slate_size - 1]
    out = np.empty((scores.shape[0], slate_size), np.int64)
    for b in range(scores.shape[0]):
        high = np.flatnonzero(scores[b] >= limit[b])
        out[b] = high[np.argsort(-scores[b, high], kind="stable")[:slate_size]]
    return out


def _mean(
    items: NDArray[np.int32], weight: NDArray[np.float32], features: FeatureTables
) -> NDArray[np.float32]:
    """Weighted mean vector (B, D) of `items` (B, M), -1 left out; zeros where nothing weighs."""
    weight = np.where(items >= 0, weight, 0.0).astype(np.float32)
    total = np.einsum("bm,bmd->bd", weight, features.item_vectors[items], optimize=False)
    mean: NDArray[np.float32] = total / np.maximum(weight.sum(axis=1, keepdims=True), 1.0)
    return mean


def _blank(env: SlateVecEnv) -> Observation:
    """A page of zeros, for the sizes."""
    shapes = {name: (space.shape, space.dtype) for name, space in env.observation_space.items()}  # type: ignore[attr-defined]
    return Observation(**{name: np.zeros((1, *shape), dtype) for name, (shape, dtype) in shapes.items()})
