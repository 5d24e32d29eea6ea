"""A log, walked through the simulator's own kernels: the feature rows a fit needs.

Sessions advance in lockstep: the t-th pages of all sessions long enough are one batch of users. What a fit sees
of a session is, to the bit, what the fitted simulator will see of it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from behavior.steps import LoggedSteps
from encoders.features import FeatureTables
from simulators.base import SessionState
from simulators.kernels.session import N_PAGE_FIXED, N_PROMISE, note_promise
from simulators.parts.layout import Layout
from simulators.parts.memory import SessionMemory, Tables
from simulators.parts.rows import impression_names, make_impression_rows, make_page_rows, page_names

__all__ = ["Replay", "latest_sessions", "record_memory", "replay", "walk", "with_promise"]


@dataclass(frozen=True)
class Replay:
    """The shown items of a log in page order, and its pages."""

    rows: NDArray[np.float32]  # (n, P) feature rows of the shown items
    page: NDArray[np.int64]  # (n,) row of the log
    position: NDArray[np.int64]  # (n,) 0-based
    item: NDArray[np.int64]  # (n,)
    category: NDArray[np.int64]  # (n,)
    click: NDArray[np.uint8]  # (n,)
    purchase: NDArray[np.uint8]  # (n,)
    page_rows: NDArray[np.float32]  # (M, PP)
    session: NDArray[np.int64]  # (M,)
    shape: tuple[int, int]  # (M, K)

    def head(self, n_pages: int) -> Replay:
        """The first `n_pages` pages."""
        return self._cut(0, n_pages)

    def tail(self, n_pages: int) -> Replay:
        """All but the first `n_pages` pages."""
        return self._cut(n_pages, self.shape[0])

    def _cut(self, start: int, stop: int) -> Replay:
        a, b = np.searchsorted(self.page, [start, stop])
        return Replay(
            rows=self.rows[a:b],
            page=self.page[a:b] - start,
            position=self.position[a:b],
            item=self.item[a:b],
            category=self.category[a:b],
            click=self.click[a:b],
            purchase=self.purchase[a:b],
            page_rows=self.page_rows[start:stop],
            session=self.session[start:stop],
            shape=(stop - start, self.shape[1]),
        )


def record_memory(features: FeatureTables, ring: int) -> SessionMemory:
    """A record of sessions without columns of any part."""
    layout = Layout(SessionMemory.widths(features.item_vectors.shape[1], ring))
    return SessionMemory(Tables(features), layout, ring)


def latest_sessions(steps: LoggedSteps, max_impressions: int) -> LoggedSteps:
    """The latest whole sessions with at most `max_impressions` shown items (at least one session)."""
    shown = (steps.item >= 0).sum(axis=1)
    if shown.sum() <= max_impressions:
        return steps
    after = np.cumsum(shown[::-1])[::-1]
    first = min(int(np.argmax(after <= max_impressions)), len(shown) - 1)
    if after[first] > max_impressions:
        first = len(shown) - 1
    keep = steps.session > steps.session[first - 1] if first > 0 else steps.session >= 0
    if not keep.any():
        keep = steps.session == steps.session[-1]
    return steps.take(keep)


def walk(steps: LoggedSteps) -> list[NDArray[np.int64]]:
    """Rows of `steps` by page number within the session; longer sessions stand first in each batch.

    The sessions of batch `t` are the first ones of batch `t - 1`, in the same order.
    """
    _, start, length = np.unique(steps.session, return_index=True, return_counts=True)
    order = np.argsort(-length, kind="stable")
    start, length = start[order], length[order]
    return [start[: int((length > t).sum())] + t for t in range(int(length.max(initial=0)))]


def replay(features: FeatureTables, steps: LoggedSteps, *, ring: int) -> Replay:
    """Feature rows of every shown item and page of `steps`."""
    memory = record_memory(features, ring)
    n_pages, n_positions = steps.item.shape
    n_columns = len(impression_names(features, steps.context_names))
    n_page_columns = len(page_names(features, steps.context_names))
    shown = steps.item >= 0
    page, position = np.nonzero(shown)
    offset = np.zeros(n_pages + 1, np.int64)
    np.cumsum(shown.sum(axis=1), out=offset[1:])
    rows = np.empty((len(page), n_columns), np.float32)
    page_rows = np.empty((n_pages, n_page_columns), np.float32)
    batches = walk(steps)
    hidden = memory.begin(len(batches[0]) if batches else 0)
    for t, batch in enumerate(batches):
        n = len(batch)
        state = SessionState(
            user=steps.user[batch],
            step=np.full(n, t, np.int32),
            query=np.require(steps.query[batch], np.int32, ["C"]),
            context=np.require(steps.context[batch], np.float32, ["C"]),
            hidden=hidden[:n],
        )
        items = np.require(steps.item[batch], np.int32, ["C"])
        click = np.require(steps.click[batch], np.uint8, ["C"])
        purchase = np.require(steps.purchase[batch], np.uint8, ["C"])
        block = make_impression_rows(memory, state, items, n_columns)
        page_rows[batch] = make_page_rows(memory, state, items, click, purchase, n_page_columns)
        memory.remember(state, items, click, purchase)
        here = shown[batch]
        rank = np.cumsum(here, axis=1) - 1
        rows[(offset[batch][:, None] + rank)[here]] = block[here]
    item = steps.item[page, position].astype(np.int64)
    return Replay(
        rows=rows,
        page=page,
        position=position,
        item=item,
        category=features.item_category[item].astype(np.int64),
        click=steps.click[page, position],
        purchase=steps.purchase[page, position],
        page_rows=page_rows,
        session=steps.session,
        shape=(n_pages, n_positions),
    )


def with_promise(
    replayed: Replay,
    features: FeatureTables,
    steps: LoggedSteps,
    logits: NDArray[np.float64],
    chance: NDArray[np.float64],
) -> Replay:
    """`replayed` with what its pages promised in their rows, which the click model has to be fitted for.

    Args:
        replayed: `steps`, replayed.
        features: Public tables.
        steps: The log.
        logits: (M, K) of a click given a look; whatever where nothing is shown.
        chance: (M, K) of a purchase given a click; whatever where nothing was clicked.
    """
    memory = record_memory(features, 1)
    shown = memory.layout.start("shown")
    rows = replayed.page_rows.copy()
    batches = walk(steps)
    hidden = memory.begin(len(batches[0]) if batches else 0)
    promise = memory.layout.of(hidden, "promise")
    for batch in batches:
        n = len(batch)
        note_promise(
            n,
            hidden[:n],
            np.require(steps.item[batch], np.int32, ["C"]),
            np.ascontiguousarray(logits[batch]),
            np.require(steps.click[batch], np.uint8, ["C"]),
            np.ascontiguousarray(chance[batch]),
            memory.columns,
        )
        hidden[:n, shown] = 1.0  # from now on there is a page before
        rows[batch, N_PAGE_FIXED - N_PROMISE : N_PAGE_FIXED] = promise[:n]
    return replace(replayed, page_rows=rows)
