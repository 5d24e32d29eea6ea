"""Speed of encoding, caching and searching, and what fine-tuning on the demo store's log is worth.

`python -m benchmarks.encoders [--quick] [--json FILE]`
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from encoders.cache import EmbeddingCache, encode_cached
from encoders.candidates import ExactSource
from encoders.finetuning import FinetuneConfig, finetune
from encoders.text import HashEncoder, TextEncoder, catalog_texts

__all__ = ["main", "run"]


def _case(name: str, value: float, unit: str, reference: float | None = None) -> dict[str, Any]:
    return {
        "case": name,
        "value": value,
        "unit": unit,
        "reference": reference,
        "ratio": None if reference is None else value / reference,
    }


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def run(*, quick: bool) -> dict[str, Any]:
    """All cases; `quick` takes a small store, few texts, and leaves out the training of the BERT's weights."""
    from behavior import split_steps_by_time
    from encoders.bert import BertEncoder
    from store import StoreConfig, open_store

    shop = open_store(StoreConfig.tiny() if quick else StoreConfig())
    steps = shop.log.to_steps(shop.catalog, shop.queries)
    train, valid, _ = split_steps_by_time(steps)
    texts = catalog_texts(shop.catalog)[: 128 if quick else 1024]
    bert = BertEncoder()
    encode = _seconds(lambda: bert.encode(texts, progress=False))
    cases = [_case("BERT encoding (MiniLM)", len(texts) / encode, "texts/s")]
    with tempfile.TemporaryDirectory() as folder:
        cache = EmbeddingCache(folder)
        encode_cached(HashEncoder(), texts, cache)
        cases.append(
            _case(
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
    cases.append(_case(f"exact search, top 50 of {len(item):,}", len(query) / seconds, "queries/s"))
    runs: list[tuple[str, TextEncoder, FinetuneConfig]] = [("heads", bert, FinetuneConfig(mode="heads"))]
    if not quick:
        runs.append(("full", bert, FinetuneConfig(mode="full")))
    for mode, encoder, config in runs:
        _, report = finetune(
            encoder, shop.catalog, train, valid, config, truth=shop.relevance, cache=EmbeddingCache()
        )
        for measure, before, after in report.rows():
            cases.append(_case(f"held-out {measure}, {mode} against zero-shot", after, "", before))
        cases.append(_case(f"fine-tuning, {mode}", report.seconds, "s"))
    names = ("numpy", "torch", "transformers", "scikit-learn")
    return {
        "benchmark": "encoders",
        "machine": f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}",
        "versions": {name: version(name) for name in names},
        "cases": cases,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the cases; write them as JSON where asked."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.encoders", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="a small store, no training of the BERT's weights"
    )
    parser.add_argument("--json", type=Path, help="write the result to this file")
    options = parser.parse_args(arguments)
    result = run(quick=options.quick)
    for case in result["cases"]:
        reference = "" if case["reference"] is None else f"  (reference {case['reference']:.3f})"
        print(f"{case['case']:<60} {case['value']:>12.3f} {case['unit']}{reference}")
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
