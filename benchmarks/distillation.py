"""What a distilled encoder loses in ranking quality, and how many texts it encodes in a second of one core.

The pupil learns from a demo store's item texts and from the queries that are not held out (70 %), never from clicks or
judgements; measured by true relevance with the cosine alone. Speed is in texts per second of processor time, one
thread, so that a busy machine hardly changes it.

`python -m benchmarks.distillation [--quick] [--json FILE]`
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from benchmarks.common import Case, Options, case, main, result
from benchmarks.texts.shop import ShopTexts, over_seeds, query_ndcg, read_shop
from encoders.cache import EmbeddingCache
from encoders.relevance import Heads, raw_tables
from encoders.text import TextEncoder

__all__ = ["DistillationOptions", "measure"]


@dataclass(frozen=True, kw_only=True)
class DistillationOptions(Options):
    """Which pupils."""

    seeds: int = 3
    """Stores, seeds 0 and up."""
    epochs: int = 4
    """Times that the pupil sees every text."""
    timed: int = 256
    """Titles that are timed."""
    layers: bool = False
    """Also a pupil of two layers (minutes a store)."""


def measure(options: DistillationOptions) -> dict[str, Any]:
    """Quality on all stores, speed once; `--quick`: a tiny store, one epoch, one seed."""
    from encoders.bert import BertEncoder
    from encoders.distillation import DistilConfig, distil

    torch.set_num_threads(1)
    teacher = BertEncoder(device="cpu")
    kinds: tuple[Literal["static", "layers"], ...] = ("static", "layers") if options.layers else ("static",)
    found: dict[str, list[float]] = defaultdict(list)
    pupils: dict[str, TextEncoder] = {}
    shop: ShopTexts | None = None
    for seed in range(1 if options.quick else options.seeds):
        shop = read_shop(teacher, quick=options.quick, seed=seed)
        _judge("teacher", shop, teacher, teacher, found)
        for kind in kinds:
            config = DistilConfig(kind=kind, epochs=1 if options.quick else options.epochs, seed=seed)
            queries = [text for text, out in zip(shop.store.queries, shop.out, strict=True) if not out]
            began = time.process_time()
            pupil = distil(teacher, shop.items, queries, config, cache=EmbeddingCache(), progress=False)
            found[f"{kind}: processor time of learning"].append(time.process_time() - began)
            _judge(kind, shop, pupil, pupil, found)
            _judge(f"{kind}, queries by the teacher", shop, pupil, teacher, found)
            pupils[kind] = pupil
    cases: list[Case] = []
    for name, values in found.items():
        cases += over_seeds(name, values, "s" if name.endswith("learning") else "")
        way, _, rest = name.partition(": ")
        if rest.startswith("NDCG") and way != "teacher":
            loss = [a - b for a, b in zip(found[f"teacher: {rest}"], values, strict=True)]
            cases += over_seeds(f"{way}: loss of {rest}", loss, "")
    assert shop is not None
    cases += _speed(teacher, pupils, shop.items[: options.timed])
    return result("distillation", cases, packages=("numpy", "torch", "transformers", "onnxruntime"))


def _judge(
    name: str, shop: ShopTexts, of_items: TextEncoder, of_queries: TextEncoder, found: dict[str, list[float]]
) -> None:
    item, query = shop.item, shop.query
    if name != "teacher":
        item = of_items.encode(shop.items, progress=False)
    if not name.endswith("teacher"):
        query = of_queries.encode(list(shop.store.queries), progress=False)
        query[[not text.strip() for text in shop.store.queries]] = 0.0
    plain = Heads.plain(item.shape[1], click_scale=10.0, purchase_scale=0.0, bias=(0.0, 0.0))
    tables = raw_tables(item, query, plain)
    known = np.flatnonzero(~shop.out & np.array([bool(text) for text in shop.store.queries]))
    for label, rows in (("queries of the log", known), ("held-out queries", shop.unseen)):
        score = query_ndcg(tables, shop.store.relevance, rows)
        found[f"{name}: NDCG@10, {label}"].append(float(score.mean()))


def _speed(teacher: Any, pupils: dict[str, TextEncoder], texts: list[str]) -> list[Case]:
    from encoders.exporting.export import export_onnx
    from encoders.exporting.onnx_encoder import OnnxEncoder

    with tempfile.TemporaryDirectory() as folder:
        export_onnx(teacher, Path(folder) / "int8", precision="int8")
        encoders = {
            "teacher, torch float32": teacher,
            "teacher, int8": OnnxEncoder(Path(folder) / "int8"),
            **pupils,
        }
        rate = {name: _rate(encoder, texts) for name, encoder in encoders.items()}
    reference = rate["teacher, int8"]
    return [
        case(f"{name}: texts per processor second", value, "texts/s", reference)
        for name, value in rate.items()
    ]


def _rate(encoder: TextEncoder, texts: list[str]) -> float:
    """The best of three: what a warm encoder does."""
    encoder.encode(texts[:32], progress=False)
    best = 0.0
    for _ in range(3):
        began = time.process_time()
        encoder.encode(texts, progress=False)
        best = max(best, len(texts) / (time.process_time() - began))
    return best


if __name__ == "__main__":
    sys.exit(main(measure, DistillationOptions, description=__doc__))
