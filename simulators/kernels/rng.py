"""Counter-based random numbers keyed by (seed, user, step, purpose): Philox 4x32-10.

Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011. The known-answer
vectors of its Random123 library are in the tests.
"""

from __future__ import annotations

import math
from enum import IntEnum
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = [
    "MAX_SEED",
    "Purpose",
    "gumbel_table",
    "normal",
    "philox4x32",
    "uniform",
    "uniform4",
    "uniform_table",
]

MAX_SEED = 2**64 - 1


class Purpose(IntEnum):
    """What a random number is for. A purpose has 2^16 numbers per (seed, user, step)."""

    POPULATION = 1
    FIRST_QUERY = 2
    CLICK = 3
    PURCHASE = 4
    LEAVE = 5
    NEXT_QUERY = 6
    DRIFT = 7
    EXAMINATION = 8
    POLICY = 9
    PLANNER = 10
    TRUE_USER = 11
    PLUG_IN = 12
    STOCK = 13
    DWELL = 14
    RETURN = 15


_M0 = np.uint64(0xD2511F53)
_M1 = np.uint64(0xCD9E8D57)
_W0 = np.uint64(0x9E3779B9)
_W1 = np.uint64(0xBB67AE85)
_LOW = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)


@njit(cache=True, inline="always")
def philox4x32(c0: Any, c1: Any, c2: Any, c3: Any, k0: Any, k1: Any) -> Any:
    """Four 32-bit random words (as uint64) for a 128-bit counter and a 64-bit key, ten rounds."""
    c0, c1, c2, c3 = np.uint64(c0), np.uint64(c1), np.uint64(c2), np.uint64(c3)
    k0, k1 = np.uint64(k0), np.uint64(k1)
    for _ in range(10):
        p0 = _M0 * c0
        p1 = _M1 * c2
        c0, c1, c2, c3 = (p1 >> _32) ^ c1 ^ k0, p1 & _LOW, (p0 >> _32) ^ c3 ^ k1, p0 & _LOW
        k0 = (k0 + _W0) & _LOW
        k1 = (k1 + _W1) & _LOW
    return c0, c1, c2, c3


@njit(cache=True, inline="always")
def uniform(seed: Any, user: Any, step: Any, purpose: Any, index: Any) -> Any:
    """One number in (0, 1) with 32 random bits. Counter: user (64 bits), step, purpose and index (16 bits)."""
    s = np.uint64(seed)
    u = np.uint64(user)
    last = (np.uint64(purpose) << np.uint64(16)) | (np.uint64(index) >> np.uint64(2))
    a, b, c, d = philox4x32(u & _LOW, u >> _32, np.uint64(step), last, s & _LOW, s >> _32)
    lane = np.uint64(index) & np.uint64(3)
    word = a if lane == 0 else b if lane == 1 else c if lane == 2 else d
    return (np.float64(word) + 0.5) * 2.3283064365386963e-10  # 2^-32


@njit(cache=True, inline="always")
def uniform4(seed: Any, user: Any, step: Any, purpose: Any, block: Any) -> Any:
    """The numbers `4 * block` to `4 * block + 3` of `uniform`, for the price of one."""
    s = np.uint64(seed)
    u = np.uint64(user)
    last = (np.uint64(purpose) << np.uint64(16)) | np.uint64(block)
    a, b, c, d = philox4x32(u & _LOW, u >> _32, np.uint64(step), last, s & _LOW, s >> _32)
    return (
        (np.float64(a) + 0.5) * 2.3283064365386963e-10,
        (np.float64(b) + 0.5) * 2.3283064365386963e-10,
        (np.float64(c) + 0.5) * 2.3283064365386963e-10,
        (np.float64(d) + 0.5) * 2.3283064365386963e-10,
    )


@njit(cache=True, inline="always")
def normal(seed: Any, user: Any, step: Any, purpose: Any, index: Any) -> Any:
    """One standard normal number (Box-Muller, cosine half) from uniforms 2*index and 2*index + 1."""
    radius = math.sqrt(-2.0 * math.log(uniform(seed, user, step, purpose, 2 * index)))
    return radius * math.cos(2.0 * math.pi * uniform(seed, user, step, purpose, 2 * index + 1))


@njit(cache=True)
def _fill_uniform(out: Any, seed: Any, user: Any, step: Any, purpose: Any, start: Any) -> None:
    for b in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[b, j] = uniform(seed, user[b], step[b], purpose, start + j)


def uniform_table(
    seed: int,
    user: NDArray[np.int64],
    step: NDArray[np.int32],
    purpose: Purpose,
    n: int,
    *,
    start: int = 0,
) -> NDArray[np.float64]:
    """Uniform numbers in (0, 1), shape (B, n): for parts in plain NumPy."""
    out = np.empty((user.shape[0], n), np.float64)
    _fill_uniform(out, np.uint64(seed), user, step, np.int64(purpose), np.int64(start))
    return out


def gumbel_table(
    seed: int, user: NDArray[np.int64], step: NDArray[np.int32], purpose: Purpose, n: int, *, start: int = 0
) -> NDArray[np.float64]:
    """Standard Gumbel numbers, shape (B, n)."""
    return -np.log(-np.log(uniform_table(seed, user, step, purpose, n, start=start)))
