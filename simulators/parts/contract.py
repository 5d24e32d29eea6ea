"""The five parts of a simulated user, each replaceable on its own. Parts pass arrays of `B` users.

A part is stateless: what it must remember lies in columns of `SessionState.hidden` that it asks for in `columns`.
Chance comes from `simulators.kernels.rng`, keyed by (seed, user, step, purpose); a part of your own draws with
`Purpose.PLUG_IN`, so that it never shares a number with a built-in one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from simulators.base import SessionState
from simulators.parts.memory import SessionMemory

__all__ = [
    "Attractiveness",
    "Conversion",
    "Dwell",
    "Dynamics",
    "Examination",
    "Part",
    "Population",
    "Returns",
]


class Part:
    """Base of all parts: asks for hidden columns and fills them when a session begins."""

    @property
    def columns(self) -> Mapping[str, int]:
        """Hidden columns of its own, name to width; find them with `memory.layout`."""
        return {}

    def begin(self, state: SessionState, memory: SessionMemory, *, seed: int) -> None:
        """Fill the part's own hidden columns of users who have just arrived."""


@runtime_checkable
class Population(Protocol):
    """Who arrives."""

    @property
    def context_size(self) -> int:
        """Context width F."""
        ...

    def arrive(self, users: NDArray[np.int64], *, seed: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """First queries (B,) and contexts (B, F) of `users` (B,)."""
        ...


@runtime_checkable
class Attractiveness(Protocol):
    """How appealing an item is to this user, for this query, now."""

    def logits(
        self, state: SessionState, memory: SessionMemory, items: NDArray[np.int32]
    ) -> NDArray[np.float64]:
        """Logit (B, M) of a click given examination; -inf where the item is -1."""
        ...


@runtime_checkable
class Examination(Protocol):
    """The click model: what is looked at, and so which appealing items are clicked."""

    def click(self, state: SessionState, logits: NDArray[np.float64], *, seed: int) -> NDArray[np.uint8]:
        """Clicks (B, K) on a page with these logits (B, K)."""
        ...

    def weights(self, n_positions: int) -> NDArray[np.float32]:
        """(K,) average probability that a position is looked at."""
        ...

    def click_probability(self, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        """Probability (M, K) of a click at each position, before anything of the page is known."""
        ...

    def click_probability_given_above(
        self, logits: NDArray[np.float64], click: NDArray[np.uint8]
    ) -> NDArray[np.float64]:
        """Probability (M, K) of a click at each position given the clicks above it: their product is the likelihood."""
        ...


@runtime_checkable
class Conversion(Protocol):
    """Purchase after click."""

    def probability(
        self, state: SessionState, memory: SessionMemory, items: NDArray[np.int32]
    ) -> NDArray[np.float64]:
        """Probability (B, M) of a purchase given a click; 0 where the item is -1."""
        ...


@runtime_checkable
class Dwell(Protocol):
    """Time on a product after the click."""

    def seconds(
        self,
        state: SessionState,
        memory: SessionMemory,
        items: NDArray[np.int32],
        click: NDArray[np.uint8],
        purchase: NDArray[np.uint8],
        *,
        seed: int,
    ) -> NDArray[np.float32]:
        """Seconds (B, K) on what was clicked of `items` (B, K), else 0. The record does not yet know the page."""
        ...


@runtime_checkable
class Returns(Protocol):
    """Whether another visit follows, and when."""

    def after(
        self,
        state: SessionState,
        memory: SessionMemory,
        items: NDArray[np.int32],
        click: NDArray[np.uint8],
        purchase: NDArray[np.uint8],
        *,
        seed: int,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """If the visit ends with this page: (B,) chance of another, and (B,) days until it, infinite for never.

        The record does not yet know the page.
        """
        ...


@runtime_checkable
class Dynamics(Protocol):
    """What happens between pages: leaving, the next query, drift of the part's own columns."""

    def advance(
        self,
        state: SessionState,
        memory: SessionMemory,
        slates: NDArray[np.int32],
        click: NDArray[np.uint8],
        purchase: NDArray[np.uint8],
        *,
        seed: int,
    ) -> NDArray[np.bool_]:
        """Who left (B,) after this page; sets `state.query`. The record does not yet know the page."""
        ...
