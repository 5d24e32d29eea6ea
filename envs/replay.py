"""What an agent would have seen at each step of a log, by the same kernels that write live observations."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError
from behavior.steps import LoggedSteps
from encoders.features import CandidateTable, FeatureTables
from envs.history import History
from envs.observation import Observation
from envs.world import TaskConfig

__all__ = ["observe_log"]

_SESSIONS = 4096
"""Sessions at a time: bounds the memory of their histories."""


def observe_log(
    steps: LoggedSteps,
    features: FeatureTables | None,
    task: TaskConfig,
    *,
    candidates: CandidateTable | None = None,
) -> Observation:
    """The observations of the `M` logged steps, in the log's order.

    Candidates are the logged ones (cut or padded to the task's N), their scores the relevance model's. `progress`
    counts the log's own steps against the task's horizon; a longer session stands at the horizon.

    Args:
        steps: The log; sessions need not be complete, but what is missing was not seen.
        features: The public tables; item and query rows are the log's. None: no relevance is known, scores are 0.
        task: N, K, H and the horizon.
        candidates: Candidates and scores by query, for a log that recorded none; where given, they are used
            instead of the logged ones.

    Raises:
        InputError: The log has no candidates and none are given.
    """
    M, N, K = steps.n_steps, task.n_candidates, task.slate_size
    if candidates is None and steps.candidates.shape[1] == 0:
        raise InputError(
            "the log does not say from which candidates its pages were chosen",
            where="observe_log",
            mend="give the log's companion table of candidates, or pass candidates= (a CandidateTable)",
        )
    query = steps.query.astype(np.int32)
    if candidates is None:
        items = _columns(steps.candidates, N, -1)
        scores = np.zeros(items.shape, np.float32) if features is None else _relevance(features, query, items)
    else:
        asked = (query >= 0)[:, None]  # a step without a query has no row in the table
        items = np.where(asked, _columns(candidates.items, N, -1)[query], np.int32(-1))
        scores = np.where(asked, _columns(candidates.scores, N, 0)[query], np.float32(0.0))
    out = Observation(
        query=np.ascontiguousarray(query[:, None]),
        context=steps.context,
        candidates=items,
        scores=scores,
        seen=np.zeros((M, N), np.float32),
        last_slate=np.full((M, K), -1, np.int32),
        last_click=np.zeros((M, K), np.float32),
        last_purchase=np.zeros((M, K), np.float32),
        clicked=np.full((M, task.history), -1, np.int32),
        progress=np.zeros((M, 4), np.float32),
        recent_items=np.full((M, task.memory * K), -1, np.int32),
        recent_feedback=np.zeros((M, task.memory * K), np.float32),
    )
    if M == 0:
        return out

    order = np.lexsort((steps.step, steps.session))  # (M,) by session, then step
    n_items = features.n_items if features is not None else int(max(items.max(), steps.item.max())) + 1
    starts = np.flatnonzero(np.diff(steps.session[order], prepend=steps.session[order[0]] - 1))
    lengths = np.diff(starts, append=M)  # (S,) pages of each session
    slates = np.ascontiguousarray(steps.item, np.int32)
    for first in range(0, starts.size, _SESSIONS):
        begin, length = starts[first : first + _SESSIONS], lengths[first : first + _SESSIONS]
        history = History(
            begin.size,
            task,
            n_items,
            slate_size=steps.slate_size,
            max_pages=int(length.max()),
        )
        query_now = np.full(begin.size, -1, np.int32)
        for page in range(int(length.max())):
            sessions = np.flatnonzero(length > page)  # rows of the history
            at = order[begin[sessions] + page]  # rows of the log
            history.pages[sessions] = steps.step[at]
            query_now[sessions] = query[at]
            seen = history.observe(
                sessions,
                query=query_now,
                context=steps.context[at],
                candidates=items[at],
                scores=scores[at],
                by_row=True,
            )
            for field in fields(Observation):
                if field.name in ("seen", "clicked", "progress"):
                    getattr(out, field.name)[at] = getattr(seen, field.name)
                elif field.name.startswith("last_"):
                    fill = -1 if field.name == "last_slate" else 0
                    getattr(out, field.name)[at] = _columns(getattr(seen, field.name), K, fill)
            if task.memory:
                L = steps.slate_size  # the log's pages may be longer or shorter than the task's
                for name, fill in (("recent_items", -1), ("recent_feedback", 0)):
                    pages = getattr(seen, name).reshape(-1, L)  # a page a row
                    getattr(out, name)[at] = _columns(pages, K, fill).reshape(sessions.size, -1)
            history.note(sessions, slates[at], steps.click[at], steps.purchase[at])
    return out


def _columns(table: NDArray[Any], n: int, fill: int) -> NDArray[Any]:
    """The first `n` columns of `table`, padded with `fill` where it has fewer."""
    out = np.full((table.shape[0], n), fill, table.dtype)
    width = min(n, table.shape[1])
    out[:, :width] = table[:, :width]
    return out


def _relevance(
    features: FeatureTables, query: NDArray[np.int32], items: NDArray[np.int32]
) -> NDArray[np.float32]:
    scores = np.zeros(items.shape, np.float32)
    for start in range(0, items.shape[0], 1024):  # the gathered vectors are (1024, N, R)
        rows = slice(start, start + 1024)
        scores[rows] = features.relevance.click_probability(query[rows], items[rows])
    scores[query < 0] = 0.0
    return scores
