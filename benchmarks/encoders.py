"""Speed of encoding, caching and searching, and what fine-tuning on the demo store's log is worth.

`python -m benchmarks.encoders [--quick] [--json FILE]`
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.common import Options, case, main, result
from encoders.cache import EmbeddingCache, encode_cached
from encoders.candidates import ExactSource
from encoders.finetuning import FinetuneConfig, finetune
from encoders.text import HashEncoder, TextEncoder, catalog_texts

__all__ = ["measure"]


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def measure(options: Options) -> dict[str, Any]:
    """All cases; `--quick`: a small store, few texts, and no training of the BERT's weights."""
    from behavior import split_steps_by_time
    from encoders.bert import BertEncoder
    from store import StoreConfig, open_store

    quick = options.quick
    shop = open_store(StoreConfig.tiny() if quick else StoreConfig())
    steps = shop.log.to_steps(shop.catalog, shop.queries)
    train, valid, _ = split_steps_by_time(steps)
    texts = catalog_texts(shop.catalog)[: 128 if quick else 1024]
    bert = BertEncoder()
    encode = _seconds(lambda: bert.encode(texts, progress=False))
    cases = [case("BERT encoding (MiniLM)", len(texts) / encode, "texts/s")]
    with tempfile.TemporaryDirectory() as folder:
        cache = EmbeddingCache(folder)
        encode_cached(HashEncoder(), texts, cache)
        cases.append(
            case(
                "cached encoding",
                len(texts) / _seconds(lambda: encode_cached(HashEncoder(), texts, cache)),
                "texts/s",
                len(texts) / encode,
            )
        )
    rng = np.random.default_rng(0)
    item = rng.normal(size=(10_000 if quick else 100_000, 385)).astype(np.float32)
    query = rng.normal(size=(64, 385)).astype(np.float32)
    seconds = _seconds(lambda: ExactSource(item).search(query, 50))
    cases.append(case(f"exact search, top 50 of {len(item):,}", len(query) / seconds, "queries/s"))
    runs: list[tuple[str, TextEncoder, FinetuneConfig]] = [("heads", bert, FinetuneConfig(mode="heads"))]
    if not quick:
        runs.append(("full", bert, FinetuneConfig(mode="full")))
    for mode, encoder, config in runs:
        _, report = finetune(
            encoder, shop.catalog, train, valid, config, truth=shop.relevance, cache=EmbeddingCache()
        )
        for metric, before, after in report.rows():
            cases.append(case(f"held-out {metric}, {mode} against zero-shot", after, "", before))
        cases.append(case(f"fine-tuning, {mode}", report.seconds, "s"))
    return result("encoders", cases, packages=("numpy", "torch", "transformers", "scikit-learn"))


if __name__ == "__main__":
    sys.exit(main(measure, description=__doc__))
