"""What each way of learning relevance is worth on the demo store: before against after, by truth and by later clicks.

`python -m benchmarks.relevance [--quick] [--json FILE]`; `--write-docs` runs nothing and writes the tables of
docs/fine-tuning.md from the result that is kept.

Every model learns from the training part of the log. *New queries* are held out of training; *queries of the log* are
not. NDCG@10 by truth ranks the whole catalogue; AUCs are of the last part of the log, of clicks on what was shown and
of purchases among clicks. Differences are over queries, with 95 % intervals that resample queries. Two questions are
asked apart:

- which way (rows of the first table): the rows that train weights of the BERT are judged by its own scores, without
  layers on top, and read queries with their spelling put right, as the default does; the cross-encoder re-orders the 20
  items that zero-shot puts first so;
- what debiasing is worth: the same learner, from the same vectors, on counts taken naively, by inverse propensity and
  by the click model, from clicks alone (`shown_gain` 0: what the shop chose to show is not used, as that is what the
  naive count confuses with relevance).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from behavior.steps import LoggedSteps
from benchmarks.common import Options, case, main, result
from benchmarks.speed.docs import fill_blocks, read_kept
from encoders.cache import EmbeddingCache, encode_cached
from encoders.distillation import DistilConfig, distil
from encoders.features import RelevanceTables
from encoders.finetuning import FinetuneConfig, held_out_queries
from encoders.heads import HeadConfig, calibrate, fit_projection, zero_shot_heads
from encoders.known_queries import KnownQueriesConfig, fit_known_queries
from encoders.pairs import PairCounts, count_pairs, examination_by_position
from encoders.relevance import Heads, raw_tables, tables_from_vectors
from encoders.report import judge_tables
from encoders.spelling import read_as
from encoders.text import TextEncoder, catalog_texts
from encoders.tuning.config import TuningConfig
from encoders.tuning.debiasing import Debias, debiased_counts
from encoders.tuning.examples import Examples

if TYPE_CHECKING:
    from encoders.bert import BertEncoder

__all__ = ["RelevanceOptions", "measure", "tables_of"]

Floats = NDArray[np.float32]
PerQuery = dict[str, NDArray[np.float64]]
"""By place (new queries, queries of the log), a figure of each query."""
_DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "fine-tuning.md"
_RERANKED = 20
_CLICKS_ALONE = KnownQueriesConfig(shown_gain=0.0, prior=2.0, ranking_weight=3.0, unshown_weight=0.3)


@dataclass(frozen=True, kw_only=True)
class RelevanceOptions(Options):
    """How much to train."""

    max_pairs: int = 3_000
    """Pairs that go through the BERT in each row that trains its weights."""
    write_docs: bool = False
    """Run nothing; write the tables of docs/fine-tuning.md from the result that is kept."""


@dataclass(frozen=True, kw_only=True)
class Demo:
    """The demo store: public log and texts, and the truth to judge by."""

    shop: Any
    train: LoggedSteps
    valid: LoggedSteps
    later: PairCounts  # of the last part of the log, which nothing was fitted to
    item: Floats  # (I, D)
    query: Floats  # (Q, D), of the queries as they are written
    encoder: BertEncoder
    cache: EmbeddingCache
    read: list[str]  # (Q,), the queries with their spelling put right
    new: NDArray[np.int64]  # rows of the queries held out of training
    known: NDArray[np.int64]  # rows of the others that have a text


def measure(options: RelevanceOptions) -> dict[str, Any]:
    """All rows. `--quick`: the tiny store, without training weights of the BERT."""
    if options.write_docs:
        return _write_docs()
    demo = _open(quick=options.quick)
    rows = _ways(demo, options)
    bias = _debiasing(demo)
    cases = [
        case(f"{row['model']}: NDCG@10 by truth, {where}", row[where]["value"], "NDCG@10")
        for row in rows
        for where in ("new queries", "queries of the log")
        if row.get(where)
    ]
    return result("relevance", cases, packages=("numpy", "torch", "transformers")) | {
        "models": rows,
        "debiasing": bias,
        "queries": {"new": len(demo.new), "of the log": len(demo.known)},
    }


def _open(*, quick: bool) -> Demo:
    from behavior import split_steps_by_time
    from encoders.bert import BertEncoder
    from store import StoreConfig, open_store

    shop = open_store(StoreConfig.tiny() if quick else StoreConfig())
    steps = shop.log.to_steps(shop.catalog, shop.queries)
    train, valid, test = split_steps_by_time(steps)
    encoder, cache = BertEncoder(), EmbeddingCache()
    item, query = (
        encode_cached(encoder, part, cache) for part in (catalog_texts(shop.catalog), shop.queries)
    )
    query = query * np.array([[bool(text.strip())] for text in shop.queries], np.float32)
    out = held_out_queries(shop.queries, FinetuneConfig().held_out, 0)
    later = count_pairs(test, examination_by_position(train))
    return Demo(
        shop=shop,
        train=train,
        valid=valid,
        later=later.take(np.asarray(query[later.query].any(axis=1), np.bool_)),
        item=item,
        query=query,
        encoder=encoder,
        cache=cache,
        read=read_as(encoder, shop.catalog, FinetuneConfig().item_columns, shop.queries),
        new=np.flatnonzero(out),
        known=np.flatnonzero(~out & query.any(axis=1)),
    )


def _ways(demo: Demo, options: RelevanceOptions) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    values: dict[str, PerQuery] = {}

    def add(name: str, tables: RelevanceTables, seconds: float) -> None:
        values[name] = _by_truth(tables, demo)
        rows.append(_row(name, values, tables, demo) | {"seconds": seconds})

    began = time.perf_counter()
    counts = debiased_counts(demo.train, "click_model")
    counts = counts.take(np.isin(counts.query, demo.known))
    heads = zero_shot_heads(demo.item, demo.query, counts)
    plain = tables_from_vectors(demo.item, demo.query, heads)
    add("zero-shot", plain, time.perf_counter() - began)
    began = time.perf_counter()
    add("layers on top", _layers(demo, demo.item, demo.query, counts), time.perf_counter() - began)
    began = time.perf_counter()
    query = _encoded(demo, demo.encoder, demo.read)
    spelt = _layers(demo, demo.item, query, counts)
    add("layers on top, spelling put right", spelt, time.perf_counter() - began)
    default = _layers(demo, demo.item, query, counts, known=True)
    add("the same and known queries (the default)", default, time.perf_counter() - began)
    began = time.perf_counter()
    # Held-out queries teach the pupil nothing, not even by their texts.
    items, seen = catalog_texts(demo.shop.catalog), [demo.read[q] for q in demo.known]
    pupil = distil(
        demo.encoder, items, seen, DistilConfig(epochs=1 if options.quick else 5), cache=demo.cache
    )
    small = _encoded(demo, pupil, items)
    taught = _layers(demo, small, query, counts, known=True)
    add("the default, items by a distilled encoder", taught, time.perf_counter() - began)
    began = time.perf_counter()
    taught = _layers(demo, small, _encoded(demo, pupil, demo.read), counts, known=True)
    add("the default, items and queries by it", taught, time.perf_counter() - began)
    if options.quick:
        return rows
    tower = TuningConfig(max_pairs=options.max_pairs)
    spelt_heads = zero_shot_heads(demo.item, query, counts)
    tuned: dict[str, TuningConfig] = {
        "last 2 layers": replace(tower, way="last", learning_rate=1e-4),
        "all weights": tower,
        "all weights, multi-task (ESMM, learned weights of tasks)": replace(
            tower, purchase="entire_space", task_weights="uncertainty"
        ),
        "LoRA": replace(tower, way="lora", learning_rate=10.0 * tower.learning_rate),
    }
    for name, config in tuned.items():
        began = time.perf_counter()
        vectors, heads = _tuned(demo, counts, spelt_heads, config)
        # The order is that of the cosine, which the ranking loss trained; the heads only calibrate it.
        own = tables_from_vectors(*vectors, calibrate(heads, *vectors, counts))
        add(f"BERT tuned: {name}", own, time.perf_counter() - began)
        if config.way == "last":
            whole = _layers(demo, *vectors, counts, known=True)
            add("the same, layers on top and known queries", whole, time.perf_counter() - began)
    began = time.perf_counter()
    first = tables_from_vectors(demo.item, query, spelt_heads)
    add("zero-shot, spelling put right", first, time.perf_counter() - began)
    began = time.perf_counter()
    values["cross-encoder"] = _cross(demo, counts, replace(tower, learning_rate=1e-4), first)
    row = {"model": "cross-encoder on its first 20", "seconds": time.perf_counter() - began}
    rows.append(row | {"new queries": _judged(values["cross-encoder"], values["zero-shot"], "new queries")})
    return rows


def _encoded(demo: Demo, encoder: TextEncoder, texts: Sequence[str]) -> Floats:
    """Vectors (n, D), zeros for empty texts."""
    vectors = encode_cached(encoder, list(texts), demo.cache)
    return vectors * np.array([[bool(text.strip())] for text in texts], np.float32)


def _layers(
    demo: Demo, item: Floats, query: Floats, counts: PairCounts, *, known: bool = False
) -> RelevanceTables:
    """Layers learned on top of vectors, and vectors of the log's own queries where `known`."""
    learned = fit_projection(zero_shot_heads(item, query, counts), item, query, counts, HeadConfig())
    if not known:
        return raw_tables(item, query, learned)
    own = fit_known_queries(learned, item, query, demo.shop.queries, counts, KnownQueriesConfig())
    return raw_tables(item, query, learned, own, demo.shop.queries)


def _examples(demo: Demo, counts: PairCounts) -> Examples:
    return Examples.from_counts(demo.read, catalog_texts(demo.shop.catalog), counts)


def _tuned(
    demo: Demo, counts: PairCounts, heads: Heads, config: TuningConfig
) -> tuple[tuple[Floats, Floats], Heads]:
    """Vectors of items and queries by a tuned BERT, and its heads."""
    from encoders.bert import BertEncoder
    from encoders.tuning.bi_encoder import tune_bi_encoder

    examples = _examples(demo, counts)
    found = tune_bi_encoder(BertEncoder(), examples, config, heads=heads)
    item, query = (found.encoder.encode(list(part)) for part in (examples.items, examples.queries))
    return (item, query * demo.query.any(axis=1, keepdims=True)), found.heads


def _cross(demo: Demo, counts: PairCounts, config: TuningConfig, first: RelevanceTables) -> PerQuery:
    """NDCG@10 of new queries whose first items the cross-encoder re-orders."""
    from encoders.bert import BertEncoder
    from encoders.tuning.cross_encoder import tune_cross_encoder

    examples = _examples(demo, counts)
    cross, _ = tune_cross_encoder(BertEncoder(), examples, config)
    score = first.click_query[demo.new] @ first.item.T  # (Q', I)
    top = np.argsort(-score, axis=1, kind="stable")[:, :_RERANKED]
    texts = [
        [examples.queries[q] for q in demo.new for _ in range(_RERANKED)],
        [examples.items[i] for i in top.ravel()],
    ]
    logit = cross.score(*texts)[:, 0].reshape(top.shape)
    # Above all others, in the order of the cross-encoder.
    np.put_along_axis(score, top, 1e3 + logit, axis=1)
    return {"new queries": _ndcg(score, demo.shop.relevance[demo.new])}


def _by_truth(tables: RelevanceTables, demo: Demo) -> PerQuery:
    """NDCG@10 of each query, of the whole catalogue by truth."""
    return {
        where: _ndcg(tables.click_query[queries] @ tables.item.T, demo.shop.relevance[queries])
        for where, queries in (("new queries", demo.new), ("queries of the log", demo.known))
    }


def _ndcg(score: Floats, truth: Floats) -> NDArray[np.float64]:
    from sklearn.metrics import ndcg_score

    return np.array(
        [ndcg_score(t[None], s[None], k=10) for t, s in zip(truth, score, strict=True) if t.max() > 0.0]
    )


def _judged(values: PerQuery, base: PerQuery, where: str, name: str = "zero-shot") -> dict[str, Any]:
    return {
        "value": float(values[where].mean()),
        f"against {name}": _difference(values[where], base[where]),
    }


def _row(
    name: str,
    values: dict[str, PerQuery],
    tables: RelevanceTables,
    demo: Demo,
    base: str = "zero-shot",
) -> dict[str, Any]:
    row: dict[str, Any] = {"model": name}
    for where, queries in (("new queries", demo.new), ("queries of the log", demo.known)):
        judged = judge_tables(tables, demo.later.take(np.isin(demo.later.query, queries)))
        row[where] = _judged(values[name], values[base], where, base) | {
            "click AUC": judged.click_auc,
            "purchase AUC": judged.purchase_auc,
        }
    return row


def _difference(a: NDArray[np.float64], b: NDArray[np.float64], n: int = 4_000) -> list[float]:
    """Mean difference over queries and its 95 % interval."""
    gap = a - b
    draws = np.random.default_rng(0).integers(0, len(gap), (n, len(gap)))
    low, high = np.quantile(gap[draws].mean(axis=1), [0.025, 0.975])
    return [float(gap.mean()), float(low), float(high)]


def _debiasing(demo: Demo) -> list[dict[str, Any]]:
    """Known-query vectors on the zero-shot model, by how the log was counted."""
    rows: list[dict[str, Any]] = []
    values: dict[str, PerQuery] = {}
    ways: tuple[Debias, ...] = ("none", "propensity", "click_model")
    for way in ways:
        counts = debiased_counts(demo.train, way)
        counts = counts.take(np.isin(counts.query, demo.known))
        heads = zero_shot_heads(demo.item, demo.query, counts)
        known = fit_known_queries(heads, demo.item, demo.query, demo.shop.queries, counts, _CLICKS_ALONE)
        tables = tables_from_vectors(demo.item, demo.query, heads, known, demo.shop.queries)
        name = {"none": "naive", "propensity": "inverse propensity", "click_model": "click model"}[way]
        values[name] = _by_truth(tables, demo)
        rows.append(_row(name, values, tables, demo, base="naive"))
    return rows


def tables_of(found: dict[str, Any]) -> dict[str, str]:
    """Both tables as Markdown."""

    def gap(entry: dict[str, Any], base: str) -> str:
        value, low, high = entry[f"against {base}"]
        return f"{value:+.3f} ({low:+.3f} to {high:+.3f})"

    places = ("new queries", "queries of the log")
    ways = [
        "| model | new queries | against zero-shot | queries of the log | against zero-shot "
        "| click AUC | purchase AUC | s |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in found["models"]:
        cells = [row["model"]]
        for where in places:
            judged = row.get(where)
            cells += [f"{judged['value']:.3f}", gap(judged, "zero-shot")] if judged else ["", ""]
        of_log = row.get("queries of the log")
        cells += [f"{of_log['click AUC']:.3f}", f"{of_log['purchase AUC']:.3f}"] if of_log else ["", ""]
        cells.append(f"{row['seconds']:.0f}")
        ways.append("| " + " | ".join(cells) + " |")
    bias = ["| counts | queries of the log | against naive |", "|---|---:|---:|"]
    for row in found["debiasing"]:
        entry = row["queries of the log"]
        bias.append(f"| {row['model']} | {entry['value']:.3f} | {gap(entry, 'naive')} |")
    return {"relevance": "\n".join(ways), "debiasing": "\n".join(bias)}


def _write_docs() -> dict[str, Any]:
    found = read_kept(
        "relevance", mend="python -m benchmarks.relevance --json benchmarks/results/relevance.json"
    )
    fill_blocks(_DOCUMENT, tables_of(found))
    return found


if __name__ == "__main__":
    sys.exit(main(measure, RelevanceOptions, description=__doc__))
