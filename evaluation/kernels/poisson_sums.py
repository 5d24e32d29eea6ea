"""Sums of rows under random whole weights, for many resamples in one pass: the work of a Poisson bootstrap.

The weight of row `c` in resample `r` is a Poisson(1) number that is a function of (seed, key of the row, r) alone, so
that neither the order of the rows, nor how they are cut into chunks, nor the number of threads changes it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange

from simulators.kernels.rng import philox4x32
from simulators.kernels.twins import Twin

__all__ = ["TILE", "poisson_sums"]

TILE = 64
"""Resamples worked on at once; the number of columns of `out` is a multiple of it."""

_CALLS = TILE // 8  # one Philox call gives eight numbers of 16 bits
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(0xFFFF)
_16 = np.uint64(16)
_32 = np.uint64(32)
_PURPOSE = np.uint64(0xB007 << 16)  # apart from every `Purpose` of the simulators
# round(65536 * P(Poisson(1) <= k)), k = 0..7: the mean of the weight is 1 exactly, its variance 0.99997.
_T0, _T1, _T2, _T3, _T4, _T5, _T6, _T7 = 24109, 48219, 60273, 64292, 65296, 65497, 65531, 65535


@Twin
def poisson_sums(keys: Any, stats: Any, seed: Any, out: Any) -> None:
    """`out[j, r] += sum_c weight(seed, keys[c], r) * stats[c, j]`, tile of resamples by tile.

    Args:
        keys: (C,) uint64, one for each independent unit; rows of one unit share it.
        stats: (C, J) float64.
        seed: uint64.
        out: (J, R) float64, R a multiple of `TILE`; added to.
    """
    n, width = stats.shape
    k0, k1 = seed & _LOW, seed >> _32
    for tile in prange(out.shape[1] // TILE):
        total = np.zeros((width, TILE))
        half = np.empty(TILE, np.int32)
        weight = np.zeros((4, TILE))
        block = np.uint64(tile * _CALLS)
        # Four rows at once: each sum is then loaded and stored a quarter as often.
        for start in range(0, n, 4):
            for m in range(4):
                if start + m >= n:
                    weight[m, :] = 0.0
                    continue
                low, high = keys[start + m] & _LOW, keys[start + m] >> _32
                for q in range(_CALLS):
                    a, b, c, d = philox4x32(low, high, block + np.uint64(q), _PURPOSE, k0, k1)
                    half[q] = np.int32(a & _HALF)
                    half[_CALLS + q] = np.int32(a >> _16)
                    half[2 * _CALLS + q] = np.int32(b & _HALF)
                    half[3 * _CALLS + q] = np.int32(b >> _16)
                    half[4 * _CALLS + q] = np.int32(c & _HALF)
                    half[5 * _CALLS + q] = np.int32(c >> _16)
                    half[6 * _CALLS + q] = np.int32(d & _HALF)
                    half[7 * _CALLS + q] = np.int32(d >> _16)
                for r in range(TILE):  # the inverse of the distribution function, without a branch
                    u = half[r]
                    x = np.int32(u >= _T0) + np.int32(u >= _T1) + np.int32(u >= _T2) + np.int32(u >= _T3)
                    x += np.int32(u >= _T4) + np.int32(u >= _T5) + np.int32(u >= _T6) + np.int32(u >= _T7)
                    weight[m, r] = np.float64(x)
            last = n - 1
            second, third, fourth = min(start + 1, last), min(start + 2, last), min(start + 3, last)
            for j in range(width):
                s0, s1, s2, s3 = stats[start, j], stats[second, j], stats[third, j], stats[fourth, j]
                for r in range(TILE):
                    total[j, r] += (weight[0, r] * s0 + weight[1, r] * s1) + (
                        weight[2, r] * s2 + weight[3, r] * s3
                    )
        for j in range(width):
            for r in range(TILE):
                out[j, tile * TILE + r] += total[j, r]
