"""One Markdown page a task, made of its docstring, and the index of them: `docs/tasks/`."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from pathlib import Path

from behavior.errors import InputError
from behavior.files import atomic_path
from envs.tasks.registry import SUITE, task_env
from envs.tasks.suite import SuiteEnv, reference_returns
from envs.world import TaskConfig

__all__ = ["MARKER", "TaskRow", "index_page", "score_text", "task_page", "task_rows", "write_pages"]

MARKER = "<!-- Written by `python -m envs docs` from the task's docstring: change that, not this file. -->"
"""First line of every page; a file without it is nobody's to overwrite."""
_INDEX = "README.md"


@dataclass(frozen=True)
class TaskRow:
    """A task in one line of a table."""

    id: str
    n_items: int
    n_queries: int
    n_candidates: int
    slate_size: int
    max_steps: int
    score: str
    planning_gap: float | None
    """How far the planning oracle beats the myopic one; None where it was not measured."""
    reason: str


def score_text(task: TaskConfig) -> str:
    """The score of an episode in words: "clicks + 5 x purchases"."""
    named = (
        (task.click_weight, "clicks"),
        (task.purchase_weight, "purchases"),
        (task.revenue_weight, "revenue"),
    )
    parts = [name if weight == 1.0 else f"{weight:g} x {name}" for weight, name in named if weight != 0.0]
    return " + ".join(parts) or "0"


def task_rows() -> list[TaskRow]:
    """The suite in its order."""
    rows = []
    for entry in SUITE.values():
        env = task_env(entry.id)
        measured = {row["name"]: row["value"] for row in reference_returns().get(entry.id, [])}
        rows.append(
            TaskRow(
                id=entry.id,
                n_items=env.SHOP.n_items,
                n_queries=env.SHOP.n_queries,
                n_candidates=env.TASK.n_candidates,
                slate_size=env.TASK.slate_size,
                max_steps=env.TASK.max_steps,
                score=score_text(env.TASK),
                planning_gap=measured.get("planning gap"),
                reason=entry.reason,
            )
        )
    return rows


def task_page(env: type[SuiteEnv]) -> str:
    """The page of a task: its docstring under its id."""
    return f"{MARKER}\n# {env.ID}\n\n{_document(env)}\n"


def index_page() -> str:
    """The list of all tasks, each with a link to its page."""
    lines = [
        MARKER,
        "# The task suite",
        "",
        "Small tasks, each with a reason to exist and one scalar score per session. Make one with",
        '`gymnasium.make("envs:SlateRank-Boredom-v0")` or `gymnasium.make_vec(...)`; `envs.tasks.make_task(name)`',
        "gives its world and its `TaskConfig`. `python -m envs` lists, describes, plays and checks them.",
        "",
        "| task | reason | items | candidates | slate | pages | score | planning gap |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in task_rows():
        gap = "not measured yet" if row.planning_gap is None else f"{100 * row.planning_gap:.0f} %"
        lines.append(
            f"| [{row.id}]({row.id}.md) | {row.reason} | {row.n_items:,} | {row.n_candidates} | {row.slate_size} | "
            f"{row.max_steps} | {row.score} | {gap} |"
        )
    lines += [
        "",
        "The planning gap is how far the oracle that looks ahead beats the one that serves each page best: what a task",
        "leaves to reinforcement learning. The reference returns in the pages come from `python -m benchmarks.tasks`.",
    ]
    return "\n".join(lines) + "\n"


def write_pages(folder: Path) -> list[Path]:
    """Write the page of every task and the index into `folder`; gives the files.

    Raises:
        InputError: A file in the way was written by somebody else; nothing has been written then.
    """
    pages = {folder / f"{entry.id}.md": task_page(task_env(entry.id)) for entry in SUITE.values()}
    pages[folder / _INDEX] = index_page()
    for path in pages:
        _refuse_foreign(path)
    for path, text in pages.items():
        with atomic_path(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return list(pages)


def _refuse_foreign(path: Path) -> None:
    if not path.exists():
        return
    if path.is_file():
        with path.open(encoding="utf-8", errors="replace") as file:
            if file.readline().rstrip("\n") == MARKER:
                return
    raise InputError(
        "this was not written by `python -m envs docs`, and is not overwritten",
        where=str(path),
        mend="choose another folder with --out, or move it away",
    )


def _document(env: type[SuiteEnv]) -> str:
    return inspect.cleandoc(env.__doc__ or "")
