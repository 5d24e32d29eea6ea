"""What a step of the batched core gives back, as named arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.observation import Observation
from simulators.base import Feedback

__all__ = ["PART_NAMES", "EpisodeStats", "RewardParts", "StepResult"]


@dataclass(frozen=True)
class RewardParts:
    """The reward's parts before weighting, for logging; names as in `RewardMix`."""

    click: NDArray[np.float64]  # (B,) clicks on the page
    cart: NDArray[np.float64]  # (B,) items put into the cart
    purchase: NDArray[np.float64]  # (B,) purchases on the page
    revenue: NDArray[np.float64]  # (B,) summed price of what was bought; items of unknown price count 0
    margin: NDArray[np.float64]  # (B,) summed price x margin of what was bought
    relevance: NDArray[np.float64]  # (B,) mean click probability of the slate by the relevance model
    diversity: NDArray[np.float64]  # (B,) mean pairwise distance (1 - cosine); 0 for a slate of one
    stay: NDArray[np.float64]  # (B,) 1 where the user did not leave after the page

    def as_dict(self) -> dict[str, NDArray[np.float64]]:
        """Part name to (B,) values."""
        return dict(self.__dict__)


PART_NAMES = tuple(f.name for f in fields(RewardParts))
"""The parts' names, in order."""


@dataclass(frozen=True)
class EpisodeStats:
    """`F` finished sessions."""

    user: NDArray[np.int64]  # (F,)
    reward: NDArray[np.float64]  # (F,) the return: undiscounted sum of rewards
    score: NDArray[np.float64]  # (F,) the task's score
    clicks: NDArray[np.int64]  # (F,)
    carts: NDArray[np.int64]  # (F,)
    purchases: NDArray[np.int64]  # (F,)
    revenue: NDArray[np.float64]  # (F,)
    margin: NDArray[np.float64]  # (F,) price x margin of what was bought
    length: NDArray[np.int64]  # (F,) pages
    left: NDArray[np.bool_]  # (F,) True: the user left; False: the step limit

    def row(self, f: int) -> dict[str, Any]:
        """One session as plain numbers."""
        return {name: array[f].item() for name, array in self.__dict__.items()}

    def rows(self) -> list[dict[str, Any]]:
        """All sessions as plain numbers."""
        names = tuple(self.__dict__)
        return [
            dict(zip(names, values, strict=True))
            for values in zip(*(array.tolist() for array in self.__dict__.values()), strict=True)
        ]


@dataclass(eq=False)
class StepResult:
    """One step of `B` users, in fresh arrays. Not frozen: that takes longer to make than a user's step."""

    observation: (
        Observation  # (B, ...) the next page; where a session finished, the first of the next session
    )
    reward: NDArray[np.float64]  # (B,)
    parts: NDArray[np.float64]  # (B, 8) of the reward, in the order of `RewardParts`
    score: NDArray[np.float64]  # (B,) the task's score of this page
    terminated: NDArray[np.bool_]  # (B,) the user left
    truncated: NDArray[np.bool_]  # (B,) the step limit, and the user had not left
    feedback: Feedback  # (B, K) click and purchase, (B,) left
    slates: NDArray[np.int32]  # (B, K) what was shown, catalogue rows
    positions: NDArray[np.int64]  # (B, K) the actions after repair
    repairs: NDArray[np.int32]  # (B,) choices that had to be repaired
    costs: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    """(B,) each: what breaking the task's rules costs, by name; empty where the task has none."""
    penalty: NDArray[np.float64] | None = None
    """(B,) what `TaskConfig.pessimism` took off the reward, `parts` apart; None where it is 0."""
    finished: NDArray[np.int64] = field(init=False)  # (F,) rows whose session ended with this step
    final_observation: Observation = field(init=False)  # (F, ...) their last observation, before the reset
    episodes: EpisodeStats = field(init=False)  # (F,) their whole sessions

    @property
    def reward_parts(self) -> RewardParts:
        """(B,) each: the reward's parts before weighting."""
        return RewardParts(*self.parts.T)
