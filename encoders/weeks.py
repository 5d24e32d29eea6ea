"""A relevance model that goes on week after week: what its folder keeps beside it, and one week more.

`encoders.continual` moves the heads. Here is what surrounds it: queries and items keep their numbers by text and by id,
new ones are appended; offsets of single queries (`encoders.known_queries`) are learned on from where they were; the
query without a text is fitted to the sum of all weeks; and a part of each week, which nothing ever learns from, is put
by, to say later what was forgotten.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError
from behavior.steps import LoggedSteps
from encoders.cache import encode_cached
from encoders.continual import ContinualConfig, ContinualState, load_state, save_state, start_state, update
from encoders.heads import fit_empty_query
from encoders.known_queries import KnownQueriesConfig, fit_known_queries
from encoders.measures.beside import Beside, beside
from encoders.pairs import PairCounts, concatenate, count_pairs, examination_by_position, merged
from encoders.relevance import KnownQueries, RelevanceModel, raw_tables
from encoders.storage import read_npz, write_npz
from encoders.text import catalog_texts

if TYPE_CHECKING:
    from behavior.catalog import Catalog

__all__ = ["Kept", "Log", "add_week", "load_kept", "save_kept", "start_kept"]

_KIND = "slategym-weeks-1"
_NAMES, _COUNTS, _STATE = "weeks.json", "weeks.npz", "continual.npz"


@dataclass(frozen=True, kw_only=True)
class Log:
    """One week's log, cut by time."""

    catalog: Catalog
    train: LoggedSteps
    """Learned from."""
    valid: LoggedSteps
    """Says how sure scores of single queries may be."""
    test: LoggedSteps
    """Never learned from."""

    @property
    def parts(self) -> tuple[LoggedSteps, ...]:
        """All three."""
        return self.train, self.valid, self.test


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What a model's folder keeps from week to week."""

    state: ContinualState
    queries: tuple[str, ...]  # Q texts, by number
    item_ids: tuple[str, ...]  # I ids, by number
    item_texts: tuple[str, ...]  # I texts, as they last stood in a catalogue
    put_by: PairCounts  # of each week's last sessions: what earlier weeks knew, never learned from
    draw: NDArray[np.float64]  # (P,) of each of those pairs: the smallest stay
    empty: PairCounts  # of the query without a text, all weeks in one
    until: int
    """Time of the last step of all logs so far, nanoseconds since 1970 UTC; 0 where there was none."""


@dataclass(frozen=True, kw_only=True)
class _Week:
    """A log in the numbers of a `Kept`."""

    queries: tuple[str, ...]
    item_ids: tuple[str, ...]
    item_texts: tuple[str, ...]
    train: PairCounts  # of queries with a text
    valid: PairCounts
    test: PairCounts
    empty: PairCounts  # of `train`, the query without a text


def start_kept(model: RelevanceModel, log: Log | None, config: ContinualConfig) -> Kept:
    """What to keep of a model that was never updated.

    Args:
        model: The model.
        log: What it was learned from, so that its first update holds on to that, too; None: nothing is known of it, and
            the first update holds on to nothing but the weights themselves.
        config: As for the weeks to come.
    """
    nothing = _no_pairs()
    none = ContinualState(
        heads=model.heads,
        memory=nothing,
        priority=np.zeros(0),
        projection_weight=np.zeros_like(model.heads.projection),
        head_weight=np.zeros((2, model.heads.projection.shape[1]), np.float32),
        weeks=0,
    )
    kept = Kept(
        state=none,
        queries=(),
        item_ids=(),
        item_texts=(),
        put_by=nothing,
        draw=np.zeros(0),
        empty=nothing,
        until=0,
    )
    if log is None:
        return kept
    week = _numbered(kept, log, model.item_columns)
    item, query = _vectors(model, log.catalog, week)
    state = start_state(model.heads, item, query, week.train, config)
    return _kept_on(kept, week, log, state, config)


def add_week(
    model: RelevanceModel,
    kept: Kept,
    log: Log,
    config: ContinualConfig,
    *,
    known: KnownQueriesConfig | None = None,
    progress: bool = True,
) -> tuple[RelevanceModel, Kept, tuple[Beside, ...]]:
    """Go on with one more week.

    Args:
        model: Last week's model; it stays as it is.
        kept: What its folder keeps.
        log: The new week alone.
        config: How the heads go on.
        known: How offsets of single queries go on, where the model has any.
        progress: Show bars.

    Returns:
        The new model, what to keep beside it, and how it stands beside last week's: on the new week's sessions put by,
        on those of earlier weeks, and on the queries among these that the new week did not ask.

    Raises:
        InputError: The new week shows nothing for a query with a text.
    """
    week = _numbered(kept, log, model.item_columns)
    if not week.train.n_pairs:
        raise InputError(
            "the training part of the new log shows nothing for a query with a text",
            where="add_week(log=...)",
        )
    _warn_of_old(kept, log)
    item, query = _vectors(model, log.catalog, week)
    state = replace(kept.state, heads=model.heads)
    state = update(state, item, query, week.train, config, progress=progress)
    empty = merged(concatenate([kept.empty, week.empty]))
    if empty.clicks.sum() > 0.0:
        state = replace(state, heads=fit_empty_query(state.heads, item, empty, seed=config.seed))
    offsets = model.known
    if offsets.texts:
        click = offsets.click.copy()
        click[:, -1] += np.float32(
            model.heads.bias[0] - state.heads.bias[0]
        )  # intercepts stand beside the bias
        offsets = fit_known_queries(
            state.heads,
            item,
            query,
            week.queries,
            week.train,
            known or KnownQueriesConfig(),
            later=week.valid,
            start=KnownQueries(texts=offsets.texts, click=click),
            progress=progress,
        )
    new = RelevanceModel(
        model.encoder,
        state.heads,
        item_columns=model.item_columns,
        cache=model.cache,
        known=offsets,
        spelling=model.spelling,
    )
    before, after = (
        raw_tables(item, query, given.heads, given.known, week.queries) for given in (model, new)
    )
    earlier = merged(kept.put_by)
    gone = earlier.take(~np.isin(earlier.query, week.train.query))
    report = tuple(
        beside(name, before, after, pairs)
        for name, pairs in (
            ("the new week", week.test),
            ("earlier weeks", earlier),
            ("earlier weeks, queries not asked in the new one", gone),
        )
        if pairs.n_pairs
    )
    return new, _kept_on(kept, week, log, state, config), report


def _warn_of_old(kept: Kept, log: Log) -> None:
    times = np.concatenate([part.timestamp for part in log.parts])
    old = float(np.mean(times <= kept.until))
    if old > 0.0:
        warnings.warn(
            f"{100.0 * old:.3g} % of the new log's pages are no later than what earlier weeks ended with: what was "
            "learned from counts twice, and what was put by to judge by may be learned from. Give the new week alone",
            UserWarning,
            stacklevel=3,
        )


def _no_pairs() -> PairCounts:
    number, count = np.zeros(0, np.int32), np.zeros(0)
    return PairCounts(
        query=number, item=number, impressions=count, exposure=count, clicks=count, purchases=count
    )


def _numbered(kept: Kept, log: Log, columns: Sequence[str]) -> _Week:
    """The log in the numbers of `kept`, new queries and items after the old ones."""
    queries, query_of = _appended(kept.queries, log.train.queries)
    item_ids, item_of = _appended(kept.item_ids, log.catalog.item_ids)
    texts = [*kept.item_texts, *[""] * (len(item_ids) - len(kept.item_texts))]
    for number, text in zip(item_of.tolist(), catalog_texts(log.catalog, columns), strict=True):
        texts[number] = text
    examination = examination_by_position(log.train)
    with_text = np.array([bool(text.strip()) for text in queries], np.bool_)

    def counted(steps: LoggedSteps) -> PairCounts:
        pairs = count_pairs(steps, examination)
        pairs = pairs.take(pairs.query >= 0)
        return merged(replace(pairs, query=query_of[pairs.query], item=item_of[pairs.item]))

    train, valid, test = (counted(part) for part in (log.train, log.valid, log.test))
    return _Week(
        queries=queries,
        item_ids=item_ids,
        item_texts=tuple(texts),
        train=train.take(with_text[train.query]),
        valid=valid.take(with_text[valid.query]),
        test=test.take(with_text[test.query]),
        empty=train.take(~with_text[train.query]),
    )


def _appended(old: tuple[str, ...], new: Sequence[str]) -> tuple[tuple[str, ...], NDArray[np.int32]]:
    """`old` and what of `new` is not among it; and the number of each of `new`."""
    number = {name: place for place, name in enumerate(old)}
    for name in new:
        number.setdefault(name, len(number))
    return tuple(number), np.array([number[name] for name in new], np.int32)


def _vectors(
    model: RelevanceModel, catalog: Catalog, week: _Week
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Raw vectors of all items (I, D) and queries (Q, D) that have a number."""
    item = encode_cached(model.encoder, list(week.item_texts), model.cache, progress=False)
    query = encode_cached(model.encoder, model.read(catalog, week.queries), model.cache, progress=False)
    query[[not text.strip() for text in week.queries]] = 0.0
    return item, query


def _kept_on(kept: Kept, week: _Week, log: Log, state: ContinualState, config: ContinualConfig) -> Kept:
    """What to keep after `week`: of the pairs put by, as many as of those remembered, drawn evenly from all weeks."""
    draw = np.random.default_rng([config.seed, state.weeks, 1]).random(week.test.n_pairs)
    put_by, draw = concatenate([kept.put_by, week.test]), np.concatenate([kept.draw, draw])
    stay = np.sort(np.argsort(draw, kind="stable")[: config.memory])
    return Kept(
        state=state,
        queries=week.queries,
        item_ids=week.item_ids,
        item_texts=week.item_texts,
        put_by=put_by.take(stay),
        draw=draw[stay],
        empty=merged(concatenate([kept.empty, week.empty])),
        until=max(kept.until, *(int(part.timestamp.max(initial=0)) for part in log.parts)),
    )


def save_kept(folder: Path, kept: Kept) -> None:
    """Write `kept` into the folder of its model."""
    save_state(folder / _STATE, kept.state)
    arrays = {
        f"{name}_{f.name}": getattr(getattr(kept, name), f.name)
        for name in ("put_by", "empty")
        for f in fields(PairCounts)
    }
    write_npz(folder / _COUNTS, {"kind": np.array(_KIND), "draw": kept.draw, **arrays})
    names = {
        "format": 1,
        "queries": list(kept.queries),
        "item_ids": list(kept.item_ids),
        "item_texts": list(kept.item_texts),
        "until": kept.until,
    }
    (folder / _NAMES).write_text(json.dumps(names, indent=1) + "\n", encoding="utf-8")


def load_kept(folder: Path) -> Kept | None:
    """What `save_kept` wrote into `folder`; None where the model was never updated.

    Raises:
        InputError: A part is missing, damaged, or does not go with the others.
    """
    if not any((folder / name).exists() for name in (_NAMES, _COUNTS, _STATE)):
        return None
    try:
        names = json.loads((folder / _NAMES).read_text(encoding="utf-8"))
        queries, item_ids, item_texts = (tuple(names[k]) for k in ("queries", "item_ids", "item_texts"))
        until = int(names["until"])
        state, data = load_state(folder / _STATE), read_npz(folder / _COUNTS, _KIND)
        put_by, empty = (
            PairCounts(**{f.name: data[f"{name}_{f.name}"] for f in fields(PairCounts)})
            for name in ("put_by", "empty")
        )
        draw = data["draw"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(folder, f"{type(error).__name__}: {error}") from error
    for pairs in (state.memory, put_by, empty):
        if pairs.query.max(initial=-1) >= len(queries) or pairs.item.max(initial=-1) >= len(item_ids):
            raise _damaged(folder, "it has counts of queries or items that it does not name")
    if len(item_texts) != len(item_ids) or len(draw) != put_by.n_pairs:
        raise _damaged(folder, "its parts are of different sizes")
    return Kept(
        state=state,
        queries=queries,
        item_ids=item_ids,
        item_texts=item_texts,
        put_by=put_by,
        draw=draw,
        empty=empty,
        until=until,
    )


def _damaged(folder: Path, why: str) -> InputError:
    return InputError(
        f"what the model keeps of earlier weeks is damaged: {why}",
        where=str(folder),
        mend=f"go on from an older week's folder, or take {_NAMES}, {_COUNTS} and {_STATE} away to start anew",
    )
