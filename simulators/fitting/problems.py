"""Parts of a fitting problem: earlier and later sessions, and rows that something happened to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from simulators.fitting.likelihood import Problem

__all__ = ["cut", "select"]


def cut(problem: Problem, rows: slice, first_page: int, stop_page: int) -> Problem:
    """The rows `rows` of a problem, which belong to its pages from `first_page` to before `stop_page`."""
    return replace(
        problem,
        rows=problem.rows[rows],
        outcome=problem.outcome[rows],
        category=None if problem.category is None else problem.category[rows],
        item=None if problem.item is None else problem.item[rows],
        more=tuple(effect.take(rows) for effect in problem.more),
        page=problem.page[rows] - first_page,
        position=problem.position[rows],
        shape=(stop_page - first_page, problem.shape[1]),
    )


def select(problem: Problem, keep: NDArray[np.bool_]) -> Problem:
    """The rows (n,) that are to be kept, on the same pages."""
    assert problem.category is not None
    assert problem.item is not None
    return replace(
        problem,
        rows=problem.rows[keep],
        outcome=problem.outcome[keep],
        category=problem.category[keep],
        item=problem.item[keep],
        page=problem.page[keep],
        position=problem.position[keep],
    )
