"""Policies that are a Python function, for rankers trained elsewhere: `module:function`.

The function is given `Pages` with the names of queries and items as the shop has them, and returns one score a
candidate, (M, N). `module:Class` of an `agents.base.Policy`, and a module's ready-made Policy, are taken as they are.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from agents.base import Policy
from agents.score_policy import ScorePolicy
from behavior.errors import InputError

if TYPE_CHECKING:
    from envs.observation import Observation
    from evaluation.table_policies import Names

__all__ = ["FunctionPolicy", "Pages", "load_policy"]


@dataclass(frozen=True)
class Pages:
    """`M` pages to be ranked, as a function of somebody else's wants them."""

    observation: Observation
    """All that is seen, by row numbers."""
    item_ids: NDArray[np.object_]
    """(I + 1,) the shop's ids by item row; None at the end, where -1 points."""
    query_texts: NDArray[np.object_]
    """(Q + 1,) texts by query row; "" at the end."""

    @cached_property
    def candidates(self) -> NDArray[np.object_]:
        """(M, N) item ids, None where there is no candidate."""
        ids: NDArray[np.object_] = self.item_ids[self.observation.candidates]
        return ids

    @cached_property
    def query(self) -> NDArray[np.object_]:
        """(M,) texts."""
        texts: NDArray[np.object_] = self.query_texts[self.observation.query[:, 0]]
        return texts

    @property
    def context(self) -> NDArray[np.float32]:
        """(M, F) what the shop knows of the user."""
        return self.observation.context

    @property
    def seen(self) -> NDArray[np.float32]:
        """(M, N) how often each candidate was shown earlier in the session."""
        return self.observation.seen

    @cached_property
    def last_page(self) -> NDArray[np.object_]:
        """(M, K) item ids of the page before, None on the first; `observation.last_click` says what was clicked."""
        ids: NDArray[np.object_] = self.item_ids[self.observation.last_slate]
        return ids


class FunctionPolicy(ScorePolicy):
    """Ranks by what a function says.

    Args:
        function: `Pages` -> scores (M, N); those of padded candidates do not matter.
        names: What items and queries are called.
        temperature: See `ScorePolicy`.
        name: For tables of results, and for messages.
    """

    def __init__(
        self, function: Callable[[Pages], Any], names: Names, *, temperature: float, name: str
    ) -> None:
        super().__init__(temperature=temperature)
        self.name = name
        self._function = function
        self._items = np.array([*names.items, None], object)
        self._queries = np.array([*names.queries, ""], object)

    def scores(self, observation: Observation) -> NDArray[np.float64]:
        """(B, N).

        Raises:
            InputError: The function raised, or returned something else than one finite score a candidate.
        """
        pages = Pages(observation, self._items, self._queries)
        try:
            found = np.asarray(self._function(pages), np.float64)
        except InputError:
            raise
        except Exception as error:
            raise InputError(
                f"the function raised {type(error).__name__}: {error}",
                where=self.name,
                mend="it is called with one argument, evaluation.callable_policies.Pages, and returns scores (M, N)",
            ) from error
        shape = observation.candidates.shape
        if found.shape != shape:
            raise InputError(
                f"the function returned shape {found.shape}, expected {shape}: one score a page and candidate",
                where=self.name,
                mend="return an array as wide as pages.candidates",
            )
        bad = ~np.isfinite(found) & (observation.candidates >= 0)
        if bad.any():
            row, column = (int(v) for v in np.argwhere(bad)[0])
            raise InputError(
                f"the function returned {found[row, column]} for the item {pages.candidates[row, column]!r} "
                f"({int(bad.sum())} such scores)",
                where=f"{self.name}, page {row} of a batch of {shape[0]}",
                mend="return a finite score for every candidate",
            )
        return found


def load_policy(name: str, names: Names, *, temperature: float) -> Policy:
    """The policy that `module:function` stands for.

    Raises:
        InputError: There is no such module or name, or a class that cannot be made without arguments.
    """
    found = _load(name)
    if isinstance(found, Policy):
        return found
    if inspect.isclass(found) and issubclass(found, Policy):
        try:
            return found()
        except Exception as error:
            raise InputError(
                f"making it raised {type(error).__name__}: {error}",
                where=name,
                mend="give a function module:function that returns scores, or a policy ready-made in the module",
            ) from error
    return FunctionPolicy(found, names, temperature=temperature, name=name.partition(":")[2])


def _load(name: str) -> Any:
    from simulators.registry import load_class

    try:
        return load_class(name)
    except InputError as error:
        raise InputError(
            error.what.replace(" class ", " function "), where=f"--policy {name}", mend=error.mend
        ) from error
