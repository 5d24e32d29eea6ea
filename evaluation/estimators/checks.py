"""Checks of what is handed to an estimator; each failure names the argument and the first offending row."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from behavior.errors import InputError

__all__ = ["check_finite", "check_probabilities", "check_reward", "check_same_rows"]


def _array(values: ArrayLike, name: str, ndim: int, where: str) -> NDArray[np.float64]:
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"`{name}` is not an array of numbers: {error}", where=where, mend="Pass numbers."
        ) from error
    if array.ndim != ndim:
        wanted = {1: "(rows,)", 2: "(rows, positions)", 3: "(rows, positions, positions)"}[ndim]
        raise InputError(
            f"`{name}` has shape {array.shape}, expected {wanted}",
            where=where,
            mend="Use the single-impression estimators for 1-d rewards and the slate ones for 2-d rewards.",
        )
    return array


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
    reward = _array(values, "reward", ndim, where)
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


def check_finite(
    values: ArrayLike, *, name: str, ndim: int, where: str, mend: str, low: float = -np.inf
) -> NDArray[np.float64]:
    """Numbers as float64: finite, of `ndim` dimensions, not below `low`; `mend` says what to do otherwise."""
    array = _array(values, name, ndim, where)
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


def check_probabilities(
    values: ArrayLike, *, name: str, ndim: int, positive: bool, where: str
) -> NDArray[np.float64]:
    """Probabilities as float64: finite and in [0, 1], or in (0, 1] where `positive`."""
    array = _array(values, name, ndim, where)
    slack = 1e-9  # products of many floats may pass 1 by rounding
    low = array <= 0 if positive else array < -slack
    _refuse(
        ~np.isfinite(array) | low | (array > 1 + slack),
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


def check_same_rows(where: str, **arrays: NDArray[np.float64]) -> None:
    """Refuses arrays of different shapes."""
    shapes = {name: array.shape for name, array in arrays.items()}
    if len(set(shapes.values())) > 1:
        found = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise InputError(
            f"arrays of different shapes: {found}", where=where, mend="Pass one entry per logged row to each."
        )
