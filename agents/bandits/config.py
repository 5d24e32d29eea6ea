"""Settings of the linear bandits."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from agents.settings import check_numbers
from behavior.errors import InputError

__all__ = ["BanditConfig"]


@dataclass(frozen=True, kw_only=True)
class BanditConfig:
    """A linear bandit, item by item: the `K` highest indices make the slate.

    LinUCB: Li, Chu, Langford, Schapire, "A contextual-bandit approach to personalized news article recommendation",
    WWW 2010. Linear Thompson sampling: Agrawal and Goyal, "Thompson sampling for contextual bandits with linear
    payoffs", ICML 2013.

    The worth of an item shown at position k is expected to be `e_k theta . x`, with `e_0 = 1`.
    """

    kind: Literal["linucb", "lints"] = "linucb"
    """The index: mean + exploration x standard deviation, or a draw from the posterior."""
    exploration: float = 1.0
    """LinUCB: standard deviations added to the mean; LinTS: the posterior's standard deviation is multiplied by it."""
    ridge: float = 1.0
    """Prior precision of the weights, in units of the noise's."""
    history: int = 10
    """Recent clicks that make up what the user seems to like."""
    n_envs: int = 256
    """Users served side by side while learning; the statistics are updated after each step of all of them."""
    fit_every: int = 1
    """Steps of all users between two fits of the weights to the statistics."""

    def __post_init__(self) -> None:
        check_numbers(
            self,
            integers={"n_envs": 1, "fit_every": 1, "history": 1},
            reals={"exploration": (0.0, math.inf), "ridge": (1e-9, math.inf)},
        )
        if self.kind not in ("linucb", "lints"):
            raise InputError(f"kind is {self.kind!r}", where="BanditConfig", mend="choose linucb or lints")
