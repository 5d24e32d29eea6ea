"""Logged rows put into sessions: sorted by session and step, checked for gaps, and laid out as (S, T) tables.

What a step is worth is weighed by everything that the session was shown before it, so a session with a missing or
doubled step has no weight at all: such logs are refused, with the session and the step named.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from behavior.errors import InputError
from evaluation.estimators.checks import array_of

__all__ = ["SessionLayout", "session_layout"]


@dataclass(frozen=True, kw_only=True)
class SessionLayout:
    """Where each of `M` logged rows stands in the table of `S` sessions by `T` steps."""

    labels: NDArray[Any]
    """(S,) session labels, sorted: the order of every figure that is per session."""
    length: NDArray[np.int64]
    """(S,) steps of each session, at least 1."""
    row: NDArray[np.int64]
    """(M,) the session (0 .. S-1) of each logged row."""
    step: NDArray[np.int64]
    """(M,) its step, 0-based."""

    @property
    def n_sessions(self) -> int:
        """Number of sessions `S`."""
        return int(self.labels.shape[0])

    @property
    def n_steps(self) -> int:
        """Steps `T` of the longest session."""
        return int(self.length.max())

    @property
    def alive(self) -> NDArray[np.bool_]:
        """(S, T) whether the session has this step."""
        return np.asarray(np.arange(self.n_steps) < self.length[:, None])

    def table(self, values: NDArray[np.float64], *, fill: float) -> NDArray[np.float64]:
        """Row values (M, ...) as (S, T, ...), with `fill` after a session's end."""
        out = np.full((self.n_sessions, self.n_steps, *values.shape[1:]), fill)
        out[self.row, self.step] = values
        return out

    def first(self, values: NDArray[Any]) -> NDArray[Any]:
        """(S, ...) the value at each session's first step: its user, its group."""
        out = np.empty((self.n_sessions, *values.shape[1:]), values.dtype)
        begins = self.step == 0
        out[self.row[begins]] = values[begins]
        return out

    def discounts(self, gamma: float) -> NDArray[np.float64]:
        """(T,) `gamma^t`."""
        return np.asarray(np.power(float(gamma), np.arange(self.n_steps)), np.float64)


def session_layout(session: ArrayLike, step: ArrayLike, *, where: str) -> SessionLayout:
    """The layout of logged rows, in any order.

    Args:
        session: (M,) label of each row's session: numbers or texts.
        step: (M,) its step within the session, 0, 1, 2, ... without gaps.
        where: Who asks, for messages.

    Raises:
        InputError: Missing labels, steps that are no whole numbers, gaps, doubled steps, or fewer than two sessions.
    """
    labels = array_of(session, "session", where, numeric=False)
    steps = array_of(step, "step", where)
    if labels.ndim != 1 or steps.shape != labels.shape:
        raise InputError(
            f"`session` has shape {labels.shape} and `step` {steps.shape}",
            where=where,
            mend="Pass one session label and one step number per logged row.",
        )
    if labels.size == 0:
        raise InputError("no logged rows", where=where, mend="Bring a log with sessions.")
    _refuse_missing(labels, where)
    steps = _whole_numbers(steps, where)
    unique, row = np.unique(labels, return_inverse=True)
    row = row.reshape(-1).astype(np.int64)
    length = np.bincount(row, minlength=unique.shape[0]).astype(np.int64)
    order = np.lexsort((steps, row))
    starts = np.concatenate([[0], np.cumsum(length)[:-1]])
    expected = np.arange(labels.size) - np.repeat(starts, length)
    wrong = np.flatnonzero(steps[order] != expected)
    if wrong.size:
        _refuse_steps(unique, row, steps, order, expected, int(wrong[0]), where)
    if unique.shape[0] < 2:
        raise InputError(
            "1 session, expected at least 2",
            where=where,
            mend="Sessions are what is independent, and no uncertainty can be stated from one: bring a longer log.",
        )
    return SessionLayout(labels=unique, length=length, row=row, step=steps)


def _refuse_missing(labels: NDArray[Any], where: str) -> None:
    if labels.dtype.kind == "f":
        missing = np.isnan(labels)
    elif labels.dtype.kind == "O":
        missing = np.array(
            [label is None or label != label for label in labels], np.bool_
        )  # nan is not itself
    else:
        return
    if missing.any():
        raise InputError(
            f"{int(missing.sum())} rows without a session",
            where=f"{where}, row {int(np.flatnonzero(missing)[0])}",
            mend="Give every row the label of its session.",
        )


def _whole_numbers(steps: NDArray[Any], where: str) -> NDArray[np.int64]:
    if steps.dtype.kind not in "iuf":
        raise InputError(
            f"steps of type {steps.dtype}", where=where, mend="Number the steps of each session 0, 1, 2, ..."
        )
    if steps.dtype.kind == "f":
        bad = ~np.isfinite(steps) | (steps != np.floor(np.where(np.isfinite(steps), steps, 0.0)))
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise InputError(
                f"step {steps[row]} is not a whole number",
                where=f"{where}, row {row}",
                mend="Number the steps of each session 0, 1, 2, ...",
            )
    return steps.astype(np.int64)


def _refuse_steps(
    unique: NDArray[Any],
    row: NDArray[np.int64],
    steps: NDArray[np.int64],
    order: NDArray[np.int64],
    expected: NDArray[np.int64],
    at: int,
    where: str,
) -> None:
    found, wanted = int(steps[order[at]]), int(expected[at])
    label = unique[row[order[at]]]
    if found < 0:
        what, mend = f"step {found} is below 0", "Number the steps of each session 0, 1, 2, ..."
    elif found < wanted:
        what, mend = f"step {found} occurs twice", "Keep one row per page."
    elif wanted == 0 and found == 1:
        what = "the first step is 1"
        mend = "Count steps from 0; if the first page is missing, leave the whole session out."
    else:
        what = f"step {wanted} is missing"
        mend = (
            "A session is weighed by everything it was shown: complete it, or leave the whole session out "
            "(never single pages)."
        )
    raise InputError(what, where=f"{where}, session {label}", mend=mend)
