"""Checks of single numbers that users give: of the right kind, finite and within limits."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any

from behavior.errors import InputError

__all__ = ["check_integer", "check_real"]


def check_integer(value: Any, *, where: str, least: int, most: int) -> None:
    """Raise InputError where `value` is no integer from `least` to `most` (True and False are none)."""
    if not isinstance(value, Integral) or isinstance(value, bool) or not least <= int(value) <= most:
        raise InputError(
            f"{_name(where)} is {value!r}", where=where, mend=f"choose an integer from {least} to {most}"
        )


def check_real(value: Any, *, where: str, least: float = -1e30, most: float = 1e30) -> None:
    """Raise InputError where `value` is no number from `least` to `most`; nan and, by default, infinity are none.

    The default limits are far beyond use, and within what single precision holds.
    """
    real = isinstance(value, Real) and not isinstance(value, bool)
    if not real or math.isnan(value) or not least <= value <= most:
        told = f"from {least:g}" + (f" to {most:g}" if most < 1e30 else "")
        mend = "choose a finite number" if least == -1e30 and most == 1e30 else f"choose a number {told}"
        raise InputError(f"{_name(where)} is {value!r}", where=where, mend=mend)


def _name(where: str) -> str:
    return where.rpartition(".")[2]
