"""Compiling the row functions that kernels are made of: what one user goes through, called from a loop over users.

Numba counts references to every array that a function is given or slices, with atomic operations. In a step of a
user that made a hundred of them, a third of the time; and threads would contend for the counts of the arrays that
they share. A row function allocates nothing and keeps nothing, so it can do without: its caller holds the arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit

__all__ = ["device", "inline_device"]

_OPTIONS: dict[str, Any] = {
    "cache": True,
    "_nrt": False,
}  # no numba runtime: no counts, and no allocations either


def device(function: Callable[..., Any]) -> Any:
    """Compile `function`, which may slice arrays but not allocate them, to be called from other kernels."""
    return njit(**_OPTIONS)(function)


def inline_device(function: Callable[..., Any]) -> Any:
    """As `device`, written out wherever it is called: for small functions of numbers and views."""
    return njit(inline="always", **_OPTIONS)(function)
