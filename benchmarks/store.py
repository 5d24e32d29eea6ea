"""What the demo store claims, measured: `python -m benchmarks.store [--quick] [--json FILE]`.

Ranking quality of a lexical ranker, the zero-shot BERT and (without `--quick`) the fine-tuned one against true
relevance; the fall of clicks with position, split into examination and relevance; purchases by price and taste; and
the oracle gap.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from behavior.errors import InputError
from benchmarks.common import Case, Options, case, main, result
from store.config import StoreConfig
from store.properties import lexical_quality, oracle_gap, position_split, purchase_drivers, ranking_quality
from store.shop import Store, open_store

if TYPE_CHECKING:
    from encoders.bert import BertEncoder
    from encoders.cache import EmbeddingCache

__all__ = ["StoreOptions", "measure"]


@dataclass(frozen=True, kw_only=True)
class StoreOptions(Options):
    """Which measurements, and where to put them."""

    seed: int = 0
    """Seed of the store."""
    oracle_users: int = 500
    """Users that the oracles serve (32 with --quick)."""


def measure(options: StoreOptions) -> dict[str, Any]:
    """All cases as one JSON-ready object; `--quick`: no fine-tuning, few users for the oracles."""
    store = open_store(StoreConfig(seed=options.seed))
    cases = [*_ranking(store, finetuned=not options.quick), *_positions(store), *_purchases(store)]
    users = 32 if options.quick else options.oracle_users
    gap = oracle_gap(store, n_users=users)
    for name in ("random", "behavior", "myopic", "planning", "belief"):
        cases.append(case(f"score a session, {name}", getattr(gap, name), "clicks + 5 purchases", gap.myopic))
    cases.append(case("planning gap over the myopic oracle", gap.gap, "share", 0.1))
    cases.append(case("planning gap, lower end of the 95 % interval", gap.gap_low, "share"))
    return result("store", cases, packages=("numpy", "numba", "torch", "transformers"))


def _ranking(store: Store, *, finetuned: bool) -> list[Case]:
    from encoders.bert import BertEncoder
    from encoders.cache import EmbeddingCache, encode_cached
    from encoders.text import catalog_texts

    lexical = lexical_quality(store)
    cases = [case("NDCG@10, lexical (BM25)", lexical.ndcg, "NDCG@10")]
    cases += [case(f"NDCG@10, lexical, {kind}", value, "NDCG@10") for kind, value in lexical.by_kind.items()]
    try:
        encoder, cache = BertEncoder("minilm"), EmbeddingCache()
    except InputError as error:
        print(f"without BERT: {error}", file=sys.stderr)
        return cases
    items = encode_cached(encoder, catalog_texts(store.catalog), cache)
    queries = encode_cached(encoder, list(store.queries), cache)
    zero_shot = ranking_quality(store, queries @ items.T)
    cases.append(case("NDCG@10, zero-shot BERT", zero_shot.ndcg, "NDCG@10", lexical.ndcg))
    cases += [
        case(f"NDCG@10, zero-shot BERT, {kind}", value, "NDCG@10", lexical.by_kind[kind])
        for kind, value in zero_shot.by_kind.items()
    ]
    return cases + (_finetuned(store, encoder, cache, zero_shot.ndcg) if finetuned else [])


def _finetuned(store: Store, encoder: BertEncoder, cache: EmbeddingCache, zero_shot: float) -> list[Case]:
    from encoders.finetuning import finetune_cached

    steps = store.log.to_steps(store.catalog, queries=store.queries)
    model, report = finetune_cached(encoder, store.catalog, steps, truth=store.relevance, cache=cache)
    tables = model.tables(store.catalog, store.queries)
    quality = ranking_quality(store, tables.click_query @ tables.item.T)
    cases = [case("NDCG@10, fine-tuned BERT", quality.ndcg, "NDCG@10", zero_shot)]
    cases += [
        case(f"NDCG@10, fine-tuned BERT, {kind}", value, "NDCG@10") for kind, value in quality.by_kind.items()
    ]
    before, after = report.before.true_ndcg, report.after.true_ndcg
    if before is not None and after is not None:
        cases.append(case("NDCG@10 on held-out queries, fine-tuned", after, "NDCG@10", before))
    return cases


def _positions(store: Store) -> list[Case]:
    split = position_split(store)
    cases = [
        case(
            f"click rate at position {k}", rate, "clicks a page, random order as reference", split.shuffled[k]
        )
        for k, rate in enumerate(split.logged)
    ]
    share = split.examination_share
    return [*cases, case("part of the fall that is examination", share, "share of log rate")]


def _purchases(store: Store) -> list[Case]:
    drivers = purchase_drivers(store)
    cases = []
    for name, thirds in (("price over reference", drivers.by_price), ("taste match", drivers.by_taste)):
        for label, value in zip(("low", "middle", "high"), thirds, strict=True):
            cases.append(case(f"purchases a click, {label} {name}", value, "purchases a click", thirds[0]))
    return cases


if __name__ == "__main__":
    sys.exit(main(measure, StoreOptions, description=__doc__))
