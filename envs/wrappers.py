"""Other shapes of action and observation, for agents off the shelf; each wraps a single `SlateEnv`."""

from __future__ import annotations

from typing import Any, cast

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from encoders.features import FeatureTables
from envs.observation import Observation
from envs.single import SlateEnv

__all__ = ["FlatObservation", "ScoreAction", "SlotBySlot", "flatten_observation"]

Arrays = dict[str, NDArray[Any]]
SingleEnv = gymnasium.Env[Arrays, Any]


def _slate_env(env: gymnasium.Env[Any, Any]) -> SlateEnv:
    return cast("SlateEnv", env.unwrapped)


class ScoreAction(
    gymnasium.ActionWrapper[Arrays, NDArray[Any], NDArray[Any]], gymnasium.utils.RecordConstructorArgs
):
    """The action is a score for every candidate, `Box(-1, 1, (N,))`; the K highest are shown, highest first.

    For agents with continuous actions (SAC, TD3). Padded candidates are never shown; equal scores keep the
    source's order.
    """

    def __init__(self, env: SingleEnv) -> None:
        gymnasium.utils.RecordConstructorArgs.__init__(self)
        super().__init__(env)
        self.action_space = spaces.Box(-1.0, 1.0, (_slate_env(env).task.n_candidates,), np.float32)

    def action(self, action: NDArray[Any]) -> NDArray[Any]:
        """Candidate positions (K,) of the highest scores."""
        inner = _slate_env(self.env)
        n = int(inner.core.candidates.lengths[inner.state.query[0]])
        return np.argsort(-np.asarray(action)[:n], kind="stable")[: inner.task.slate_size]


class SlotBySlot(gymnasium.Wrapper[Arrays, Any, Arrays, Any], gymnasium.utils.RecordConstructorArgs):
    """The page is filled one position at a time: `Discrete(N)`, K choices a page.

    The observation gains `chosen` (K,), the catalogue rows put on the page so far, and `action_mask` (N,), 1
    where a candidate may still be chosen. An illegal choice takes the next legal candidate, cyclically, and is
    counted in `info["repairs"]`. Reward, feedback and the end of the session come with the K-th choice.

    A learner that discounts every choice should use gamma ** (1 / K) to keep the discount of a page.
    """

    def __init__(self, env: SingleEnv) -> None:
        gymnasium.utils.RecordConstructorArgs.__init__(self)
        super().__init__(env)
        inner = _slate_env(env)
        N, K = inner.task.n_candidates, inner.task.slate_size
        self.action_space = spaces.Discrete(N)
        self.observation_space: spaces.Space[Any] = spaces.Dict(
            {
                **cast("spaces.Dict", env.observation_space).spaces,
                "chosen": spaces.Box(-1, inner.world.features.n_items - 1, (K,), np.int32),
                "action_mask": spaces.Box(0.0, 1.0, (N,), np.float32),
            }
        )
        self._page: list[int] = []
        self._repairs = 0
        self._observation: Arrays = {}

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Arrays, dict[str, Any]]:
        """Start the next session with an empty page."""
        self._observation, info = self.env.reset(seed=seed, options=options)
        self._page, self._repairs = [], 0
        return self._observed(), info

    def step(self, action: Any) -> tuple[Arrays, float, bool, bool, dict[str, Any]]:
        """Put candidate `action` on the next free position; the K-th choice shows the page."""
        legal = self.action_masks()
        choice = int(action)
        if not legal[choice]:
            self._repairs += 1
            choice = int(np.flatnonzero(np.roll(legal, -choice))[0] + choice) % legal.size
        self._page.append(choice)
        if len(self._page) < _slate_env(self.env).task.slate_size:
            return self._observed(), 0.0, False, False, {"repairs": self._repairs}
        page, repairs = np.array(self._page), self._repairs
        self._page, self._repairs = [], 0
        self._observation, reward, terminated, truncated, info = self.env.step(page)
        return self._observed(), float(reward), terminated, truncated, info | {"repairs": repairs}

    def action_masks(self) -> NDArray[np.bool_]:
        """(N,) candidates that may still be chosen (the name sb3-contrib looks for)."""
        mask = self._observation["candidates"] >= 0
        mask[self._page] = False
        return mask

    def _observed(self) -> Arrays:
        chosen = np.full(_slate_env(self.env).task.slate_size, -1, np.int32)
        chosen[: len(self._page)] = self._observation["candidates"][self._page]
        # The caller's arrays are its own: the same page is observed K times.
        own = {name: array.copy() for name, array in self._observation.items()}
        return own | {"chosen": chosen, "action_mask": self.action_masks().astype(np.float32)}


class FlatObservation(
    gymnasium.ObservationWrapper[NDArray[np.float32], Any, Arrays], gymnasium.utils.RecordConstructorArgs
):
    """The observation as one vector (see `flatten_observation`), for any agent that wants a `Box`.

    Over `SlotBySlot`, the action mask is appended.
    """

    def __init__(self, env: SingleEnv) -> None:
        gymnasium.utils.RecordConstructorArgs.__init__(self)
        super().__init__(env)
        inner = _slate_env(env)
        self._features = inner.world.features
        D, N = self._features.item_vectors.shape[1], inner.task.n_candidates
        size = 3 * D + 3 * N + inner.world.simulator.context_size + 4
        size += N if "action_mask" in cast("spaces.Dict", env.observation_space).spaces else 0
        most = float(np.finfo(np.float32).max)
        self.observation_space = spaces.Box(-most, most, (size,), np.float32)

    def observation(self, observation: Arrays) -> NDArray[np.float32]:
        """One vector."""
        flat = flatten_observation(Observation.from_dict(observation), self._features)[0]
        mask = observation.get("action_mask")
        return flat if mask is None else np.concatenate([flat, mask])


def flatten_observation(observation: Observation, features: FeatureTables) -> NDArray[np.float32]:
    """Observations as vectors (B, 3 D + 3 N + F + 4).

    In this order: the query's vector (D), the mean vector of the clicked items (D), the mean vector of the
    candidates (D), the candidates' scores (N), their likeness to the clicked mean (N), how often each was seen
    (N), the user's context (F), and progress (4).
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
    return np.concatenate(parts, axis=1).astype(np.float32)


def _mean_vector(items: NDArray[np.int32], features: FeatureTables) -> NDArray[np.float32]:
    """Mean vector (B, D) of `items` (B, M), -1 left out; zeros where there is none."""
    known = items >= 0
    total = np.where(known[:, :, None], features.item_vectors[items], 0.0).sum(axis=1)
    mean: NDArray[np.float32] = (total / np.maximum(known.sum(axis=1), 1)[:, None]).astype(np.float32)
    return mean
