"""The spelled-out vector code: its order of additions is part of the result."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit
from numba.core.errors import TypingError

import simulators.kernels  # noqa: F401  (the kernel cache, before numba)
from simulators.kernels.vector import dot, prefetch_row


@njit
def _dot(a, b):
    return dot(a, b)


@njit
def _sum_of_rows(table, rows, ahead):
    total = 0.0
    for i in range(rows.shape[0]):
        if i + ahead < rows.shape[0]:
            prefetch_row(table, rows[i + ahead])
        total += table[rows[i], 0]
    return total


def _by_hand(a: np.ndarray, b: np.ndarray) -> np.float32:
    """Eight partial sums, the rest to the first, joined as ((0+4)+(2+6)) + ((1+5)+(3+7))."""
    s = [np.float32(0.0)] * 8
    whole = len(a) // 8 * 8
    for j in range(len(a)):
        lane = j % 8 if j < whole else 0
        s[lane] = np.float32(s[lane] + np.float32(a[j] * b[j]))
    return np.float32(
        np.float32(np.float32(s[0] + s[4]) + np.float32(s[2] + s[6]))
        + np.float32(np.float32(s[1] + s[5]) + np.float32(s[3] + s[7]))
    )


@settings(max_examples=60, deadline=None)
@given(width=st.integers(0, 70), seed=st.integers(0, 2**32 - 1))
def test_the_bits_are_those_of_the_stated_order(width: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, width)).astype(np.float32)
    assert _dot(a, b) == _by_hand(a, b)


def test_rows_within_a_table_need_no_alignment() -> None:
    table = np.arange(5 * 9, dtype=np.float32).reshape(5, 9)  # rows of 36 bytes
    for row in range(5):
        assert _dot(table[row], table[1]) == _by_hand(table[row], table[1])


def test_other_types_are_refused() -> None:
    with pytest.raises(TypingError, match="contiguous float32 rows"):
        _dot(np.zeros(8), np.zeros(8))


def test_a_prefetch_changes_nothing() -> None:
    table = np.random.default_rng(0).normal(size=(100, 17)).astype(np.float32)
    rows = np.random.default_rng(1).integers(0, 100, 1000).astype(np.int32)
    assert _sum_of_rows(table, rows, 7) == _sum_of_rows(table, rows, 10**6)
