"""Settings of the agents that point into the space of items."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from agents.settings import ABOVE_ZERO, check_numbers
from behavior.errors import InputError

__all__ = ["DirectionConfig"]


@dataclass(frozen=True, kw_only=True)
class DirectionConfig:
    """SAC (Haarnoja et al., ICML 2018) or TD3 (Fujimoto et al., ICML 2018) over `envs.wrappers.proto.ProtoAction`.

    The action is a direction in the space of item vectors and the weights of the candidates' columns (`ItemColumns`).
    """

    algorithm: Literal["sac", "td3"] = "sac"
    """Which of SB3's."""
    n_envs: int = 64
    """Users served side by side."""
    gamma: float = 0.9
    """Discount per page."""
    learning_rate: float | None = None
    """Adam's step size; None: 1e-3 for SAC, 3e-4 for TD3."""
    buffer_size: int = 200_000
    """Pages kept for replay."""
    learning_starts: int | None = None
    """Pages served by random directions before the first update; None: 4,000 for SAC, 8,000 for TD3, whose actor has
    nothing to hold it back from the corners of the box while the critic still knows little."""
    batch_size: int = 512
    """Pages in a minibatch."""
    gradient_steps: int = 2
    """Updates after each step of all users."""
    tau: float = 0.005
    """Share of the way to the online networks that the target networks move after each update."""
    width: int = 128
    """Units of the two hidden layers of actor and critics."""
    noise: float = 0.7
    """TD3: standard deviation of the exploration; from a corner of the box (-1 to 1) smaller ones hardly lead away."""
    history: int = 10
    """Recent clicks that make up what the user seems to like, in the columns."""

    def __post_init__(self) -> None:
        if self.algorithm not in ("sac", "td3"):
            raise InputError(
                f"algorithm is {self.algorithm!r}", where="DirectionConfig", mend="choose sac or td3"
            )
        check_numbers(
            self,
            integers=dict.fromkeys(
                ("n_envs", "buffer_size", "batch_size", "gradient_steps", "width", "history"), 1
            ),
            # At a discount of 1 nothing bounds the values of what never ends.
            reals={"step_size": (ABOVE_ZERO, math.inf), "gamma": (0.0, math.nextafter(1.0, 0.0))},
        )

    @property
    def step_size(self) -> float:
        """The learning rate in use."""
        if self.learning_rate is not None:
            return self.learning_rate
        return 1e-3 if self.algorithm == "sac" else 3e-4

    @property
    def random_pages(self) -> int:
        """Pages before the first update."""
        if self.learning_starts is not None:
            return self.learning_starts
        return 4_000 if self.algorithm == "sac" else 8_000
