"""Splits in time keep sessions whole and in order, whatever the log."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings

from behavior import Catalog, InputError, InteractionLog, LoggedSteps, split_steps_by_time
from behavior.contract import check_steps

_CATALOG = Catalog.from_frame(pd.DataFrame({"item_id": ["a"]}))


def _steps(starts: list[int], lengths: list[int]) -> LoggedSteps:
    rows = [
        (f"s{number}", f"u{number % 3}", step, start * 1000 + step)
        for number, (start, length) in enumerate(zip(starts, lengths, strict=True))
        for step in range(length)
    ]
    frame = pd.DataFrame(rows, columns=["session_id", "user_id", "step", "timestamp"])
    frame = frame.assign(query=frame["session_id"], position=0, item_id="a", click=0)
    return InteractionLog.from_frame(frame).to_steps(_CATALOG)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 30), st.integers(1, 4)), min_size=8, max_size=40),
    st.sampled_from([(0.7, 0.15, 0.15), (0.5, 0.25, 0.25), (0.34, 0.33, 0.33)]),
)
def test_split_laws(sessions: list[tuple[int, int]], fractions: tuple[float, float, float]) -> None:
    steps = _steps(*map(list, zip(*sessions, strict=True)))
    parts = split_steps_by_time(steps, fractions)
    seen: list[set[int]] = []
    for part in parts:
        check_steps(part, 1)
        seen.append({int(q) for q in part.query})  # the query names the session
    assert len(seen[0] | seen[1] | seen[2]) == sum(map(len, seen)) == len(sessions)
    for field in ("query", "timestamp", "step", "user"):
        joined = np.concatenate([getattr(part, field) for part in parts])
        np.testing.assert_array_equal(joined, getattr(steps, field))
    starts = [part.timestamp[part.step == 0] for part in parts]
    assert starts[0].max() <= starts[1].min()
    assert starts[1].max() <= starts[2].min()
    for part, fraction in zip(parts, fractions, strict=True):
        assert abs(part.n_sessions - fraction * len(sessions)) <= 1


def test_by_hand_with_record() -> None:
    parts = split_steps_by_time(_steps(list(range(10, 0, -1)), [2] * 10), (0.7, 0.1, 0.2))
    assert [part.n_sessions for part in parts] == [7, 1, 2]
    train, valid, test = parts.record()
    assert (train.name, valid.name, test.name) == ("train", "valid", "test")
    assert (train.n_sessions, train.n_steps) == (parts.train.n_sessions, parts.train.n_steps)
    assert train.first_start == pd.Timestamp(1000, unit="s", tz="UTC").isoformat()
    assert test.last_start == pd.Timestamp(10_000, unit="s", tz="UTC").isoformat()
    assert train.last_start < valid.first_start < test.first_start


def test_too_few_sessions() -> None:
    with pytest.raises(InputError, match="of 2 sessions"):
        split_steps_by_time(_steps([1, 2], [1, 1]))


@pytest.mark.parametrize("fractions", [(0.5, 0.5), (0.9, 0.2, -0.1), (0.5, 0.2, 0.2)])
def test_fractions_that_are_none(fractions: tuple[float, ...]) -> None:
    with pytest.raises(InputError, match="sum to 1"):
        split_steps_by_time(_steps(list(range(9)), [1] * 9), fractions)
