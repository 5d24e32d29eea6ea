"""What a classifier is told of a page or a session: what users did, and nothing that says whose users they were."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulators.trust.cells import Answers

__all__ = ["page_features", "session_features"]

Floats = NDArray[np.float64]


def page_features(
    answers: Answers, past_clicks: Floats, popularity: Floats
) -> tuple[tuple[str, ...], Floats]:
    """One row a page (M, P): number of the page, clicks before it, what was clicked where, and whether the user left.

    Args:
        answers: Pages and answers.
        past_clicks: (M,) logged clicks of the session before the page.
        popularity: (I,) rank of each item by clicks in training, 0 to 1.
    """
    steps, shown = answers.steps, answers.shown
    click = (steps.click > 0) & shown
    k = click.shape[1]
    rank = np.where(shown, popularity[np.maximum(steps.item, 0)], np.nan)
    columns = {
        "number of the page": steps.step.astype(np.float64),
        "clicks on earlier pages": past_clicks,
        **{f"click at position {p + 1}": np.where(shown[:, p], click[:, p] * 1.0, np.nan) for p in range(k)},
        **{f"popularity of the item at position {p + 1}": rank[:, p] for p in range(k)},
        **_of_clicks(click, rank),
        "purchases": (steps.purchase * shown).sum(axis=1) * 1.0,
        "left after the page": answers.left,
    }
    return tuple(columns), np.stack(list(columns.values()), axis=1)


def session_features(
    answers: Answers, popularity: Floats
) -> tuple[tuple[str, ...], Floats, NDArray[np.int64]]:
    """One row a session (Z, P), and the held-out session (Z,) that it is or stands beside."""
    steps, shown = answers.steps, answers.shown
    click = (steps.click > 0) & shown
    _, first, session = np.unique(steps.session, return_index=True, return_inverse=True)
    n = len(first)
    rank = np.where(shown, popularity[np.maximum(steps.item, 0)], np.nan)

    def total(values: Any) -> Floats:
        return np.asarray(
            np.bincount(session, weights=np.asarray(values, np.float64), minlength=n), np.float64
        )

    def share(of: Floats, among: Floats) -> Floats:
        return np.where(among > 0, of / np.maximum(among, 1.0), np.nan)

    pages, clicks = total(np.ones(len(session))), total(click.sum(axis=1))
    place = np.arange(click.shape[1])
    last = np.append(first[1:], len(session)) - 1
    change = np.r_[False, (steps.query[1:] != steps.query[:-1]) & (session[1:] == session[:-1])]
    any_click = np.asarray(click.any(axis=1))
    after = np.r_[False, any_click[:-1]] & np.r_[False, session[1:] == session[:-1]]
    about = _of_clicks(click, rank)
    gap = np.nan_to_num(about["items passed over between clicks"])
    pairs = np.maximum(click.sum(axis=1) - 1, 0)
    columns = {
        "pages": pages,
        "clicks": clicks,
        "purchases": total((steps.purchase * shown).sum(axis=1)),
        "share of pages with a click": total(any_click) / pages,
        "pages with several clicks": total(click.sum(axis=1) > 1),
        "mean position of clicks": share(total((click * place).sum(axis=1)), clicks) + 1.0,
        "items passed over between clicks": share(total(gap), total(pairs)),
        "popularity of clicked items": share(total(np.nansum(np.where(click, rank, np.nan), axis=1)), clicks),
        "clicks on the first page": click[first].sum(axis=1) * 1.0,
        "clicks on the last page": click[last].sum(axis=1) * 1.0,
        "purchases on the last page": (steps.purchase[last] * shown[last]).sum(axis=1) * 1.0,
        "changes of the query": total(change),
        "share of clicked pages after a clicked page": share(total(any_click & after), total(after)),
    }
    return tuple(columns), np.stack(list(columns.values()), axis=1), answers.unit[first]


def _of_clicks(click: NDArray[np.bool_], rank: Floats) -> dict[str, Floats]:
    """Where on the page the clicks stand, and on what; nan without a click."""
    clicks = click.sum(axis=1)
    some = clicks > 0
    k = click.shape[1]
    highest = np.where(some, click.argmax(axis=1) + 1.0, np.nan)
    lowest = np.where(some, k - click[:, ::-1].argmax(axis=1) * 1.0, np.nan)
    clicked_rank = np.where(click, np.nan_to_num(rank), 0.0).sum(axis=1)
    return {
        "clicks": clicks * 1.0,
        "position of the first click": highest,
        "position of the last click": lowest,
        "items passed over between clicks": np.where(clicks > 1, lowest - highest + 1.0 - clicks, np.nan),
        "popularity of clicked items": np.where(some, clicked_rank / np.maximum(clicks, 1), np.nan),
    }
