"""What the machine can do at best: touching random rows, copying them, streaming, drawing random numbers.

One thread, no arithmetic beyond what keeps the compiler from leaving the work out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from simulators.kernels.rng import uniform4
from simulators.kernels.vector import prefetch_row

__all__ = ["copy_rows", "draw", "read_and_write", "touch_rows", "write"]

_AHEAD = 24  # rows asked for ahead; fewer or many more were slower


@njit(cache=True)
def touch_rows(table: Any, rows: Any) -> Any:
    """Read one float of every cache line of table[rows], each row asked for ahead of its use."""
    n, width = rows.shape[0], table.shape[1]
    total = np.float32(0.0)
    for i in range(n):
        if i + _AHEAD < n:
            prefetch_row(table, rows[i + _AHEAD])
        row = rows[i]
        for d in range(0, width, 16):
            total += table[row, d]
    return total


@njit(cache=True)
def copy_rows(table: Any, rows: Any, out: Any) -> None:
    """out[i] = table[rows[i]], each row asked for ahead of its use."""
    n, width = rows.shape[0], table.shape[1]
    for i in range(n):
        if i + 2 < n:
            prefetch_row(table, rows[i + 2])
        row = rows[i]  # named: read again in the loop, it would keep the compiler from vector instructions
        for d in range(width):
            out[i, d] = table[row, d]


@njit(cache=True)
def read_and_write(array: Any) -> None:
    """Read and write back every float of a flat array."""
    for i in range(array.shape[0]):
        array[i] += np.float32(1.0)


@njit(cache=True)
def write(array: Any) -> None:
    """Write every float of a flat array."""
    for i in range(array.shape[0]):
        array[i] = np.float32(1.0)


@njit(cache=True)
def draw(users: Any, blocks: Any, seed: Any) -> Any:
    """Draw `blocks` Philox blocks (four numbers each) for each of `users` users; their sum."""
    total = 0.0
    for user in range(users):
        for block in range(blocks):
            a, b, c, d = uniform4(seed, user, 0, 1, block)
            total += a + b + c + d
    return total
