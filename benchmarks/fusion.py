"""What numbers, categories, behaviour and image vectors add to text: an ablation, modality by modality.

Demo stores: learned on the first 70 % of the sessions and 70 % of the queries, measured on the other queries in the
last 30 % of the sessions, by the clicks and purchases of the true users and by true relevance. The image vectors are
made: 32 numbers, a random linear view of the hidden style that a picture would show, with as much noise again.

Real products (Icecat, `--icecat FOLDER`): human ratings of 135 queries, five folds by query; price, supplier, colour.

`python -m benchmarks.fusion [--quick] [--icecat FOLDER] [--json FILE]`
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import Case, Options, main, result
from benchmarks.texts.shop import ShopTexts, over_seeds, read_shop
from encoders.features import RelevanceTables
from encoders.fusion import (
    Fold,
    FusionConfig,
    behaviour,
    fit_fusion,
    folds_of,
    read_modalities,
)
from encoders.heads import HeadConfig, fit_projection, zero_shot_heads
from encoders.pairs import PairCounts, concatenate, count_pairs
from encoders.relevance import raw_tables
from encoders.report import judge_tables
from encoders.text import HashEncoder, TextEncoder

if TYPE_CHECKING:
    from behavior.catalog import Catalog

__all__ = ["FusionOptions", "measure"]

_PICKED = 64  # candidates of a query


@dataclass(frozen=True, kw_only=True)
class FusionOptions(Options):
    """Which shops."""

    seeds: int = 3
    """Stores, seeds 0 and up."""
    steps: int = 120
    """Steps of learning the fusion at most."""
    icecat: Path | None = None
    """Folder of querqy/chorus with rated products; without it, demo stores alone."""


def measure(options: FusionOptions) -> dict[str, Any]:
    """All ablations; `--quick`: a tiny store, hashed trigrams, one seed."""
    encoder: TextEncoder = HashEncoder()
    if not options.quick:
        from encoders.bert import BertEncoder

        encoder = BertEncoder()
    found: dict[str, list[float]] = defaultdict(list)
    for seed in range(1 if options.quick else options.seeds):
        _demo(read_shop(encoder, quick=options.quick, seed=seed), options, seed, found)
    cases = _cases(found, "text")
    if options.icecat is not None:
        rated: dict[str, list[float]] = defaultdict(list)
        _icecat(encoder, options, rated)
        cases += _cases(rated, "icecat, text")
    return result("fusion", cases, packages=("numpy", "torch", "scikit-learn"))


def _cases(found: dict[str, list[float]], plain: str) -> list[Case]:
    cases: list[Case] = []
    for name, values in found.items():
        way, _, rest = name.partition(": ")
        cases += over_seeds(name, values, "")
        if way != plain:
            gain = [a - b for a, b in zip(values, found[f"{plain}: {rest}"], strict=True)]
            cases += over_seeds(f"{way}: gain of {rest} over text alone", gain, "")
    return cases


def _ways(names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """All modalities, and all but each."""
    ways = {"all": tuple(names)}
    return ways | {f"all but {name}": tuple(n for n in names if n != name) for name in names}


def _demo(shop: ShopTexts, options: FusionOptions, seed: int, found: dict[str, list[float]]) -> None:
    start = zero_shot_heads(shop.item, shop.query, shop.known)
    settings = HeadConfig(steps=10 if options.quick else 30)
    heads = fit_projection(start, shop.item, shop.query, shop.known, settings, progress=False)
    base = raw_tables(shop.item, shop.query, heads)
    later = concatenate([count_pairs(part, shop.examination) for part in (shop.valid, shop.test)])
    held_out = later.take(np.flatnonzero(shop.out[later.query]))
    static = read_modalities(shop.store.catalog, images=_pictures(shop, seed))
    config = FusionConfig(steps=10 if options.quick else options.steps, seed=seed)
    wanted = ~shop.out & shop.query.any(axis=1)
    folds = folds_of(shop.train, shop.examination, static, queries=wanted, folds=config.folds, seed=seed)
    whole = static.with_behaviour(*behaviour(count_pairs(shop.train, shop.examination), len(shop.items)))
    _judge("text", base, base, shop, held_out, found)
    for way, names in _ways(whole.names).items():
        cut = [replace(fold, modalities=fold.modalities.only(names)) for fold in folds]
        model = fit_fusion(base, shop.query, cut, config, progress=False)
        _judge(way, model.tables(base, shop.query, whole.only(names)), base, shop, held_out, found)
        if way == "all":
            gone = np.random.default_rng(seed).random((len(names), len(shop.items))) < 0.5
            holes = whole.without(dict(zip(names, gone, strict=True)))
            _judge(
                "all, half of everything missing",
                model.tables(base, shop.query, holes),
                base,
                shop,
                held_out,
                found,
            )


def _judge(
    way: str,
    tables: RelevanceTables,
    base: RelevanceTables,
    shop: ShopTexts,
    held_out: PairCounts,
    found: dict[str, list[float]],
) -> None:
    from sklearn.metrics import ndcg_score

    measured = judge_tables(tables, held_out)
    found[f"{way}: click AUC"].append(measured.click_auc)
    found[f"{way}: purchase AUC given a click"].append(measured.purchase_auc)
    found[f"{way}: NDCG@10 by clicks"].append(measured.ndcg)
    # The fused score orders what the text model picks; the text model alone knows items that were never shown.
    score = tables.click_query[shop.unseen] @ tables.item.T  # (n, I)
    first = base.click_query[shop.unseen] @ base.item.T
    score[first < np.partition(first, -_PICKED, axis=1)[:, -_PICKED, None]] = score.min() - 1.0
    truth = shop.store.relevance[shop.unseen]
    values = [ndcg_score(t[None], s[None], k=10, ignore_ties=True) for t, s in zip(truth, score, strict=True)]
    found[f"{way}: NDCG@10 by true relevance, of {_PICKED} picked by text"].append(float(np.mean(values)))


def _pictures(shop: ShopTexts, seed: int) -> NDArray[np.float32]:
    """Vectors (I, 32) such as a picture encoder might give."""
    from store.products import generate_products

    products = generate_products(shop.store.config.n_products, np.random.default_rng([seed, 1]))
    rng = np.random.default_rng([seed, 77])
    view = products.style @ rng.normal(size=(products.style.shape[1], 32)) / np.sqrt(products.style.shape[1])
    return np.asarray(view + rng.normal(size=view.shape) * view.std(), np.float32)


def _icecat(encoder: TextEncoder, options: FusionOptions, found: dict[str, list[float]]) -> None:
    from encoders.cache import EmbeddingCache, encode_cached
    from store import load_icecat

    assert options.icecat is not None
    catalog, judged = load_icecat(options.icecat, progress=False)
    rows = np.unique(catalog.rows(judged["item_id"]))
    catalog = _part(catalog, rows)
    queries = sorted(set(judged["query"]))
    item = encode_cached(encoder, list(catalog.titles), EmbeddingCache(), progress=False)
    query = encode_cached(encoder, queries, EmbeddingCache(), progress=False)
    place = {text: n for n, text in enumerate(queries)}
    asked = judged["query"].map(place).to_numpy(np.int32)
    order = np.lexsort((catalog.rows(judged["item_id"]), asked))
    grade = judged["rating"].to_numpy(np.float64)[order] / 3.0
    # A rating counts as three showings, of which as many were clicked as it has points.
    pairs = PairCounts(
        query=asked[order],
        item=catalog.rows(judged["item_id"])[order],
        impressions=np.full(len(order), 3.0),
        exposure=np.full(len(order), 3.0),
        clicks=3.0 * grade,
        purchases=np.zeros(len(order)),
    )
    modalities = read_modalities(catalog)
    fold_of = np.random.default_rng(0).permutation(len(queries)) % 5
    for fold in range(5):
        train = pairs.take(np.flatnonzero(fold_of[pairs.query] != fold))
        test = pairs.take(np.flatnonzero(fold_of[pairs.query] == fold))
        base = raw_tables(item, query, zero_shot_heads(item, query, train))
        _rated("icecat, text", base, test, found)
        for way, names in _ways(modalities.names).items():
            cut = Fold(pairs=train, modalities=modalities.only(names))
            config = FusionConfig(steps=10 if options.quick else options.steps, seed=fold)
            model = fit_fusion(base, query, [cut], config, progress=False)
            _rated(f"icecat, {way}", model.tables(base, query, cut.modalities), test, found)


def _rated(way: str, tables: RelevanceTables, test: PairCounts, found: dict[str, list[float]]) -> None:
    """NDCG@10 of the rated products of each held-out query; a fold's mean is one value."""
    from sklearn.metrics import ndcg_score

    scores = []
    for q in np.unique(test.query):
        own = np.flatnonzero(test.query == q)
        if len(own) > 1 and test.clicks[own].sum() > 0:
            score = tables.item[test.item[own]] @ tables.click_query[q]
            scores.append(ndcg_score(test.clicks[own][None], score[None], k=10))
    found[f"{way}: NDCG@10 by ratings"].append(float(np.mean(scores)))
    found[f"{way}: AUC by ratings, pooled"].append(judge_tables(tables, test).click_auc)


def _part(catalog: Catalog, rows: NDArray[np.integer[Any]]) -> Catalog:
    return replace(catalog, frame=catalog.frame.iloc[rows].reset_index(drop=True))


if __name__ == "__main__":
    sys.exit(main(measure, FusionOptions, description=__doc__))
