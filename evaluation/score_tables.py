"""Policies that are only a table: what somebody else's ranker says of items, as CSV or Parquet.

Three kinds, told apart by their columns:

- `query, item, score` (or `item, score`: the same for every query) ranks any page of the shop, in simulators too;
- `session, step, item, score` holds the scores of a log's own pages, which may depend on anything;
- `position, item, probability` (with or without `query`): the chance of each item at each position, for logs of single
  impressions, whose pages are not known.

In the first two, `probability` may stand in place of `score`: the chance to be shown first, of those that are left; it
must sum to one over a page's candidates. Scores are drawn from by Plackett-Luce at a temperature, or sorted at 0.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from behavior.errors import InputError
from behavior.parse import as_number, as_text
from behavior.readers.raw import read_table
from evaluation.table_policies import ItemTable, MarginalTable, Names, PageScores, TablePolicy

if TYPE_CHECKING:
    from behavior.steps import LoggedSteps
    from envs.observation import Observation

__all__ = ["read_policy_table"]

_SYNONYMS = {
    "query": ("query", "query_text"),
    "item": ("item", "item_id", "product_id"),
    "session": ("session", "session_id"),
    "step": ("step",),
    "position": ("position",),
    "score": ("score",),
    "probability": ("probability", "propensity"),
}
_FAR_BELOW = 60.0
"""How far an item that a table lacks stands below its worst: exp(-60) is never drawn."""
_SUM_TOLERANCE = 1e-6


def read_policy_table(
    path: Path,
    names: Names,
    steps: LoggedSteps,
    observation: Observation,
    *,
    temperature: float = 1.0,
    missing: Literal["refuse", "last"] = "refuse",
    name: str = "",
) -> TablePolicy:
    """The policy that a table states.

    Args:
        path: CSV, TSV, Parquet, JSON, also within a zip.
        names: How the log calls its items, queries and sessions.
        steps: The log's pages.
        observation: What policies see of them.
        temperature: Of the draw from scores; 0 sorts. Probabilities are always drawn from.
        missing: What to do with candidates that the table lacks: refuse, or rank them last.
        name: For tables of results; the file's name if empty.

    Raises:
        InputError: A table that is not one of the three kinds, a cell that is no number, a candidate without a score,
            or probabilities that do not sum to one.
    """
    frame, kind = _tidy(path)
    name = name or path.stem
    if "position" in frame:
        return TablePolicy(MarginalTable(_marginals(frame, names, path), name=name))
    if kind == "probability":
        temperature = 1.0
    if "session" in frame:
        scores, lacking = _page_scores(frame, names, steps, observation, path)
    else:
        scores, lacking = _item_scores(frame, names, path)
        # Only what the log's own pages could show has to be there; the rest ranks last without a word.
        seen = np.pad(lacking, ((0, 1), (0, 1)))[observation.query, observation.candidates]
        lacking_here = seen & (observation.candidates >= 0)
        notes = _settle(lacking_here, names, observation, path, missing)
        if kind == "probability":
            _check_sums(np.pad(scores, ((0, 1), (0, 1))), observation, path)
        filled = _fill(_logarithms(scores, kind), lacking)
        return TablePolicy(ItemTable(filled, temperature=temperature, name=name), notes=notes)
    notes = _settle(lacking, names, observation, path, missing)
    if kind == "probability":
        _sums(np.where(observation.candidates >= 0, scores, 0.0), path)
    filled = _fill(_logarithms(scores, kind), lacking | (observation.candidates < 0))
    # float64 keeps the propensities exact; every reader of scores casts them anyway.
    seen_so = dataclasses.replace(observation, scores=cast("NDArray[np.float32]", filled))
    return TablePolicy(PageScores(temperature=temperature, name=name), observation=seen_so, notes=notes)


def _tidy(path: Path) -> tuple[pd.DataFrame, Literal["score", "probability"]]:
    """The known columns under our names, numbers as numbers."""
    raw = read_table(path, progress=False)
    found = {ours: next((n for n in theirs if n in raw), None) for ours, theirs in _SYNONYMS.items()}
    named = {theirs: ours for ours, theirs in found.items() if theirs is not None}
    frame = raw[list(named)].rename(columns=named)
    kinds = [kind for kind in ("score", "probability") if kind in frame]
    whole = {"session", "step"} <= set(frame) or not {"session", "step"} & set(frame)
    if "item" not in frame or len(kinds) != 1 or not whole or ("position" in frame and "score" in frame):
        raise InputError(
            f"these columns make no policy: {', '.join(map(str, raw.columns))}",
            where=str(path),
            mend="give query,item,score or session,step,item,score (or probability in place of score), or, for a log "
            "of single impressions, position,item,probability",
        )
    kind = cast("Literal['score', 'probability']", kinds[0])
    for column in (kind, "step", "position"):
        if column in frame:
            numbers = as_number(frame[column]).to_numpy(np.float64)
            bad = np.flatnonzero(~np.isfinite(numbers))
            if len(bad):
                raise InputError(
                    f"{column} is {frame[column].iloc[int(bad[0])]!r} ({len(bad):,} such cells), expected a number",
                    where=f"{path}, row {int(bad[0]) + 1}",
                    mend="correct the cell, or leave the row out",
                )
            frame[column] = numbers
    if kind == "probability":
        wrong = np.flatnonzero((frame[kind] < 0) | (frame[kind] > 1 + _SUM_TOLERANCE))
        if len(wrong):
            raise InputError(
                f"probability is {frame[kind].iloc[int(wrong[0])]:g} ({len(wrong):,} such cells)",
                where=f"{path}, row {int(wrong[0]) + 1}",
                mend="probabilities lie between 0 and 1; call the column `score` if they are scores",
            )
    for column in ("query", "item", "session"):
        if column in frame:
            frame[column] = as_text(frame[column]).fillna("").astype(str)
    keys = [c for c in frame if c != kind]
    doubled = np.flatnonzero(frame.duplicated(keys))
    if len(doubled):
        row = int(doubled[0])
        shown = ", ".join(f"{c} {frame[c].iloc[row]}" for c in keys)
        raise InputError(
            f"two rows for {shown} ({len(doubled):,} such rows)",
            where=f"{path}, row {row + 1}",
            mend="keep one row for each",
        )
    return frame, kind


def _rows(values: pd.Series, known: tuple[str, ...]) -> NDArray[np.int64]:
    """Row of each value among `known`, -1 where there is none."""
    place = {text: row for row, text in enumerate(known)}
    return np.asarray(values.map(place).fillna(-1), np.int64)


def _item_scores(
    frame: pd.DataFrame, names: Names, path: Path
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """(Q, I) values, and where there is none; rows of other items and queries are passed over."""
    item = _rows(frame["item"], names.items)
    value = frame[_value_column(frame)].to_numpy(np.float64)
    table: NDArray[np.float64] = np.full((len(names.queries), len(names.items)), np.nan)
    if "query" in frame:
        query = _rows(frame["query"], names.queries)
        keep = (item >= 0) & (query >= 0)
        table[query[keep], item[keep]] = value[keep]
    else:
        keep = item >= 0
        table[:, item[keep]] = value[keep]
    if not keep.any():
        raise InputError(
            "the table knows no item (or query) of the log",
            where=str(path),
            mend=f"items are called as in the log, such as {names.items[0]!r}; queries by their text",
        )
    return table, np.isnan(table)


def _value_column(frame: pd.DataFrame) -> str:
    return "score" if "score" in frame else "probability"


def _page_scores(
    frame: pd.DataFrame, names: Names, steps: LoggedSteps, observation: Observation, path: Path
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """(M, N) values of the log's candidates, and which real candidates have none."""
    if not len(names.sessions):
        raise InputError(
            "the sessions of this log have no ids of their own",
            where=str(path),
            mend="give a table by query and item, or judge a log that is read from a file",
        )
    session = {text: row for row, text in enumerate(names.sessions)}
    mine = frame["session"].map(session).fillna(-1).to_numpy(np.int64)
    step, item = frame["step"].to_numpy(np.int64), _rows(frame["item"], names.items)
    value = frame[_value_column(frame)].to_numpy(np.float64)
    page = {key: m for m, key in enumerate(zip(steps.session.tolist(), steps.step.tolist(), strict=True))}
    at = np.array([page.get(key, -1) for key in zip(mine.tolist(), step.tolist(), strict=True)], np.int64)
    keep = (at >= 0) & (item >= 0)
    # One sorted key of page and item, in which each candidate is looked up.
    width = len(names.items)
    key = at[keep] * width + item[keep]
    order = np.argsort(key, kind="stable")
    sorted_key, sorted_value = key[order], value[keep][order]
    M, N = observation.candidates.shape
    wanted = (np.arange(M)[:, None] * width + observation.candidates).ravel()
    place = np.clip(np.searchsorted(sorted_key, wanted), 0, max(0, len(sorted_key) - 1))
    real = (observation.candidates >= 0).ravel()
    found = real & (sorted_key[place] == wanted if len(sorted_key) else np.zeros(M * N, np.bool_))
    scores = np.where(found, sorted_value[place] if len(sorted_key) else 0.0, np.nan).reshape(M, N)
    return scores, (real & ~found).reshape(M, N)


def _settle(
    lacking: NDArray[np.bool_],
    names: Names,
    observation: Observation,
    path: Path,
    missing: Literal["refuse", "last"],
) -> tuple[str, ...]:
    """Refuse candidates without a value, or say that they rank last."""
    if not lacking.any():
        return ()
    row, column = (int(v) for v in np.argwhere(lacking)[0])
    item = names.items[int(observation.candidates[row, column])]
    query = int(observation.query[row, 0])
    asked = f" for the query {names.queries[query]!r}" if query >= 0 else ""
    what = (
        f"the table says nothing of {int(lacking.sum()):,} of {int((observation.candidates >= 0).sum()):,} candidates "
        f"of the log's pages, the first: {item!r}{asked}"
    )
    if missing == "last":
        return (f"{path.name}: {what}; these rank last.",)
    raise InputError(
        what, where=str(path), mend="add their rows; or pass --missing last, to have them ranked last"
    )


def _logarithms(values: NDArray[np.float64], kind: str) -> NDArray[np.float64]:
    """Scores whose exponentials are the values, where these are probabilities."""
    if kind == "score":
        return values
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(values))


def _fill(scores: NDArray[np.float64], lacking: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Finite scores: what is lacking, or impossible, stands far below the worst."""
    known = np.isfinite(scores)
    floor = float(scores[known].min()) if known.any() else 0.0
    return np.where(known & ~lacking, scores, floor - _FAR_BELOW)


def _check_sums(table: NDArray[np.float64], observation: Observation, path: Path) -> None:
    chances = np.nan_to_num(table[observation.query, observation.candidates])
    _sums(np.where(observation.candidates >= 0, chances, 0.0), path)


def _sums(chances: NDArray[np.float64], path: Path) -> None:
    sums = np.nan_to_num(chances).sum(axis=1)
    bad = np.flatnonzero(np.abs(sums - 1) > _SUM_TOLERANCE)
    if len(bad):
        raise InputError(
            f"the probabilities of a page's candidates sum to {sums[bad[0]]:.6g} ({len(bad):,} such pages), expected 1",
            where=f"{path}, page {int(bad[0])} of the log",
            mend="state the chance of every candidate to be shown first; or call the column `score`",
        )


def _marginals(frame: pd.DataFrame, names: Names, path: Path) -> NDArray[np.float64]:
    """(Q or 1, K, I) of what is listed; each position's sum must be one."""
    item, position = _rows(frame["item"], names.items), frame["position"].to_numpy(np.int64)
    query = _rows(frame["query"], names.queries) if "query" in frame else np.zeros(len(frame), np.int64)
    n_queries = len(names.queries) if "query" in frame else 1
    if position.min() < 0:
        raise InputError(
            f"position {int(position.min())}", where=str(path), mend="positions count from 0, at the top"
        )
    value: Any = frame["probability"].to_numpy(np.float64)
    n_positions = int(position.max()) + 1
    sums = np.zeros((n_queries, n_positions))
    known = query >= 0
    np.add.at(sums, (query[known], position[known]), value[known])
    listed = np.zeros((n_queries, n_positions), np.bool_)
    listed[query[known], position[known]] = True
    bad = np.argwhere(listed & (np.abs(sums - 1) > _SUM_TOLERANCE))
    if len(bad):
        q, k = (int(v) for v in bad[0])
        raise InputError(
            f"the probabilities at position {k} sum to {sums[q, k]:.6g}, expected 1",
            where=str(path),
            mend="state the chance of every item at this position, also of those that the log never showed",
        )
    table = np.zeros((n_queries, n_positions, len(names.items)))
    keep = known & (item >= 0)
    table[query[keep], position[keep], item[keep]] = value[keep]
    return table
