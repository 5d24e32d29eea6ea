"""A small log worked out by hand, for all tests of the room."""

from __future__ import annotations

import pandas as pd
import pytest

from behavior import Catalog

# session, user, step, time, query, position, item, click, purchase
_ROWS = [
    ("s2", "u1", 0, "2026-01-02T10:00:00+00:00", "lamp", 0, "a", 1, 1),
    ("s2", "u1", 0, "2026-01-02T10:00:00+00:00", "lamp", 1, "c", 0, 0),
    ("s1", "u1", 0, "2026-01-01T10:00:00+00:00", "chair", 0, "b", 0, 0),
    ("s1", "u1", 0, "2026-01-01T10:00:00+00:00", "chair", 1, "a", 1, 0),
    ("s1", "u1", 0, "2026-01-01T10:00:00+00:00", "chair", 2, "d", 0, 0),
    ("s1", "u1", 1, "2026-01-01T10:01:00+00:00", "lamp", 0, "c", 1, 0),
    ("s1", "u1", 1, "2026-01-01T10:01:00+00:00", "lamp", 1, "d", 0, 0),
    ("s3", "u2", 0, "2026-01-03T10:00:00+00:00", "", 0, "d", 0, 0),
]


@pytest.fixture
def frame() -> pd.DataFrame:
    names = [
        "session_id",
        "user_id",
        "step",
        "timestamp",
        "query",
        "position",
        "item_id",
        "click",
        "purchase",
    ]
    return pd.DataFrame(_ROWS, columns=names)


@pytest.fixture
def catalog() -> Catalog:
    return Catalog.from_frame(
        pd.DataFrame(
            {
                "item_id": ["a", "b", "c", "d"],
                "title": ["Lamp A", "Chair B", "Lamp C", "Desk D"],
                "price": [10.0, 20.0, None, 40.0],
                "brand": ["x", "y", "x", "y"],
            }
        )
    )


@pytest.fixture
def candidates(frame: pd.DataFrame) -> pd.DataFrame:
    pages = frame[["session_id", "step"]].drop_duplicates()
    table = pages.merge(pd.DataFrame({"rank": range(4), "item_id": ["d", "c", "b", "a"]}), how="cross")
    return table[~((table["session_id"] == "s3") & (table["rank"] > 1))]  # one list is shorter
