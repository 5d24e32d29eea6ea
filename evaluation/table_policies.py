"""Policies whose scores or chances stand in a table; `evaluation.score_tables` reads them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from agents.base import Draw, Policy, SlatePropensity
from agents.score_policy import ScorePolicy
from behavior.errors import InputError

if TYPE_CHECKING:
    from envs.observation import Observation
    from simulators.base import SessionState

__all__ = ["ItemTable", "MarginalTable", "Names", "PageScores", "TablePolicy"]


@dataclass(frozen=True, kw_only=True)
class Names:
    """How the rows of a log are called in files."""

    items: tuple[str, ...]
    """I item ids by row."""
    queries: tuple[str, ...]
    """Q texts by row."""
    sessions: NDArray[np.object_]
    """(S,) ids by session number; empty where they are not known."""


@dataclass(frozen=True)
class TablePolicy:
    """A policy read from a table, and what it sees of the log's pages where that is special to it."""

    policy: Policy
    observation: Observation | None = None
    """The log's pages with the table's scores; None: as all other policies see them."""
    notes: tuple[str, ...] = ()


class ItemTable(ScorePolicy):
    """Ranks by a table of scores (Q, I).

    Args:
        table: (Q, I) finite scores.
        temperature: See `ScorePolicy`.
        name: For tables of results.
    """

    def __init__(self, table: NDArray[np.float64], *, temperature: float, name: str) -> None:
        super().__init__(temperature=temperature)
        self.name = name
        # A last row and column of zeros for what is not there (-1).
        self._table = np.pad(table, ((0, 1), (0, 1)))

    def scores(self, observation: Observation) -> NDArray[np.float64]:
        """(B, N)."""
        found: NDArray[np.float64] = self._table[observation.query, observation.candidates]
        return found


class PageScores(ScorePolicy):
    """Ranks by the scores that an observation carries: those that a table gave the log's own pages.

    It knows no other pages, so it cannot be simulated.
    """

    def __init__(self, *, temperature: float, name: str) -> None:
        super().__init__(temperature=temperature)
        self.name = name

    def scores(self, observation: Observation) -> NDArray[np.float64]:
        """(B, N)."""
        return observation.scores.astype(np.float64)


class MarginalTable(Policy):
    """The chance of each item at each position; how pages hang together is not known, so it cannot rank.

    Args:
        table: (Q, K, I) probabilities, or (1, K, I) for all queries alike.
        name: For tables of results.
    """

    def __init__(self, table: NDArray[np.float64], *, name: str) -> None:
        self.name = name
        self._table = np.pad(table, ((0, 0), (0, 0), (0, 1)))

    def rank(
        self, observation: Observation, draw: Draw, *, slate_size: int, state: SessionState | None = None
    ) -> NDArray[np.int64]:
        """Refused: chances of single positions make no page."""
        raise InputError(
            "a table of chances by position says nothing of whole pages",
            where=self.name,
            mend="give a table of scores (query, item, score) to have it simulated",
        )

    def propensity(self, observation: Observation, actions: NDArray[np.int64]) -> SlatePropensity:
        """Chances of single items; those of pages are nan (unknown)."""
        items = np.take_along_axis(observation.candidates, actions, axis=1)  # (B, K)
        query = observation.query if self._table.shape[0] > 1 else np.zeros_like(observation.query)
        at = np.broadcast_to(np.arange(actions.shape[1]), actions.shape)
        if actions.shape[1] > self._table.shape[1]:
            raise InputError(
                f"the table knows {self._table.shape[1]} positions, the log {actions.shape[1]}",
                where=self.name,
                mend="give a row for every item and position of the log (positions count from 0)",
            )
        item = self._table[query, at, items]
        unknown = np.full(actions.shape, np.nan)
        return SlatePropensity(item=item, cascade=unknown, slate=unknown[:, -1])
