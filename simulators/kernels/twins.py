"""A serial and a parallel machine-code version of one kernel, with separate places in numba's disk cache.

Numba names a cache entry by file, qualified name and first line, and leaves `parallel` out of the key: the same
Python function compiled once with and once without `parallel=True` shares one entry, and whichever is asked for
second silently gets the code of the first (a serial "parallel" kernel, or an OpenMP kernel in a forked worker).
"""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

from numba import njit

__all__ = ["PARALLEL_FROM", "twins"]

PARALLEL_FROM = 64
"""Batches smaller than this run serially: launching threads costs more than the work, and survives no fork."""


def twins(function: Callable[..., Any]) -> tuple[Any, Any]:
    """Compile `function`, whose user loop is a `prange`, twice: (serial, parallel), equal to the bit."""
    other = types.FunctionType(function.__code__, function.__globals__, f"{function.__name__}_parallel")
    other.__qualname__ = f"{function.__qualname__}_parallel"
    other.__module__ = function.__module__
    return njit(cache=True)(function), njit(cache=True, parallel=True)(other)
