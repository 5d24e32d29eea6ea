"""What misspelt, reworded, shortened and stuffed texts cost, zero-shot and after training, and what hardening wins.

Trained on the queries that are not held out (70 %) of demo stores, measured on the held-out ones by true relevance:
zero-shot; heads; heads trained with misspelt and shortened copies of the queries; heads trained against an adversary
that moves the query vectors (FGM, PGD); heads behind a corrector of spelling (`encoders.spelling`).

`python -m benchmarks.robustness [--quick] [--json FILE]`
"""

from __future__ import annotations

import functools
import sys
import time
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.common import Case, Options, main, result
from benchmarks.texts.shop import ShopTexts, over_seeds, read_shop
from encoders.cache import EmbeddingCache, encode_cached
from encoders.finetuning import FinetuneConfig
from encoders.heads import HeadConfig, fit_projection, zero_shot_heads
from encoders.pairs import PairCounts, concatenate
from encoders.relevance import Heads
from encoders.robustness import (
    AdversaryConfig,
    RobustnessConfig,
    drop_words,
    measure_robustness,
    misspell,
    perturb,
)
from encoders.spelling import read_as
from encoders.text import TextEncoder
from store.vocabulary import synonyms_of_titles

__all__ = ["HARDENED", "RobustnessOptions", "measure"]

HARDENED = ("heads, changed copies", "heads, FGM", "heads, PGD", "heads, spelling put right")
"""Ways that are to make the heads robust."""


@dataclass(frozen=True, kw_only=True)
class RobustnessOptions(Options):
    """Which stores."""

    seeds: int = 3
    """Stores, seeds 0 and up."""
    steps: int = 80
    """Steps of training the heads."""
    epsilon: float = 0.3
    """The adversary's step, as a share of a query vector's length."""


def measure(options: RobustnessOptions) -> dict[str, Any]:
    """All ways on all stores; `--quick`: a tiny store, hashed trigrams in place of the BERT, one seed."""
    encoder = _encoder(options.quick)
    found: dict[str, list[float]] = defaultdict(list)
    for seed in range(1 if options.quick else options.seeds):
        shop = read_shop(encoder, quick=options.quick, seed=seed)
        ways = _train(shop, encoder, options, found)
        columns = FinetuneConfig().item_columns
        read = functools.partial(read_as, encoder, shop.store.catalog, columns)
        for way, heads in ways.items():
            report = measure_robustness(
                encoder,
                heads,
                shop.items,
                shop.store.queries,
                truth=shop.store.relevance,
                pairs=shop.pairs,
                rows=shop.unseen,
                synonyms=synonyms_of_titles(),
                config=RobustnessConfig(seed=seed),
                read=read if way == HARDENED[3] else None,
                cache=EmbeddingCache(),
                progress=False,
            )
            for row in report.rows:
                for measure_name, value in (
                    ("NDCG@10 as they are", row.ndcg_before),
                    ("NDCG@10 changed", row.ndcg_after),
                    ("loss of NDCG@10", row.loss),
                    ("click AUC as they are", row.click_auc_before),
                    ("click AUC changed", row.click_auc_after),
                    ("places of stuffed items, times", row.lift),
                ):
                    if np.isfinite(value):
                        found[f"{way}: {row.change}: {measure_name}"].append(value)
    cases: list[Case] = []
    for name, values in found.items():
        cases += over_seeds(name, values, "s" if name.endswith("training") else "")
        way, _, rest = name.partition(": ")
        # Store by store, so that what the stores differ in does not blur what the ways differ in.
        if way in HARDENED and "NDCG@10" in rest and "loss" not in rest:
            plain = found[f"heads: {rest}"]
            difference = [a - b for a, b in zip(values, plain, strict=True)]
            cases += over_seeds(f"{way} minus heads: {rest}", difference, "")
    return result("robustness", cases, packages=("numpy", "torch", "transformers", "scikit-learn"))


def _encoder(quick: bool) -> TextEncoder:
    if quick:
        from encoders.text import HashEncoder

        return HashEncoder()
    from encoders.bert import BertEncoder

    return BertEncoder()


def _train(
    shop: ShopTexts, encoder: TextEncoder, options: RobustnessOptions, found: dict[str, list[float]]
) -> dict[str, Heads]:
    config = HeadConfig(steps=10 if options.quick else options.steps)
    start = zero_shot_heads(shop.item, shop.query, shop.known)
    ways = {"zero-shot": start}
    more_queries, more_pairs = _with_copies(shop, encoder)
    fgm, pgd = (AdversaryConfig(kind=kind, epsilon=options.epsilon) for kind in ("fgm", "pgd"))
    for name, query, pairs, adversary in (
        ("heads", shop.query, shop.known, None),
        (HARDENED[0], more_queries, more_pairs, None),
        (HARDENED[1], shop.query, shop.known, fgm),
        (HARDENED[2], shop.query, shop.known, pgd),
    ):
        began = time.perf_counter()
        ways[name] = fit_projection(
            start, shop.item, query, pairs, config, adversary=adversary, progress=False
        )
        found[f"{name}: training"].append(time.perf_counter() - began)
    ways[HARDENED[3]] = ways["heads"]
    return ways


def _with_copies(shop: ShopTexts, encoder: TextEncoder) -> tuple[Any, PairCounts]:
    """Query vectors (3Q, D) and pairs: as they are, misspelt, and a word short; the copies share the clicks."""
    texts, n = list(shop.store.queries), len(shop.store.queries)
    parts, queries = [shop.known], [shop.query]
    for number, change in enumerate((misspell(), drop_words()), start=1):
        # Another seed than the measurement's, so that no test misspelling is trained on.
        copies = perturb(texts, change, seed=1_000)
        queries.append(encode_cached(encoder, copies, EmbeddingCache(), progress=False))
        known = shop.known
        moved = known.take(np.array([copies[q] != texts[q] for q in known.query], np.bool_))
        values = {name: getattr(moved, name) for name in moved.__dataclass_fields__}
        parts.append(PairCounts(**(values | {"query": (moved.query + n * number).astype(np.int32)})))
    return np.concatenate(queries), concatenate(parts)


if __name__ == "__main__":
    sys.exit(main(measure, RobustnessOptions, description=__doc__))
