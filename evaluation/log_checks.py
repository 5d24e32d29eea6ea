"""Are the propensities of a log those of one policy? What can be seen without knowing it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError
from behavior.steps import LoggedSteps

__all__ = ["check_propensities"]

_SLACK = 1e-6
_AGREE = 1e-3
"""Relative difference that is taken for rounding: files often hold three or four digits."""


def check_propensities(steps: LoggedSteps, *, where: str = "log") -> None:
    """Refuses propensities that contradict each other; unknown ones (nan) are passed over.

    The chance of the page down to a position cannot rise from one position to the next; at the top it is the chance
    of the first item; that of the whole page is the last one's; and no item is less probable at its position than the
    page that shows it there.

    Raises:
        InputError: With the first page that contradicts itself.
    """
    shown = steps.item >= 0
    item, cascade, whole = steps.propensity, steps.cascade_propensity, steps.slate_propensity
    for name, values, here in (
        ("propensity", item, shown),
        ("cascade_propensity", cascade, shown),
        ("slate_propensity", whole[:, None], np.asarray(shown.any(axis=1))[:, None]),
    ):
        outside = here & ((values <= 0) | (values > 1 + _SLACK))
        _refuse(
            outside, steps, values, where, f"{name} is {{value:g}}", "a probability above 0 and at most 1"
        )
    if steps.single_impressions:
        return
    # Compared as ratios: joint chances of long pages are tiny.
    rises = np.zeros_like(shown)
    rises[:, 1:] = shown[:, 1:] & (cascade[:, 1:] > cascade[:, :-1] * (1 + _AGREE))
    _refuse(
        rises,
        steps,
        cascade,
        where,
        "cascade_propensity rises to {value:g}",
        "never more than one position above",
    )
    above = shown & (cascade > item * (1 + _AGREE))
    _refuse(
        above, steps, item, where, "propensity is {value:g}", "at least the cascade_propensity of its page"
    )
    first = np.zeros_like(shown)
    first[:, 0] = shown[:, 0] & (np.abs(cascade[:, 0] - item[:, 0]) > _AGREE * item[:, 0])
    _refuse(
        first,
        steps,
        cascade,
        where,
        "cascade_propensity at the top is {value:g}",
        "the item's own propensity",
    )
    last = np.where(shown, cascade, np.inf).min(axis=1)
    apart = np.asarray(shown.any(axis=1)) & (np.abs(whole - last) > _AGREE * last)
    _refuse(
        apart[:, None],
        steps,
        whole[:, None],
        where,
        "slate_propensity is {value:g}",
        "the cascade_propensity of the last position",
    )


def _refuse(
    bad: NDArray[np.bool_],
    steps: LoggedSteps,
    values: NDArray[np.float64],
    where: str,
    found: str,
    expected: str,
) -> None:
    if not bad.any():
        return
    row, position = (int(v) for v in np.argwhere(bad)[0])
    raise InputError(
        f"{found.format(value=values[row, position])}, expected {expected} ({int(bad.sum()):,} such values)",
        where=f"{where}, page {row} (session {int(steps.session[row])}, step {int(steps.step[row])}), position "
        f"{position}",
        mend="correct the logged propensities; leave out the columns that are not what they should be, and less is "
        "assumed to be known",
    )
