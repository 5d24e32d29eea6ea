"""A world to rank in: the users, the candidates and the public tables; and the task set in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from encoders.features import CandidateTable, FeatureTables
from envs.rules import Rules
from simulators.base import UserSimulator

__all__ = ["RewardMix", "TaskConfig", "World"]


@dataclass(frozen=True, kw_only=True)
class World:
    """What an environment is built on. Item and query rows mean the same in every part."""

    simulator: UserSimulator
    candidates: CandidateTable
    features: FeatureTables
    titles: Sequence[str] = ()
    """Product titles by catalogue row, for rendering."""
    queries: Sequence[str] = ()
    """Query texts by query row, for rendering."""
    brand: NDArray[np.int32] | None = None
    """(I,) brand code, where the shop has rules about brands."""
    sponsored: NDArray[np.bool_] | None = None
    """(I,) whether somebody pays for the item to be shown, where the shop sells positions."""

    def __deepcopy__(self, memo: object) -> World:
        """A world is read-only and may be large: Gymnasium, which deep-copies arguments, gets the same one."""
        return self


@dataclass(frozen=True, kw_only=True)
class RewardMix:
    """Weights of the parts of the reward; every part is logged apart."""

    click: float = 1.0
    """Per click."""
    cart: float = 0.0
    """Per item put into the cart (on top of its click); 0 where the simulator knows no cart."""
    purchase: float = 5.0
    """Per purchase (on top of its click)."""
    revenue: float = 0.0
    """Per unit of currency bought."""
    margin: float = 0.0
    """Per unit of currency earned: price times `FeatureTables.margin` of what was bought; 0 where it is unknown."""
    relevance: float = 0.05
    """Per unit of mean relevance (click probability) of the slate."""
    diversity: float = 0.0
    """Per unit of mean pairwise distance (1 - cosine) of the shown items."""
    stay: float = 0.0
    """When the session goes on after this page (end-of-session term)."""


@dataclass(frozen=True, kw_only=True)
class TaskConfig:
    """The task: sizes, horizon, reward, and the scalar score by which policies are compared."""

    slate_size: int = 10
    """Positions K on a page."""
    n_candidates: int = 50
    """Candidates N to choose from; shorter lists are padded and masked."""
    max_steps: int = 10
    """Pages T after which a session is truncated."""
    history: int = 10
    """Clicked items H kept in the observation."""
    memory: int = 0
    """Last pages kept whole in the observation, each position with its feedback (M = memory x K positions)."""
    click_weight: float = 1.0
    """The score of an episode, by which policies are compared whatever they were trained on, is
    click_weight x clicks + purchase_weight x purchases + revenue_weight x revenue."""
    purchase_weight: float = 5.0
    """Worth of a purchase in the score, on top of its click and its revenue."""
    revenue_weight: float = 0.0
    """Worth of a unit of currency bought in the score."""
    reward: RewardMix = field(default_factory=RewardMix)
    """The training reward."""
    pessimism: float = 0.0
    """So many standard deviations between the members of an ensemble are taken off the reward of each page, for
    training where the simulator has members (see `envs.pessimism`); scores are never changed by it."""
    duplicates: str = "repair"
    """'repair': a repeated or padded choice takes the next unused candidate; 'error': it raises."""
    rules: Rules | None = None
    """Rules of the shop (see `envs.business`); None: every candidate may be shown anywhere."""
