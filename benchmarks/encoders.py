"""Speed of encoding (torch, ONNX float32 and int8), caching and searching; what export and fine-tuning are worth.

Encoding is compared per second of processor time on one thread, the three in turn within one run, the best round of
each: ratios hold on a busy machine, absolute figures do not.

`python -m benchmarks.encoders [--quick] [--no-finetuning] [--json FILE]`
"""

from __future__ import annotations

import copy
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.common import Case, Options, case, main, result
from encoders.batching import padding_share
from encoders.cache import EmbeddingCache, encode_cached
from encoders.candidates import ExactSource
from encoders.finetuning import FinetuneConfig, finetune
from encoders.text import HashEncoder, TextEncoder, catalog_texts

if TYPE_CHECKING:
    from encoders.bert import BertEncoder
    from encoders.exporting.onnx_encoder import OnnxEncoder

__all__ = ["EncoderOptions", "measure"]

_ROUNDS = 3


@dataclass(frozen=True, kw_only=True)
class EncoderOptions(Options):
    """What to measure."""

    finetuning: bool = True
    """Fine-tune on the demo store as well: minutes."""


def measure(options: EncoderOptions) -> dict[str, Any]:
    """All cases; `--quick`: a small store, few texts, and no training of the BERT's weights."""
    import torch

    from encoders.bert import BertEncoder
    from encoders.exporting.export import export_onnx
    from store import StoreConfig, open_store

    torch.set_num_threads(1)
    quick = options.quick
    shop = open_store(StoreConfig.tiny() if quick else StoreConfig())
    texts = catalog_texts(shop.catalog)[: 96 if quick else 512]
    bert = BertEncoder()
    with tempfile.TemporaryDirectory() as folder:
        plain = export_onnx(bert, Path(folder) / "float32", "float32")
        small = export_onnx(bert, Path(folder) / "int8", "int8")
        cases = _speed(texts, bert, plain, small)
        cases += _searching(texts, quick)
        cases += _losses(shop, bert, plain, small)
    if options.finetuning:
        cases += _finetuning(shop, bert, quick)
    return result(
        "encoders", cases, packages=("numpy", "torch", "transformers", "scikit-learn", "onnxruntime")
    )


def _speed(texts: Sequence[str], bert: BertEncoder, plain: OnnxEncoder, small: OnnxEncoder) -> list[Case]:
    encoders: dict[str, BertEncoder | OnnxEncoder] = {
        "torch float32": bert,
        "ONNX float32": plain,
        "ONNX int8": small,
    }
    best = dict.fromkeys(encoders, np.inf)
    for _ in range(_ROUNDS):
        for name, encoder in encoders.items():
            began = time.process_time()
            encoder.encode(texts, progress=False)
            best[name] = min(best[name], time.process_time() - began)
    torch_rate = len(texts) / best["torch float32"]
    cases = [
        case(f"encoding per CPU-second, {name}", len(texts) / seconds, "texts/CPU-s", torch_rate)
        for name, seconds in best.items()
    ]
    lengths = [len(row) for row in bert.tokenizer(list(texts))["input_ids"]]
    longest = max(lengths)
    cases.append(case("word pieces per text", float(np.mean(lengths)), "pieces"))
    # Against every batch padded to the longest text.
    whole = 1.0 - sum(lengths) / (longest * len(lengths))
    cases.append(case("padding computed, sorted by length", padding_share(lengths, 64), "share", whole))
    sizes = [sum(file.stat().st_size for file in entry.folder.iterdir()) for entry in (small, plain)]
    cases.append(case("size on disk, ONNX int8", sizes[0] / 2**20, "MiB", sizes[1] / 2**20))
    return cases


def _searching(texts: Sequence[str], quick: bool) -> list[Case]:
    """The cache and exact search."""
    with tempfile.TemporaryDirectory() as folder:
        cache, encoder = EmbeddingCache(folder), HashEncoder()
        encode_cached(encoder, texts, cache)
        seconds = _seconds(lambda: encode_cached(encoder, texts, cache))
    rng = np.random.default_rng(0)
    item = rng.normal(size=(10_000 if quick else 100_000, 385)).astype(np.float32)
    query = rng.normal(size=(64, 385)).astype(np.float32)
    search = _seconds(lambda: ExactSource(item).search(query, 50))
    return [
        case("cached encoding", len(texts) / seconds, "texts/s"),
        case(f"exact search, top 50 of {len(item):,}", len(query) / search, "queries/s"),
    ]


def _losses(shop: Any, bert: BertEncoder, plain: OnnxEncoder, small: OnnxEncoder) -> list[Case]:
    """Scores and rankings of the zero-shot model, exported against original, by true relevance."""
    from behavior import split_steps_by_time
    from encoders.exporting.check import check_export
    from encoders.pairs import count_pairs, examination_by_position

    train, valid, test = split_steps_by_time(shop.log.to_steps(shop.catalog, shop.queries))
    cache = EmbeddingCache()
    config = FinetuneConfig(mode="none")
    model, _ = finetune(bert, shop.catalog, train, valid, config, cache=cache, progress=False)
    original = model.tables(shop.catalog, shop.queries, progress=False)
    pairs = count_pairs(test, examination_by_position(train))
    cases = []
    for name, encoder in (("float32", plain), ("int8", small)):
        exported = copy.copy(model)
        exported.encoder = encoder
        tables = exported.tables(shop.catalog, shop.queries, progress=False)
        check = check_export(original, tables, pairs, truth=shop.relevance)
        cases += [case(f"ONNX {name}: {row}", value, "") for row, value in check.rows()]
    return cases


def _finetuning(shop: Any, bert: BertEncoder, quick: bool) -> list[Case]:
    from behavior import split_steps_by_time

    train, valid, _ = split_steps_by_time(shop.log.to_steps(shop.catalog, shop.queries))
    cases = []
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
    return cases


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(main(measure, EncoderOptions, description=__doc__))
