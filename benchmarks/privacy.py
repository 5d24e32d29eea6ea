"""What privacy costs: fine-tuning with a promise to every person, and with logs that stay in their shops.

The same low-rank adapter on demo stores, measured by true relevance on the queries that were learned from and on
held-out ones: without a promise; with epsilon 8 and 2 per person (Opacus); averaged over shops that keep their logs
(Flower, where the Python of its environment is given). Beside them the layers that `finetune` learns on all pairs.

`python -m benchmarks.privacy [--quick] [--flower PYTHON] [--json FILE]`
"""

from __future__ import annotations

import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import Case, Options, main, result
from benchmarks.texts.shop import ShopTexts, over_seeds, query_ndcg, read_shop
from encoders.heads import HeadConfig, fit_projection, zero_shot_heads
from encoders.privacy import (
    FederatedConfig,
    PrivacyConfig,
    federate,
    new_adapter,
    pairs_by_user,
    shops_of,
    train_adapter,
)
from encoders.relevance import Heads, raw_tables
from encoders.text import HashEncoder, TextEncoder

__all__ = ["PrivacyOptions", "measure"]


@dataclass(frozen=True, kw_only=True)
class PrivacyOptions(Options):
    """Which promises."""

    seeds: int = 3
    """Stores, seeds 0 and up."""
    epsilons: tuple[float, ...] = (8.0, 2.0)
    """Promises."""
    shops: int = 3
    """Shops that the people are dealt to."""
    rounds: int = 5
    """Federated rounds."""
    flower: Path | None = None
    """The Python of an environment with `flwr[simulation]`; without it nothing is federated."""


def measure(options: PrivacyOptions) -> dict[str, Any]:
    """All ways on all stores; `--quick`: a tiny store, hashed trigrams, one seed."""
    encoder: TextEncoder = HashEncoder()
    if not options.quick:
        from encoders.bert import BertEncoder

        encoder = BertEncoder()
    found: dict[str, list[float]] = defaultdict(list)
    for seed in range(1 if options.quick else options.seeds):
        shop = read_shop(encoder, quick=options.quick, seed=seed)
        start = zero_shot_heads(shop.item, shop.query, shop.known)
        _judge("zero-shot", shop, start, found)
        settings = HeadConfig(steps=10) if options.quick else HeadConfig()
        layers = fit_projection(start, shop.item, shop.query, shop.known, settings, progress=False)
        _judge("layers on top", shop, layers, found)
        plain = PrivacyConfig(epsilon=None, seed=seed)
        if options.quick:
            plain = replace(plain, width=16, epochs=4.0)
        wanted = ~shop.out & np.array([bool(text) for text in shop.store.queries])
        pairs = pairs_by_user(shop.train, queries=wanted, max_pairs=plain.max_pairs, seed=seed)
        for epsilon in (None, *options.epsilons):
            config = replace(plain, epsilon=epsilon)
            adapter = new_adapter(shop.item, shop.train.slate_size, config)
            report = train_adapter(adapter, pairs, shop.item, shop.query, config, progress=False)
            name = "no promise" if epsilon is None else f"epsilon {epsilon:g}"
            _judge(name, shop, adapter.heads(), found)
            if report.epsilon is not None:
                found[f"{name}: epsilon spent, by the accountant"].append(report.epsilon)
                found[f"{name}: delta"].append(report.delta)
                found[f"{name}: noise multiplier"].append(report.noise_multiplier)
                found[f"{name}: people"].append(report.n_users)
        if options.flower is not None:
            local = FederatedConfig(rounds=options.rounds)
            local = replace(local, local=replace(local.local, seed=seed, width=plain.width))
            shops = shops_of(pairs, shop.query, options.shops, seed=seed)
            with tempfile.TemporaryDirectory() as folder:
                adapter = federate(
                    shops,
                    shop.item,
                    shop.train.slate_size,
                    local,
                    folder=Path(folder),
                    python=options.flower,
                )
            _judge(f"{options.shops} shops, {options.rounds} rounds", shop, adapter.heads(), found)
    cases: list[Case] = []
    for name, values in found.items():
        cases += over_seeds(name, values, "")
        way, _, rest = name.partition(": ")
        if rest.startswith("NDCG") and way != "zero-shot":
            gain = [a - b for a, b in zip(values, found[f"zero-shot: {rest}"], strict=True)]
            cases += over_seeds(f"{way}: gain of {rest} over zero-shot", gain, "")
    return result("privacy", cases, packages=("numpy", "torch", "opacus"))


def _judge(name: str, shop: ShopTexts, heads: Heads, found: dict[str, list[float]]) -> None:
    tables = raw_tables(shop.item, shop.query, heads)
    known = np.flatnonzero(~shop.out & np.array([bool(text) for text in shop.store.queries]))
    for label, rows in (("queries learned from", known), ("held-out queries", shop.unseen)):
        found[f"{name}: NDCG@10, {label}"].append(
            float(query_ndcg(tables, shop.store.relevance, rows).mean())
        )


if __name__ == "__main__":
    sys.exit(main(measure, PrivacyOptions, description=__doc__))
