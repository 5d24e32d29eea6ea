"""Pages as records of fixed width, as they lie on disk, and as `LoggedSteps`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from behavior.steps import LoggedSteps

__all__ = ["OPTIONAL", "PageShape", "blank_records", "steps_of", "to_records"]

OPTIONAL = {
    "dwell": "dwell_seconds",
    "propensity": "propensity",
    "cascade_propensity": "cascade_propensity",
    "slate_propensity": "slate_propensity",
}
"""Fields that are on disk only where the log has them, and the columns of the log that they come from."""

_FILL = {"item": -1, "candidates": -1, "query": -1} | dict.fromkeys(OPTIONAL, np.nan)


@dataclass(frozen=True, kw_only=True)
class PageShape:
    """How wide the records of a log are."""

    n_positions: int
    """`K`."""
    n_candidates: int
    """`N`; 0 where the log has none."""
    n_context: int
    """`F`."""
    optional: tuple[str, ...]
    """Those of `OPTIONAL` that the log has."""

    @property
    def dtype(self) -> np.dtype[np.void]:
        """One page."""
        k = (self.n_positions,)
        fields: list[tuple[str, str] | tuple[str, str, tuple[int]]] = [
            ("session", "<i8"),
            ("user", "<i8"),
            ("step", "<i4"),
            ("query", "<i4"),
            ("timestamp", "<i8"),
            ("session_end", "i1"),
            ("item", "<i4", k),
            ("click", "u1", k),
            ("purchase", "u1", k),
        ]
        if self.n_candidates:
            fields.append(("candidates", "<i4", (self.n_candidates,)))
        if self.n_context:
            fields.append(("context", "<f4", (self.n_context,)))
        for name in self.optional:
            kind = "<f4" if name == "dwell" else "<f8"
            fields.append((name, kind) if name == "slate_propensity" else (name, kind, k))
        return np.dtype(fields)


def blank_records(n_pages: int, shape: PageShape) -> NDArray[np.void]:
    """Records (n_pages,) with nothing shown and nothing known."""
    records = np.zeros(n_pages, shape.dtype)
    for name, fill in _FILL.items():
        if name in (shape.dtype.names or ()):
            records[name] = fill
    return records


def to_records(steps: LoggedSteps, shape: PageShape) -> NDArray[np.void]:
    """The steps (M,) as records."""
    records = np.empty(steps.n_steps, shape.dtype)
    for name in shape.dtype.names or ():
        records[name] = getattr(steps, name)
    return records


def steps_of(
    records: NDArray[np.void],
    *,
    context_names: Sequence[str],
    queries: tuple[str, ...],
    single_impressions: bool,
) -> LoggedSteps:
    """The records (M,) as steps, each array on its own in memory."""
    m, k = len(records), records["item"].shape[1]
    held = set(records.dtype.names or ())

    def field(name: str, shape: tuple[int, ...], dtype: Any, fill: float) -> NDArray[Any]:
        return np.ascontiguousarray(records[name]) if name in held else np.full(shape, fill, dtype)

    return LoggedSteps(
        **{
            name: np.ascontiguousarray(records[name])
            for name in (
                "session",
                "user",
                "step",
                "query",
                "timestamp",
                "session_end",
                "item",
                "click",
                "purchase",
            )
        },
        candidates=field("candidates", (m, 0), np.int32, -1),
        context=field("context", (m, 0), np.float32, 0),
        dwell=np.ascontiguousarray(records["dwell"]) if "dwell" in held else None,
        propensity=field("propensity", (m, k), np.float64, np.nan),
        cascade_propensity=field("cascade_propensity", (m, k), np.float64, np.nan),
        slate_propensity=field("slate_propensity", (m,), np.float64, np.nan),
        context_names=tuple(context_names),
        queries=queries,
        single_impressions=single_impressions,
    )
