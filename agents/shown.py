"""What users were shown and what they did, read from the observations that follow.

A page asked for is not always the page shown: the environment repairs repeated choices and those that a shop's rules
forbid. Feedback belongs to the items that were there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError

__all__ = ["ShownPages", "places_of", "shown_pages"]


class ShownPages(NamedTuple):
    """One page of every user, as it was shown."""

    places: NDArray[np.int64]  # (B, K) candidate positions of the items shown
    click: NDArray[np.float32]  # (B, K)
    purchase: NDArray[np.float32]  # (B, K)


def shown_pages(
    candidates: NDArray[np.integer[Any]],
    chosen: NDArray[np.int64],
    following: Mapping[str, NDArray[Any]],
    finished: NDArray[np.int64],
    last: Sequence[Mapping[str, NDArray[Any]]],
) -> ShownPages:
    """The pages that were shown when `chosen` was asked for, and their feedback.

    Args:
        candidates: (B, N) catalogue rows before the page.
        chosen: (B, K) candidate positions asked for.
        following: The observations that follow the page; those of the next session where one ended.
        finished: (F,) users whose session ended with the page.
        last: Their last observations.

    Raises:
        InputError: An item was shown that was no candidate.
    """
    items, click, purchase = (
        following[name].copy() for name in ("last_slate", "last_click", "last_purchase")
    )
    for b, end in zip(finished.tolist(), last, strict=True):
        items[b], click[b], purchase[b] = end["last_slate"], end["last_click"], end["last_purchase"]
    return ShownPages(places_of(candidates, chosen, items), click, purchase)


def places_of(
    candidates: NDArray[np.integer[Any]], chosen: NDArray[np.int64], items: NDArray[np.integer[Any]]
) -> NDArray[np.int64]:
    """Candidate positions (B, K) of the `items` (B, K) shown: those `chosen` but for what was repaired.

    Raises:
        InputError: An item was shown that was no candidate.
    """
    other = np.take_along_axis(candidates, chosen, axis=1) != items  # (B, K)
    if not other.any():
        return chosen
    rows, slots = np.nonzero(other)
    same = candidates[rows] == items[rows, slots][:, None]  # (R, N)
    if not same.any(axis=1).all():
        r = int(np.flatnonzero(~same.any(axis=1))[0])
        raise InputError(
            f"item {items[rows[r], slots[r]]} was shown to user {rows[r]} at position {slots[r]}, "
            "but is no candidate of that page",
            where="training",
            mend="let the environment repair pages with candidates of the observation",
        )
    places = chosen.copy()
    places[rows, slots] = same.argmax(axis=1)
    return places
