"""Updating the relevance model week by week in a store that drifts, against training anew and against standing still.

Every week new queries are first asked, others are asked no more, popularity moves, and some slang and vague queries
change their meaning. After each week's update the model is measured by what is true in that week: on the queries asked
in it, and on those asked in earlier weeks but no more (what is forgotten shows there).

`python -m benchmarks.continual [--quick] [--json FILE]`
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import Case, Options, main, result
from benchmarks.texts.drift import DriftConfig, Week, drifting_weeks
from benchmarks.texts.shop import over_seeds, query_ndcg
from encoders.build import reduce_vectors
from encoders.cache import EmbeddingCache, encode_cached
from encoders.continual import ContinualConfig, start_state, update
from encoders.heads import HeadConfig, fit_projection, zero_shot_heads
from encoders.pairs import PairCounts, concatenate, count_pairs, examination_by_position
from encoders.relevance import Heads, raw_tables
from encoders.text import HashEncoder, TextEncoder, catalog_texts
from store import StoreConfig, open_store

__all__ = ["ContinualOptions", "measure"]


@dataclass(frozen=True, kw_only=True)
class ContinualOptions(Options):
    """How long, and how often."""

    seeds: int = 3
    """Stores and drifts, seeds 0 and up."""
    weeks: int = 5
    """Weeks, the first among them."""
    steps: int = 40
    """Steps of training in a week."""
    width: int = 96
    """Directions of the vectors that are kept, so that many updates cost little."""


def measure(options: ContinualOptions) -> dict[str, Any]:
    """All ways on all drifts; `--quick`: a tiny store, three weeks, hashed trigrams, one seed."""
    encoder: TextEncoder = HashEncoder()
    if not options.quick:
        from encoders.bert import BertEncoder

        encoder = BertEncoder()
    found: dict[str, list[float]] = defaultdict(list)
    for seed in range(1 if options.quick else options.seeds):
        _one(encoder, options, seed, found)
    cases: list[Case] = []
    for name, values in found.items():
        cases += over_seeds(name, values, "s" if name.endswith("processor time") else "")
        way, _, rest = name.partition(": ")
        if way != "never updated" and rest.startswith("NDCG"):
            gain = [a - b for a, b in zip(values, found[f"never updated: {rest}"], strict=True)]
            cases += over_seeds(f"{way}: gain of {rest} over never updating", gain, "")
    return result("continual", cases, packages=("numpy", "torch"))


def _one(encoder: TextEncoder, options: ContinualOptions, seed: int, found: dict[str, list[float]]) -> None:
    size = StoreConfig(seed=seed, n_products=600, n_queries=200, n_sessions=400, n_people=400)
    store = open_store(StoreConfig.tiny(seed=seed) if options.quick else size)
    quick = DriftConfig(weeks=3, sessions=100, seed=seed)
    weeks = drifting_weeks(store, quick if options.quick else DriftConfig(weeks=options.weeks, seed=seed))
    cache = EmbeddingCache()
    item = encode_cached(encoder, catalog_texts(store.catalog), cache, progress=False)
    query = encode_cached(encoder, list(store.queries), cache, progress=False)
    query[[not text.strip() for text in store.queries]] = 0.0
    item, query = reduce_vectors(item, query, options.width)
    pairs = [_pairs(week, query) for week in weeks]
    head = HeadConfig(steps=5 if options.quick else options.steps)
    start = zero_shot_heads(item, query, pairs[0])
    first = fit_projection(start, item, query, pairs[0], head, progress=False)

    def anew(known: list[PairCounts]) -> Heads:
        return fit_projection(start, item, query, concatenate(known), head, progress=False)

    ways: dict[str, Callable[[], list[Heads]]] = {
        "never updated": lambda: [first] * len(weeks),
        "anew, all weeks": lambda: [anew(pairs[: w + 1]) for w in range(len(weeks))],
        "anew, last week": lambda: [anew(pairs[w : w + 1]) for w in range(len(weeks))],
    }
    configs = {
        "naive": ContinualConfig(way="naive", heads=head, seed=seed),
        "L2-SP": ContinualConfig(way="l2sp", strength=0.05, heads=head, seed=seed),
        "EWC": ContinualConfig(way="ewc", strength=0.05, heads=head, seed=seed),
        "replay, 20,000 pairs": ContinualConfig(way="replay", heads=head, seed=seed),
        "replay, 3,000 pairs": ContinualConfig(way="replay", memory=3_000, heads=head, seed=seed),
    }
    for name, config in configs.items():
        ways[name] = lambda config=config: _updates(config, first, item, query, pairs)  # type: ignore[misc]
    for name, run in ways.items():
        began = time.process_time()
        heads = run()
        found[f"{name}: processor time"].append(time.process_time() - began)
        for label, value in _measured(heads, item, query, weeks).items():
            found[f"{name}: {label}"].append(value)


def _updates(
    config: ContinualConfig,
    first: Heads,
    item: NDArray[np.float32],
    query: NDArray[np.float32],
    pairs: list[PairCounts],
) -> list[Heads]:
    state = start_state(first, item, query, pairs[0], config)
    heads = [first]
    for week in pairs[1:]:
        state = update(state, item, query, week, config, progress=False)
        heads.append(state.heads)
    return heads


def _measured(
    heads: list[Heads], item: NDArray[np.float32], query: NDArray[np.float32], weeks: list[Week]
) -> dict[str, float]:
    """Means over the weeks after the first."""
    asked_now, no_more = [], []
    before = weeks[0].asked.copy()
    for week, learned in zip(weeks[1:], heads[1:], strict=True):
        tables = raw_tables(item, query, learned)
        relevant = week.relevance.max(axis=1) > 0
        now, gone = np.flatnonzero(week.asked & relevant), np.flatnonzero(before & ~week.asked & relevant)
        asked_now.append(query_ndcg(tables, week.relevance, now).mean())
        if gone.size:
            no_more.append(query_ndcg(tables, week.relevance, gone).mean())
        before |= week.asked
    return {
        "NDCG@10, queries of the week": float(np.mean(asked_now)),
        "NDCG@10, queries of earlier weeks": float(np.mean(no_more)),
    }


def _pairs(week: Week, query: NDArray[np.float32]) -> PairCounts:
    counted = count_pairs(week.steps, examination_by_position(week.steps))
    return counted.take(np.flatnonzero(query[counted.query].any(axis=1)))


if __name__ == "__main__":
    sys.exit(main(measure, ContinualOptions, description=__doc__))
