"""Checks of a learner's settings, by name; without torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from behavior.errors import InputError
from behavior.numeric import check_integer, check_real

__all__ = ["ABOVE_ZERO", "check_choices", "check_numbers"]

ABOVE_ZERO = 1e-12
"""Least of a number that has to be positive."""
_MOST = 1 << 31


def check_numbers(
    config: Any,
    *,
    integers: Mapping[str, int],
    reals: Mapping[str, tuple[float, float]],
    optional: Sequence[str] = (),
) -> None:
    """Raise InputError where a field is no number, or one out of its limits.

    Args:
        config: A dataclass.
        integers: Field to its least value.
        reals: Field to its least and largest value.
        optional: Fields that may be None.
    """
    kind = type(config).__name__
    given = {name: getattr(config, name) for name in (*integers, *reals)}
    for name, value in given.items():
        if value is None and name in optional:
            continue
        if name in integers:
            check_integer(value, where=f"{kind}.{name}", least=integers[name], most=_MOST)
        else:
            least, most = reals[name]
            check_real(value, where=f"{kind}.{name}", least=least, most=most)


def check_choices(config: Any, choices: Mapping[str, tuple[Any, ...]]) -> None:
    """Raise InputError where a field holds none of its values."""
    for name, values in choices.items():
        if getattr(config, name) not in values:
            raise InputError(
                f"{name} is {getattr(config, name)!r}",
                where=f"{type(config).__name__}.{name}",
                mend=f"choose one of {', '.join(map(str, values))}",
            )
