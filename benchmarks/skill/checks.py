"""Options of a long measurement that can be seen to be wrong before it begins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from behavior.errors import InputError
from behavior.numeric import check_integer, check_real

__all__ = ["check_counts", "check_minutes", "check_seeds"]

_MOST = 1 << 31


def check_counts(counts: Mapping[str, int]) -> None:
    """Raise InputError where one of these options, by name, is below 1."""
    for option, value in counts.items():
        check_integer(value, where=option, least=1, most=_MOST)


def check_minutes(minutes: float | None) -> None:
    """Raise InputError where there is a limit, and no time in it."""
    if minutes is not None:
        check_real(minutes, where="--minutes", least=1e-3, most=1e6)


def check_seeds(seeds: Sequence[int]) -> None:
    """Raise InputError where there is no seed, one twice, or one that is none."""
    for seed in seeds:
        check_integer(seed, where="--seeds", least=0, most=2**32 - 1)
    if not seeds or len(set(seeds)) < len(seeds):
        raise InputError(
            "a seed is named twice" if seeds else "there are no seeds",
            where="--seeds",
            mend="name each once: --seeds 0 1 2",
        )
