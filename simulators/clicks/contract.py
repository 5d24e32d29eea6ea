"""What a click model has to say of a page: how probable its clicks are, and how they come about."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from simulators.clicks.laws import Chance, coin

__all__ = ["ClickLaw", "Globals", "draw"]

Globals = Mapping[str, Tensor]
"""Parameters that are not of an item: unbounded numbers, by name."""


def draw(chance: Tensor, generator: torch.Generator) -> Tensor:
    """Coins with these chances, any shape."""
    return torch.rand(chance.shape, generator=generator, dtype=chance.dtype) < chance


class ClickLaw(ABC):
    """A click model without its items: logits come from outside, so that tables and features serve all alike.

    Everywhere `logits` are (M, K) attractiveness, the logit of a click on an item that is looked at, `NEVER` where the
    position is empty; `satisfaction` are (M, K) logits of being satisfied by a clicked item, for laws that `satisfies`;
    `click` is (M, K) bool.
    """

    name: ClassVar[str]
    """As the user names it."""
    title: ClassVar[str]
    """In words."""
    satisfies: ClassVar[bool] = False
    """Whether items have a second number, the power to satisfy."""
    one_click: ClassVar[bool] = False
    """Whether a page can have one click at most."""
    needs_page: ClassVar[bool] = True
    """Whether the clicks above matter, so that single impressions say nothing."""
    splits_position_from_appeal: ClassVar[bool] = False
    """Whether a position has a free factor, which can be told from appeal only by items seen at several positions."""
    stops_unseen: ClassVar[bool] = False
    """Whether readers stop after a pass-over by a free chance, which needs items seen at several positions, too."""

    @abstractmethod
    def start(self, n_positions: int) -> dict[str, Tensor]:
        """Parameters to begin a fit from, float64; their shapes are those of the model."""

    @abstractmethod
    def given_clicks(
        self, logits: Tensor, click: Tensor, p: Globals, satisfaction: Tensor | None = None
    ) -> tuple[Tensor, Chance]:
        """Log-probability (M,) of the clicks, and the chance (M, K) of each given the clicks above it.

        An impossible page has about `NEVER`; `simulators.clicks.laws.finish` makes it -inf.
        """

    @abstractmethod
    def marginal(self, logits: Tensor, p: Globals, satisfaction: Tensor | None = None) -> Chance:
        """Chance (M, K) of a click at each position before anything of the page is known."""

    @abstractmethod
    def sample(
        self, logits: Tensor, p: Globals, generator: torch.Generator, satisfaction: Tensor | None = None
    ) -> Tensor:
        """Clicks (M, K), drawn through what is not seen: looks, stops, satisfaction."""

    @abstractmethod
    def natural(self, p: Globals) -> dict[str, NDArray[np.float64]]:
        """The parameters as chances (or weights), the way the literature writes them."""

    def prior(self, p: Globals) -> Tensor:
        """Minus the logarithm of a weak prior: about one observation's worth for each parameter.

        It settles what a log leaves open, such as a chance that was never put to the test.
        """
        total = torch.zeros((), dtype=torch.float64)
        for value in p.values():
            total = total + 0.05 * (value**2).sum()
        return total

    def _appeal(self, logits: Tensor) -> Chance:
        return coin(logits)
