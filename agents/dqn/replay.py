"""The replay of DQN: whole rows of all users, from which blocks of consecutive pages are drawn.

A page's next observation is the next row's, so nothing is stored twice; only sessions that the step limit cut off
have a last observation of their own, kept aside. Blocks (not single pages) are drawn, because returns over several
pages need what followed, and because every page of a block serves as the successor of the one before it: its
features are computed once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["BlockReplay", "Blocks"]

_COUNTS = ("seen", "last_click", "last_purchase", "recent_feedback")
"""Observation fields of type float that hold small whole numbers."""


class Blocks(NamedTuple):
    """`M` blocks of `L` pages, time first; rows of `observations` are (L + 1) x M pages and then `F` last ones."""

    observations: dict[str, Tensor]  # ((L + 1) * M + F, ...)
    slates: Tensor  # (L, M, K) candidate positions
    click: Tensor  # (L, M, K)
    purchase: Tensor  # (L, M, K)
    reward: Tensor  # (L, M)
    going_on: Tensor  # (L, M) 0 where the session ended with no value beyond, else 1
    ended: Tensor  # (L, M) bool, where another session begins on the next row
    explored: Tensor  # (L, M) bool, where the slate was drawn, not the greedy one
    successor: Tensor  # (L, M) row of `observations` that follows


class BlockReplay:
    """A ring of the last pages of `n_envs` users.

    Memory: ids as int32, clicks and counts as small integers, each observation once. At N 50, K 5 a page takes about
    0.6 kB.

    Args:
        buffer_size: Pages in all.
        observation_space: The environment's Dict space.
        action_space: `MultiDiscrete([N] * K)`.
        device: Where samples go.
        n_envs: Users `B` side by side.
        optimize_memory_usage: As SB3 calls it; memory is always saved here.
        max_steps: Step limit of a session, which bounds how many are cut off.
        bootstrap_at_limit: Whether a session has value beyond the step limit.
    """

    def __init__(
        self,
        buffer_size: int,
        observation_space: spaces.Dict,
        action_space: spaces.MultiDiscrete,
        device: torch.device | str = "cpu",
        n_envs: int = 1,
        optimize_memory_usage: bool = True,
        *,
        max_steps: int = 1,
        bootstrap_at_limit: bool = True,
    ) -> None:
        del optimize_memory_usage
        self.device, self.n_envs = torch.device(device), n_envs
        self.bootstrap_at_limit = bootstrap_at_limit
        self.rows = max(2, buffer_size // n_envs)
        kinds = {name: _compact(name, box) for name, box in observation_space.spaces.items()}
        shapes = {name: box.shape or () for name, box in observation_space.spaces.items()}
        slate = (self.rows, n_envs, len(action_space.nvec))
        page = (self.rows, n_envs)
        # A user is cut off at most once in `max_steps` rows.
        self.most_cut = n_envs * (self.rows // max_steps + 2) if bootstrap_at_limit else 1
        self._arrays: dict[str, NDArray[Any]] = {
            f"observation.{name}": np.zeros((*page, *shapes[name]), kind) for name, kind in kinds.items()
        } | {
            "slates": np.zeros(slate, np.int16 if action_space.nvec.max() < 2**15 else np.int32),
            "click": np.zeros(slate, np.uint8),
            "purchase": np.zeros(slate, np.uint8),
            "reward": np.zeros(page, np.float32),
            "terminated": np.zeros(page, np.bool_),
            "explored": np.zeros(page, np.bool_),
            "last": np.full(page, -1, np.int32),
        }
        self._last: dict[str, NDArray[Any]] = {
            name: np.zeros((self.most_cut, *shapes[name]), kind) for name, kind in kinds.items()
        }
        self.names = tuple(kinds)
        self.pos, self.full, self.n_cut = 0, False, 0

    def __len__(self) -> int:
        """Pages held."""
        return self.size * self.n_envs

    @property
    def size(self) -> int:
        """Rows held."""
        return self.rows if self.full else self.pos

    def put(
        self,
        observation: Mapping[str, NDArray[Any]],
        *,
        slates: NDArray[np.integer[Any]],
        click: NDArray[Any],
        purchase: NDArray[Any],
        reward: NDArray[np.float32],
        terminated: NDArray[np.bool_],
        truncated: NDArray[np.bool_],
        explored: NDArray[np.bool_],
        last: Mapping[str, NDArray[Any]],
    ) -> None:
        """Add one step of all users.

        Args:
            observation: (B, ...) before the page.
            slates: (B, K) candidate positions.
            click: (B, K).
            purchase: (B, K).
            reward: (B,).
            terminated: (B,) the user left.
            truncated: (B,) the step limit cut the session.
            explored: (B,) the slate was drawn.
            last: (truncated.sum(), ...) last observations of the sessions cut off, in the order of users.
        """
        at, arrays = self.pos, self._arrays
        for name in self.names:
            arrays[f"observation.{name}"][at] = observation[name]
        arrays["slates"][at], arrays["click"][at], arrays["purchase"][at] = slates, click, purchase
        arrays["reward"][at], arrays["explored"][at] = reward, explored
        arrays["terminated"][at] = terminated if self.bootstrap_at_limit else terminated | truncated
        arrays["last"][at] = -1
        cut = np.flatnonzero(truncated)
        if cut.size and self.bootstrap_at_limit:
            where = (self.n_cut + np.arange(cut.size)) % self.most_cut
            for name in self.names:
                self._last[name][where] = last[name]
            arrays["last"][at, cut] = where
            self.n_cut = int((self.n_cut + cut.size) % self.most_cut)
        self.pos += 1
        if self.pos == self.rows:
            self.pos, self.full = 0, True

    def sample(
        self, pages: int, length: int, generator: np.random.Generator, recent: int | None = None
    ) -> Blocks:
        """About `pages` pages in blocks of `length` (shorter while less is held), drawn uniformly.

        The newest row has no successor yet, and is drawn as one only. With `recent`, only the newest so many pages
        are drawn from (but at least one block of each user).
        """
        length = min(length, self.size - 1)
        n_blocks = max(1, pages // length)
        first = self.pos if self.full else 0
        oldest = 0 if recent is None else max(0, self.size - max(recent // self.n_envs, length + 1))
        start = generator.integers(oldest, self.size - length, n_blocks)  # rows after the first
        user = np.broadcast_to(generator.integers(0, self.n_envs, n_blocks), (length + 1, n_blocks))
        row = (first + start + np.arange(length + 1)[:, None]) % self.rows  # (L + 1, M)
        arrays = self._arrays
        inner = (row[:-1], user[:-1])
        last = arrays["last"][inner]  # (L, M)
        cut = last >= 0
        terminated = arrays["terminated"][inner]
        n_rows = (length + 1) * n_blocks
        successor = np.arange(n_blocks, n_rows).reshape(length, n_blocks)
        successor[cut] = n_rows + np.arange(int(cut.sum()))
        observations = {
            name: self._tensor(
                np.concatenate(
                    [arrays[f"observation.{name}"][row.ravel(), user.ravel()], self._last[name][last[cut]]]
                ),
                floating=name in _COUNTS,
            )
            for name in self.names
        }
        return Blocks(
            observations=observations,
            slates=self._tensor(arrays["slates"][inner].astype(np.int64)),
            click=self._tensor(arrays["click"][inner], floating=True),
            purchase=self._tensor(arrays["purchase"][inner], floating=True),
            reward=self._tensor(arrays["reward"][inner]),
            going_on=self._tensor(~terminated, floating=True),
            ended=self._tensor(terminated | cut),
            explored=self._tensor(arrays["explored"][inner]),
            successor=self._tensor(successor),
        )

    def _tensor(self, array: NDArray[Any], *, floating: bool = False) -> Tensor:
        tensor = torch.from_numpy(np.ascontiguousarray(array)).to(self.device)
        return tensor.float() if floating else tensor

    def save(self) -> dict[str, NDArray[Any]]:
        """All that is held, and the position."""
        saved = {name: array[: self.size].copy() for name, array in self._arrays.items()}
        saved |= {f"last.{name}": array.copy() for name, array in self._last.items()}
        saved["position"] = np.array([self.pos, self.full, self.n_cut], np.int64)
        return saved

    def restore(self, saved: Mapping[str, NDArray[Any]]) -> None:
        """Hold what `save` gave."""
        self.pos, self.full, self.n_cut = (
            int(saved["position"][0]),
            bool(saved["position"][1]),
            int(saved["position"][2]),
        )
        for name, array in self._arrays.items():
            array[: self.size] = saved[name]
        for name, array in self._last.items():
            array[...] = saved[f"last.{name}"]


def _compact(name: str, box: spaces.Space[Any]) -> type[np.generic]:
    assert isinstance(box, spaces.Box)
    if name in _COUNTS:
        return np.uint8 if float(np.max(box.high, initial=0.0)) < 256 else np.uint16
    return np.int32 if np.issubdtype(box.dtype, np.integer) else np.float32
