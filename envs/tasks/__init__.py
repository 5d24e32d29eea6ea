"""The task suite: small tasks with a reason to exist, each with its score and its reference returns.

`gymnasium.make("envs:SlateRank-Boredom-v0")`, `gymnasium.make_vec(...)`, or `make_task("SlateRank-Boredom-v0")` for the
world and the `TaskConfig` by themselves.
"""

from __future__ import annotations

from envs.tasks.registry import SUITE, TaskEntry, make_task, task_env

__all__ = ["SUITE", "TaskEntry", "make_task", "task_env"]
