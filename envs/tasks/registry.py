"""The suite by name; importing this module imports no task."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from behavior.errors import InputError

if TYPE_CHECKING:
    from envs.tasks.suite import SuiteEnv
    from envs.world import TaskConfig, World

__all__ = ["SUITE", "TaskEntry", "make_task", "task_env"]


@dataclass(frozen=True, kw_only=True)
class TaskEntry:
    """Where a task lives."""

    id: str
    """Gymnasium id."""
    module: str
    """Module of the task."""
    name: str
    """Classes `<name>Env` and `<name>VectorEnv`."""
    reason: str
    """Why it is in the suite."""

    @property
    def entry_point(self) -> str:
        """Of the single environment."""
        return f"{self.module}:{self.name}Env"

    @property
    def vector_entry_point(self) -> str:
        """Of the batch."""
        return f"{self.module}:{self.name}VectorEnv"


def _entry(suffix: str, module: str, name: str, reason: str) -> TaskEntry:
    return TaskEntry(id=f"SlateRank-{suffix}-v0", module=f"envs.tasks.{module}", name=name, reason=reason)


SUITE: Mapping[str, TaskEntry] = {
    entry.id: entry
    for entry in (
        _entry("Static", "static", "Static", "nothing carries over from page to page: a sanity check"),
        _entry("Boredom", "boredom", "Boredom", "more of the same drives users away"),
        _entry(
            "Satisfaction",
            "satisfaction",
            "Satisfaction",
            "what lures clicks disappoints, and poor pages drive users away",
        ),
        _entry("Drift", "drift", "Drift", "tastes move with clicks: users can be led to what they need"),
        _entry(
            "Funnel", "funnel", "Funnel", "view, click, cart, purchase: warm up, then sell; revenue counts"
        ),
        _entry("Return", "returning", "Return", "a life of several visits: content users come back"),
        _entry("ColdStart", "cold_start", "ColdStart", "new items each week, of which nothing is known"),
        _entry("Business", "business", "Business", "stock, sponsored slots, at most so many of a brand"),
        _entry("Catalog1M", "catalog", "Catalog", "a million items"),
    )
}
"""Gymnasium id to task."""


def task_env(name: str) -> type[SuiteEnv]:
    """The environment class of a task, by its id or by the middle of it ("Boredom").

    Raises:
        InputError: There is no such task.
    """
    known = {entry.id: entry for entry in SUITE.values()}
    known |= {entry.id.split("-")[1].lower(): entry for entry in SUITE.values()}
    found = known.get(name, known.get(name.lower()))
    if found is None:
        close = difflib.get_close_matches(name.lower(), [key for key in known if key not in SUITE], n=1)
        asked = f"did you mean {known[close[0]].id}? " if close else ""
        raise InputError(
            f"there is no task {name!r}", where="task suite", mend=f"{asked}choose one of {', '.join(SUITE)}"
        )
    env: type[SuiteEnv] = getattr(importlib.import_module(found.module), f"{found.name}Env")
    return env


def make_task(name: str) -> tuple[World, TaskConfig]:
    """The world and the `TaskConfig` of a task, by its id or by the middle of it ("Boredom").

    Raises:
        InputError: There is no such task.
    """
    env = task_env(name)
    return env.make_world(), env.TASK
