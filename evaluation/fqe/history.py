"""What a session has been like so far, summed up from the log alone: features that one page does not show.

How content users are, and so whether they stay, may hang on everything that they clicked. An observation holds the last
page and a few clicked items, from which that cannot be read; then the same observation means different futures, and
values fitted to it are drawn towards the log's mean. A few sums over all earlier pages, fading at several rates, come
close to any state that users carry from page to page with a memory of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError
from encoders.features import FeatureTables

__all__ = ["FADING", "LOOK_DECAY", "fading_sums", "page_traits", "trait_names"]

FADING = (1.0, 0.8, 0.5)
"""How much of a page is left after each further one: a plain sum, a memory of about five pages, one of two."""
LOOK_DECAY = 0.7
"""A position k is looked at about (k + 1)^-0.7 as often as the first."""


def trait_names(features: FeatureTables) -> tuple[str, ...]:
    """The names of the `C` columns of `page_traits`."""
    return (
        "clicks",
        "purchases",
        "clicks beyond what relevance expects",
        *(f"{name} of what was clicked" for name in features.numeric_names),
        *(f"{name} of what was shown" for name in features.numeric_names),
        "pairs of one category",
    )


def page_traits(
    item: NDArray[np.integer[Any]],
    click: NDArray[Any],
    purchase: NDArray[Any],
    relevance: NDArray[np.floating[Any]],
    features: FeatureTables,
) -> NDArray[np.float64]:
    """What each page was like and what came of it, (M, C).

    Items clicked are summed by the shop's public columns (popularity, rating, price, ...): users whom lures disappoint
    have clicked what is popular and badly rated.

    Args:
        item: (M, K) catalogue rows, -1 where nothing was shown.
        click: (M, K)
        purchase: (M, K)
        relevance: (M, K) click probability by the relevance model, 0 where unknown.
        features: The public tables.
    """
    shown = item >= 0
    look = (np.arange(item.shape[1]) + 1.0) ** -LOOK_DECAY * shown  # (M, K)
    numeric = np.concatenate(
        [features.item_numeric.astype(np.float64), np.zeros((1, features.item_numeric.shape[1]))]
    )[item]  # (M, K, J)
    category = np.append(features.item_category.astype(np.int64), -1)[item]  # (M, K)
    same = (category[:, :, None] == category[:, None, :]) & (shown[:, :, None] & shown[:, None, :])
    return np.concatenate(
        [
            click.sum(axis=1, keepdims=True),
            purchase.sum(axis=1, keepdims=True),
            (click - look * relevance).sum(axis=1, keepdims=True),
            np.einsum("mk,mkj->mj", np.asarray(click, np.float64), numeric),
            np.einsum("mk,mkj->mj", look, numeric),
            (same.sum(axis=(1, 2)) - shown.sum(axis=1))[:, None] / 2,
        ],
        axis=1,
    ).astype(np.float64)


def fading_sums(
    traits: NDArray[np.float64], session: NDArray[np.int64], fading: Sequence[float] = FADING
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sums of the traits of a session's earlier pages, `h <- rate h + traits` at each rate.

    Args:
        traits: (M, C) of pages, sessions one after the other and each in its order.
        session: (M,) whose pages they are.
        fading: Rates between 0 (the last page alone) and 1 (a plain sum).

    Returns:
        (M, R C) before each page, zeros before the first; and after it, which the next page finds.

    Raises:
        InputError: A rate outside of 0 .. 1.
    """
    rates = np.asarray(fading, np.float64)
    if not ((rates >= 0) & (rates <= 1)).all():
        raise InputError(
            f"history fades at {', '.join(f'{rate:g}' for rate in rates)}",
            where="fitted Q evaluation",
            mend="pass shares between 0 and 1 that are left after each page; () for no history",
        )
    M, C = traits.shape
    before = np.zeros((M, rates.size, C))
    after = np.zeros((M, rates.size, C))
    starts = np.flatnonzero(np.diff(session, prepend=session[:1] - 1))
    lengths = np.diff(starts, append=M)  # (S,)
    for page in range(int(lengths.max(initial=0))):
        rows = starts[lengths > page] + page
        if page:
            before[rows] = after[rows - 1]
        after[rows] = before[rows] * rates[:, None] + traits[rows][:, None, :]
    return before.reshape(M, rates.size * C), after.reshape(M, rates.size * C)
