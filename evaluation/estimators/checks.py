"""Checks of what is handed to an estimator; each failure names the argument and the first offending row."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from behavior.errors import InputError

__all__ = [
    "SLACK",
    "SupportWarning",
    "array_of",
    "check_actions",
    "check_distribution",
    "check_finite",
    "check_probabilities",
    "check_reward",
    "check_same_rows",
    "check_shown",
    "numbers",
]

SLACK = 1e-9
"""Products of many floats may pass 1, and sums of many probabilities may miss it, by rounding."""


class SupportWarning(UserWarning):
    """A figure that cannot be believed: the policy judged does what the log could never show."""


_SHAPES = {
    1: "(rows,)",
    2: "(rows, positions)",
    3: "(rows, positions, positions or items)",
}


def numbers(values: ArrayLike, name: str, ndim: int, where: str) -> NDArray[np.float64]:
    """`values` as float64 of `ndim` dimensions, without a copy where they are so already."""
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise _no_array(name, where, error) from error
    if array.ndim != ndim:
        raise InputError(
            f"`{name}` has shape {array.shape}, expected {_SHAPES[ndim]}",
            where=where,
            mend="Use the single-impression estimators for 1-d rewards and the slate ones for 2-d rewards.",
        )
    return array


def array_of(values: ArrayLike, name: str, where: str, *, numeric: bool = True) -> NDArray[Any]:
    """`values` as an array of the type that they have; lists of different lengths, or text for numbers, are refused."""
    try:
        array: NDArray[Any] = np.asarray(values)
        return array if not numeric or array.dtype.kind in "fiub" else array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise _no_array(name, where, error) from error


def _no_array(name: str, where: str, error: Exception) -> InputError:
    return InputError(
        f"`{name}` is not an array of numbers: {error}",
        where=where,
        mend="Pass numbers; pad short pages to one length and pass `shown`.",
    )


def _refuse(
    bad: NDArray[np.bool_], array: NDArray[Any], what: str, *, name: str, where: str, mend: str
) -> None:
    if bad.any():
        place = tuple(int(i) for i in np.argwhere(bad)[0])
        at = f"row {place[0]}" + (f", position {place[1]}" if len(place) > 1 else "")
        raise InputError(
            f"`{name}` holds {array[place]} {what} ({int(bad.sum())} such values)",
            where=f"{where}, {at}",
            mend=mend,
        )


def check_reward(values: ArrayLike, *, ndim: int, where: str) -> NDArray[np.float64]:
    """Rewards as float64: finite, of `ndim` dimensions, at least two rows."""
    reward = numbers(values, "reward", ndim, where)
    if reward.shape[0] < 2:
        raise InputError(
            f"{reward.shape[0]} logged rows, expected at least 2",
            where=where,
            mend="No uncertainty can be stated from fewer than two rows: bring a longer log.",
        )
    _refuse(
        ~np.isfinite(reward),
        reward,
        "where a finite reward is expected",
        name="reward",
        where=where,
        mend="Leave out rows whose reward is unknown, knowingly.",
    )
    return reward


def check_probabilities(
    values: ArrayLike, *, name: str, ndim: int, positive: bool, where: str
) -> NDArray[np.float64]:
    """Probabilities as float64: finite and in [0, 1], or in (0, 1] where `positive`."""
    array = numbers(values, name, ndim, where)
    low = array <= 0 if positive else array < -SLACK
    _refuse(
        ~np.isfinite(array) | low | (array > 1 + SLACK),
        array,
        f"where a probability in {'(0, 1]' if positive else '[0, 1]'} is expected",
        name=name,
        where=where,
        mend=(
            "A logged row was shown, so its propensity is above 0: correct the log, or leave such rows out knowingly."
            if positive
            else "Check that the policy's propensities match the logged rows."
        ),
    )
    return np.maximum(array, 0.0)


def check_finite(
    values: ArrayLike, *, name: str, ndim: int, where: str, mend: str, low: float = -np.inf
) -> NDArray[np.float64]:
    """Numbers as float64: finite, of `ndim` dimensions, not below `low`; `mend` says what to do otherwise."""
    array = numbers(values, name, ndim, where)
    at_least = "a finite number" if low == -np.inf else f"a finite number of at least {low:g}"
    _refuse(
        ~np.isfinite(array) | (array < low),
        array,
        f"where {at_least} is expected",
        name=name,
        where=where,
        mend=mend,
    )
    return array


def check_distribution(
    values: ArrayLike,
    *,
    name: str,
    where: str,
    shown: NDArray[np.bool_] | None = None,
    first_row: int = 0,
) -> NDArray[np.float64]:
    """Distributions (n, K, A) over the items at each position: probabilities that sum to 1.

    Args:
        values: The distributions.
        name: Of the argument.
        where: The estimator.
        shown: (n, K) positions that hold an item; the others are not looked at.
        first_row: Number of the first row, where `values` is a part of the log.
    """
    array = numbers(values, name, 3, where)
    total = array @ np.ones(array.shape[2])  # (n, K)
    # Any nan makes its sum nan; one number below 0 is caught by the least of all.
    bad = ~(np.abs(total - 1.0) <= 1e-6)
    if shown is not None:
        bad &= shown
    if bad.any():
        row, position = (int(i) for i in np.argwhere(bad)[0])
        raise InputError(
            f"`{name}` sums to {total[row, position]:.6g} over the items, expected 1 ({int(bad.sum())} such positions)",
            where=f"{where}, row {first_row + row}, position {position}",
            mend="Pass the whole distribution over the items at each position, given the logged items above.",
        )
    if array.size and not array.min() >= -SLACK:
        low = array < -SLACK
        if shown is not None:
            low &= shown[:, :, None]
        _refuse(
            np.asarray(low.any(axis=2)),
            array.min(axis=2),
            "where probabilities are expected",
            name=name,
            where=where,
            mend="Check how the distribution was made: no probability is below 0.",
        )
    return array


def check_same_rows(where: str, **arrays: NDArray[Any]) -> None:
    """Refuses arrays of different shapes."""
    shapes = {name: array.shape for name, array in arrays.items()}
    if len(set(shapes.values())) > 1:
        found = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise InputError(
            f"arrays of different shapes: {found}", where=where, mend="Pass one entry per logged row to each."
        )


def check_shown(values: ArrayLike, shape: tuple[int, ...], *, where: str) -> NDArray[np.bool_]:
    """Which positions hold an item, (n, K); at least one of a row.

    Raises:
        InputError: Another shape, not booleans, or a row that shows nothing.
    """
    shown = array_of(values, "shown", where, numeric=False)
    if shown.dtype != np.bool_ or shown.shape != shape:
        raise InputError(
            f"`shown` is {shown.dtype} of shape {shown.shape}, expected booleans of shape {shape}",
            where=where,
            mend="Pass True where a position of the logged page holds an item.",
        )
    empty = ~shown.any(axis=1)
    if empty.any():
        raise InputError(
            f"a page without items ({int(empty.sum())} such rows)",
            where=f"{where}, row {int(empty.argmax())}",
            mend="Leave out rows that showed nothing, or check how `shown` was made.",
        )
    return shown


def check_actions(
    values: ArrayLike,
    shape: tuple[int, ...],
    *,
    n_items: int,
    where: str,
    shown: NDArray[np.bool_] | None = None,
    repeats: bool = False,
) -> NDArray[np.intp]:
    """Items of slates (n, K) as numbers in [0, n_items), each at most once in a slate unless `repeats`.

    Positions that are not `shown` come back as 0.

    Raises:
        InputError: Another shape, not whole numbers, outside the range, or an item twice in a slate.
    """
    action = array_of(values, "action", where)
    if action.dtype.kind not in "iu" or action.shape != shape:
        raise InputError(
            f"`action` is {action.dtype} of shape {action.shape}, expected whole numbers of shape {shape}",
            where=where,
            mend="Pass the number of the item shown at each position.",
        )
    if shown is not None:
        action = np.where(shown, action, 0)
    items = action.astype(np.intp, copy=False)
    _refuse(
        (items < 0) | (items >= n_items),
        items,
        f"where an item in [0, {n_items}) is expected",
        name="action",
        where=where,
        mend="Number the items by their place in the distributions; pass `shown` for short pages.",
    )
    if not repeats and shape[1] > 1:
        # Empty positions get numbers of their own, so that they equal nothing.
        distinct = items if shown is None else np.where(shown, items, -1 - np.arange(shape[1]))
        ordered = np.sort(distinct, axis=1)
        twice = (ordered[:, 1:] == ordered[:, :-1]).any(axis=1)
        if twice.any():
            row = int(twice.argmax())
            raise InputError(
                f"the slate {items[row].tolist()} holds an item twice ({int(twice.sum())} such rows)",
                where=f"{where}, row {row}",
                mend="A page shows an item once: check the log, or say that items may repeat.",
            )
    return items
