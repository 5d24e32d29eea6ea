"""The `Policy` contract: rank a batch of observations, and say how probable a ranking was."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from envs.observation import Observation
from simulators.base import SessionState

__all__ = ["Draw", "Policy", "SlatePropensity"]


@dataclass(frozen=True)
class Draw:
    """The key of a policy's chance: its own seed, and who is being served at which step."""

    seed: int
    user: NDArray[np.int64]  # (B,)
    step: NDArray[np.int32]  # (B,)


@dataclass(frozen=True)
class SlatePropensity:
    """How probable slates were under a policy, given the candidates."""

    item: NDArray[np.float64]  # (B, K) marginal probability of this item at this position
    cascade: NDArray[np.float64]  # (B, K) joint probability of the slate down to this position
    slate: NDArray[np.float64]  # (B,) joint probability of the whole slate (= cascade[:, -1])


class Policy(ABC):
    """Who ranks. Actions are candidate positions (B, K), without repeats and never a padded candidate."""

    name: str = "policy"
    privileged: ClassVar[bool] = False
    """Whether the policy looks at the hidden state (oracles); such a policy is given `state`."""

    @abstractmethod
    def rank(
        self, observation: Observation, draw: Draw, *, slate_size: int, state: SessionState | None = None
    ) -> NDArray[np.int64]:
        """Slates for `B` users: candidate positions (B, K) in slate order."""

    def propensity(self, observation: Observation, actions: NDArray[np.int64]) -> SlatePropensity | None:
        """Exact propensities of `actions` (B, K); None where the policy cannot tell (oracles)."""
        return None
