"""Mistakes in what a shopper is made of: constants that make no sense, tables that do not fit."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError
from behavior.numeric import check_integer, check_real
from simulators.kernels.clicks import ClickModel

if TYPE_CHECKING:
    from simulators.shopper import ItemTraits, Shopper

__all__ = ["check_shopper", "check_tables"]

_CHANCES = (
    "taste_mix",
    "after_click",
    "after_skip",
    "boredom_memory",
    "satisfaction_memory",
    "intent_memory",
    "new_query",
    "return_memory",
)
_NOT_NEGATIVE = (
    "examination_decay",
    "sensitivity_spread",
    "patience_spread",
    "context_noise",
    "drift",
    "mean_days",
)
_INFINITE = {"checkout_bias": float("inf"), "return_bias": float("-inf")}
"""What switches the checkout and coming back off."""
_MOST_WEEKS = 1 << 31
_MOST_USERS = 1 << 62


def check_shopper(user: Shopper, n_queries: int) -> None:
    """Raise InputError where a constant is impossible, or `n_queries` cannot be spread over its weeks."""
    models = [model.name.lower().replace("_", "-") for model in ClickModel]
    if user.click_model not in models:
        raise InputError(
            f"click_model is {user.click_model!r}",
            where="Shopper.click_model",
            mend=f"choose one of {', '.join(models)}",
        )
    check_integer(user.n_weeks, where="Shopper.n_weeks", least=1, most=_MOST_WEEKS)
    check_integer(user.users_per_week, where="Shopper.users_per_week", least=1, most=_MOST_USERS)
    for name in (f.name for f in fields(user)):
        value, where = getattr(user, name), f"Shopper.{name}"
        if name in ("click_model", "n_weeks", "users_per_week") or (
            name in _INFINITE and value == _INFINITE[name]
        ):
            continue
        if name in _CHANCES:
            check_real(value, where=where, least=0.0, most=1.0)
        elif name in _NOT_NEGATIVE:
            check_real(value, where=where, least=0.0)
        else:
            check_real(value, where=where)
    if n_queries % user.n_weeks or not n_queries:
        raise InputError(
            f"{n_queries} queries cannot be spread over {user.n_weeks} weeks",
            where="Shopper.n_weeks",
            mend="choose a number of weeks that divides the number of queries",
        )


def check_tables(
    item_vectors: NDArray[np.float32],
    query_vectors: NDArray[np.float32],
    personas: NDArray[np.float32],
    traits: ItemTraits,
) -> None:
    """Raise InputError where a kernel would read beside a table, or compute with what is no number."""
    if not personas.shape[0]:
        raise InputError("there is no persona", where="ShopperSimulator", mend="give at least one persona")
    if traits.group.min() < 0:
        raise InputError(
            f"item {int(traits.group.argmin())} has group {traits.group.min()}",
            where="ItemTraits.group",
            mend="number the groups from 0",
        )
    tables = {"item_vectors": item_vectors, "query_vectors": query_vectors, "personas": personas}
    traits_of = {name: getattr(traits, name) for name in ("price", "lure", "quality", "worth")}
    for name, table in {**tables, **traits_of}.items():
        # A sum is finite where all its terms are, and needs no second table of a million rows.
        if table is None:
            continue
        with np.errstate(invalid="ignore"):
            total = table.sum(dtype=np.float64)
        if not np.isfinite(total):
            row = int(np.flatnonzero(~np.isfinite(table).reshape(len(table), -1).all(axis=1))[0])
            raise InputError(
                f"{name} holds nan or infinity in row {row}",
                where="ShopperSimulator",
                mend="give finite numbers",
            )
