"""One loop over users, compiled twice: parallel for large batches, serial for small ones.

The serial twin serves the single environment (starting threads costs more than one user's step) and any forked
process (a parallel kernel in a forked child dies). Both run the same arithmetic and give the same bits.
"""

from __future__ import annotations

import os
import types
from collections.abc import Callable
from typing import Any

from numba import njit

__all__ = ["PARALLEL_FROM", "Twin", "twins"]

PARALLEL_FROM = 64
"""Batches with fewer users than this run on the calling thread."""


_forked = False


def _note_fork() -> None:
    # OpenMP's threads do not survive a fork: a parallel kernel would end the child.
    global _forked
    _forked = True


os.register_at_fork(after_in_child=_note_fork)


def _renamed(function: Callable[..., None], suffix: str) -> Callable[..., None]:
    # numba's disk cache is keyed by file, name and line but not by compile options: without a name of its own
    # the serial twin would be answered with the parallel one's machine code.
    copy = types.FunctionType(function.__code__, function.__globals__, f"{function.__name__}_{suffix}")
    copy.__qualname__ = f"{function.__qualname__}_{suffix}"
    copy.__module__ = function.__module__
    copy.__doc__ = function.__doc__
    return copy


def twins(function: Callable[..., None]) -> tuple[Any, Any]:
    """Compile `function`, whose user loop is a `prange`, twice: (serial, parallel), equal to the bit."""
    serial = njit(cache=True)(_renamed(function, "serial"))
    return serial, njit(cache=True, parallel=True)(_renamed(function, "parallel"))


class Twin:
    """A kernel whose outermost loop is a `prange` over users. Use it as a decorator.

    Args:
        function: The Python function; it writes into its arguments and returns nothing.
    """

    def __init__(self, function: Callable[..., None]) -> None:
        self.__doc__ = function.__doc__
        self.serial, self.parallel = twins(function)

    def __call__(self, n_users: int, *arguments: Any) -> None:
        """Run the twin that suits `n_users` and the process: a forked one runs on the calling thread."""
        (self.serial if n_users < PARALLEL_FROM or _forked else self.parallel)(*arguments)
