"""Which click models take turns in an ensemble: those that the log cannot tell from the best of them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

__all__ = ["undecided_families"]


def undecided_families(
    late: Mapping[str, NDArray[np.float64]], *, level: float = 0.95
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The families that cannot be told from the best, and a line about each that can.

    A family stays where the interval of the mean difference per session to the best one, on the same sessions,
    reaches zero: where the log speaks for one of them, the others' structure is no longer in doubt.

    Args:
        late: By family: log-likelihood (S,) of sessions that it was not fitted to, the same ones for all. Empty arrays
            tell nothing, and the first family is kept.
        level: Of the interval.
    """
    names = tuple(late)
    if len(late[names[0]]) < 2:
        return names[:1], ()
    best = max(names, key=lambda name: float(late[name].sum()))
    kept, notes = [], []
    for name in names:
        behind = late[best] - late[name]
        error = behind.std(ddof=1) / np.sqrt(len(behind))
        reach = float(stdtrit(len(behind) - 1, 0.5 + level / 2)) * error
        if behind.mean() <= reach:
            kept.append(name)
        else:
            notes.append(
                f"{name} is left out: the latest training sessions are {behind.mean():.3f} +- {reach:.3f} less likely "
                f"under it than under {best} (log-likelihood per session)"
            )
    return tuple(kept), tuple(notes)
