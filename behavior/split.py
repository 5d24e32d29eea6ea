"""Splits of a log in time: what is learned from comes before what it is judged on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pandas as pd

from behavior.errors import InputError
from behavior.steps import LoggedSteps

__all__ = ["PartRecord", "TimeSplit", "split_bounds", "split_steps_by_time"]


@dataclass(frozen=True, kw_only=True)
class PartRecord:
    """What lies in one part of a split."""

    name: str
    """`train`, `valid` or `test`."""
    n_sessions: int
    """Sessions in it."""
    n_steps: int
    """Steps in it."""
    first_start: str
    """When its first session began, ISO 8601 in UTC."""
    last_start: str
    """When its last session began."""


class TimeSplit(NamedTuple):
    """Three parts in time order; it unpacks as `train, valid, test`."""

    train: LoggedSteps
    valid: LoggedSteps
    test: LoggedSteps

    def record(self) -> tuple[PartRecord, ...]:
        """Sizes and boundaries of the parts, for the report."""
        return tuple(_record(name, part) for name, part in zip(self._fields, self, strict=True))


def split_steps_by_time(steps: LoggedSteps, fractions: Sequence[float] = (0.7, 0.15, 0.15)) -> TimeSplit:
    """Part the sessions by the time at which they began; no session is split.

    Session numbers count anew from 0 in each part; user, item and query numbers keep their meaning across parts.
    Sessions that began at the same instant may fall on both sides of a boundary.

    Args:
        steps: The whole log.
        fractions: Shares of the sessions for training, validation and test; they sum to 1.

    Raises:
        InputError: The fractions are not three positive numbers that sum to 1, or a part would be empty.
    """
    _, session = np.unique(steps.session, return_inverse=True)  # dense, in time order
    bounds = split_bounds(int(session.max(initial=-1)) + 1, fractions)
    parts = []
    for low, high in pairwise(bounds):
        inside = (session >= low) & (session < high)
        parts.append(replace(steps.take(inside), session=(session[inside] - low).astype(np.int64)))
    return TimeSplit(*parts)


def split_bounds(count: int, fractions: Sequence[float]) -> list[int]:
    """First sessions of the three parts of `count` sessions in time order, and `count`: four numbers.

    Raises:
        InputError: See `split_steps_by_time`.
    """
    shares = np.asarray(fractions, np.float64)
    if shares.shape != (3,) or not (shares > 0).all() or abs(shares.sum() - 1) > 1e-9:
        raise InputError(
            f"the fractions are {tuple(fractions)}, expected three positive numbers that sum to 1",
            where="split",
            mend="give for example 0.7 0.15 0.15",
        )
    cut = np.round(np.cumsum(shares)[:2] * count).astype(np.int64)
    bounds = [0, int(cut[0]), int(cut[1]), count]
    sizes = np.diff(bounds)
    if (sizes < 1).any():
        shown = ", ".join(
            f"{n} for {name}" for n, name in zip(sizes.tolist(), TimeSplit._fields, strict=True)
        )
        raise InputError(
            f"of {count} sessions, the fractions {tuple(fractions)} leave {shown}, expected one or more in each",
            where="split",
            mend="bring a log of more sessions, or choose more even fractions",
        )
    return bounds


def _record(name: str, part: LoggedSteps) -> PartRecord:
    begins = np.append(True, part.session[1:] != part.session[:-1])
    start = part.timestamp[begins]
    return PartRecord(
        name=name,
        n_sessions=len(start),
        n_steps=part.n_steps,
        first_start=pd.Timestamp(int(start.min()), tz="UTC").isoformat(),
        last_start=pd.Timestamp(int(start.max()), tz="UTC").isoformat(),
    )
