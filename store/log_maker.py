"""Lets the true users walk through the shop under the behaviour policy, and writes down what the shop saw."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from agents.base import Draw
from encoders.features import CandidateTable
from envs.observation import Observation
from simulators.base import InspectableSimulator
from store.behavior_policy import BehaviorPolicy
from store.config import StoreConfig
from store.true_user import LOG_PEOPLE

__all__ = ["LogFrames", "make_log", "query_page"]

_START = np.datetime64("2026-03-02T00:00:00", "s")
_WEEKS = 8
_HISTORY = 10


@dataclass(frozen=True, kw_only=True)
class LogFrames:
    """The log's two tables, columns as the log's schema has them."""

    rows: pd.DataFrame
    candidates: pd.DataFrame


def query_page(
    query: NDArray[np.int32], context: NDArray[np.float32], candidates: CandidateTable, slate_size: int
) -> Observation:
    """An observation of `B` users that carries the query and its candidates only, as on a first page."""
    B, N = query.shape[0], candidates.items.shape[1]
    return Observation(
        query=query[:, None],
        context=context,
        candidates=candidates.items[query],
        scores=candidates.scores[query],
        seen=np.zeros((B, N), np.float32),
        last_slate=np.full((B, slate_size), -1, np.int32),
        last_click=np.zeros((B, slate_size), np.float32),
        last_purchase=np.zeros((B, slate_size), np.float32),
        clicked=np.full((B, _HISTORY), -1, np.int32),
        progress=np.zeros((B, 4), np.float32),
    )


def make_log(
    simulator: InspectableSimulator,
    policy: BehaviorPolicy,
    candidates: CandidateTable,
    *,
    config: StoreConfig,
    item_ids: NDArray[np.str_],
    price: NDArray[np.float64],
    queries: tuple[str, ...],
    context_names: tuple[str, ...],
) -> LogFrames:
    """The log of `config.n_sessions` sessions, ordered by session (in time order), step and position."""
    S, K = config.n_sessions, config.slate_size
    rng = np.random.default_rng([config.seed, 4])
    users, start = _arrivals(S, config.n_people, rng)
    state = simulator.begin(users, seed=config.seed)
    clock = start.astype("datetime64[s]").astype(np.int64)
    alive = np.arange(S)
    pages: list[dict[str, NDArray[np.generic]]] = []
    for step in range(config.max_steps):
        page = query_page(state.query, state.context, candidates, K)
        actions = policy.rank(page, Draw(config.seed, state.user, state.step), slate_size=K)
        chance = policy.propensity(page, actions)
        slate = np.take_along_axis(page.candidates, actions, axis=1).astype(np.int32)
        asked, context = state.query.copy(), state.context.copy()
        feedback = simulator.respond(state, slate, seed=config.seed)
        last = step == config.max_steps - 1
        dwell = np.where(
            feedback.click > 0, np.round(rng.gamma(2.0, 15.0 + 30.0 * feedback.purchase), 1), 0.0
        )
        pages.append(
            {
                "session": alive,
                "step": np.full(alive.shape[0], step),
                "query": asked,
                "context": context,
                "seconds": clock[alive],
                "slate": slate,
                "click": feedback.click,
                "purchase": feedback.purchase,
                "dwell": dwell,
                "end": np.where(feedback.left, "left", np.array("limit" if last else None, object)),
                "propensity": chance.item,
                "cascade": chance.cascade,
                "slate_propensity": chance.slate,
            }
        )
        clock[alive] += (
            10 + np.round(dwell.sum(axis=1)).astype(np.int64) + rng.integers(5, 40, alive.shape[0])
        )
        stay = np.flatnonzero(~feedback.left)
        alive, state = alive[stay], state.take(stay)
        if not alive.size:
            break
    table = {name: np.concatenate([page[name] for page in pages]) for name in pages[0]}
    order = np.lexsort((table["step"], table["session"]))
    table = {name: values[order] for name, values in table.items()}
    return _frames(table, users, candidates, item_ids, price, queries, context_names)


def _arrivals(
    n_sessions: int, n_people: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.datetime64]]:
    """Who comes when, in time order: everyone once, some up to four times, more in the evening."""
    first = np.arange(n_people, dtype=np.int64)
    again = rng.permutation(np.repeat(first, 3))[: n_sessions - n_people]
    person = np.concatenate([first, again])
    day = rng.integers(0, 7 * _WEEKS, n_sessions)
    hour = np.clip(rng.normal(15.5, 4.5, n_sessions), 0.0, 23.99)
    start = _START + (day * 86_400 + (hour * 3600).astype(np.int64)).astype("timedelta64[s]")
    order = np.lexsort((person, start))
    person, start = person[order], start[order]
    visit = np.zeros(n_sessions, np.int64)
    count = np.zeros(n_people, np.int64)
    for s, who in enumerate(person):
        visit[s] = count[who]
        count[who] += 1
    return person + visit * LOG_PEOPLE, start


def _frames(
    table: dict[str, NDArray[np.generic]],
    users: NDArray[np.int64],
    candidates: CandidateTable,
    item_ids: NDArray[np.str_],
    price: NDArray[np.float64],
    queries: tuple[str, ...],
    context_names: tuple[str, ...],
) -> LogFrames:
    slate = table["slate"]
    M, K = slate.shape
    session = np.char.add("S", np.char.zfill(table["session"].astype(np.str_), 6))
    person = np.char.add("U", np.char.zfill((users % LOG_PEOPLE)[table["session"]].astype(np.str_), 6))
    flat = slate.reshape(-1)

    def per_item(values: NDArray[np.generic]) -> NDArray[np.generic]:
        return np.repeat(values, K)

    rows = pd.DataFrame(
        {
            "session_id": per_item(session),
            "user_id": per_item(person),
            "step": per_item(table["step"]),
            "timestamp": pd.DatetimeIndex(
                per_item(table["seconds"]).astype("datetime64[s]").astype("datetime64[ns]"), tz="UTC"
            ),
            "query": per_item(np.array(queries, object)[table["query"]]),
            "position": np.tile(np.arange(K), M),
            "item_id": item_ids[flat],
            "click": table["click"].reshape(-1).astype(np.int64),
            "purchase": table["purchase"].reshape(-1).astype(np.int64),
            "dwell_seconds": table["dwell"].reshape(-1),
            "price": price[flat],
            "policy_id": "behavior",
            "session_end": per_item(table["end"]),
            "propensity": table["propensity"].reshape(-1),
            "cascade_propensity": table["cascade"].reshape(-1),
            "slate_propensity": per_item(table["slate_propensity"]),
            **{
                f"context_{name}": per_item(table["context"][:, f].astype(np.float64))
                for f, name in enumerate(context_names)
            },
        }
    )
    shown = candidates.items[table["query"].astype(np.int64)]  # (M, N)
    known = shown >= 0
    N = shown.shape[1]
    companion = pd.DataFrame(
        {
            "session_id": np.repeat(session, N)[known.reshape(-1)],
            "step": np.repeat(table["step"], N)[known.reshape(-1)],
            "rank": np.tile(np.arange(N), M)[known.reshape(-1)],
            "item_id": item_ids[shown[known]],
        }
    )
    return LogFrames(rows=rows, candidates=companion)
