"""Numbers that are no times: beyond 64 bits of nanoseconds they are missing, not wrapped around."""

from __future__ import annotations

import pandas as pd
import pytest

from behavior.parse import as_utc

_DAY = 1_700_000_000


@pytest.mark.parametrize(
    "written",
    [
        [str(_DAY * 10**9), "99999999999999999999"],
        [float(_DAY * 10**9), 1e20],
        [float(_DAY * 10**9), float("inf")],
        [float(_DAY * 10**9), -1.0],
    ],
)
def test_a_number_too_large_for_a_time(written: list[object]) -> None:
    times = as_utc(pd.Series(written))
    assert times[0] == pd.Timestamp(_DAY, unit="s", tz="UTC")
    assert pd.isna(times[1])


def test_a_whole_number_too_large_in_the_unit_named() -> None:
    times = as_utc(pd.Series([_DAY, 2**60]), unit=10**9)
    assert times[0] == pd.Timestamp(_DAY, unit="s", tz="UTC")
    assert pd.isna(times[1])
