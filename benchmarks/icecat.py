"""What fine-tuning is worth on real products with human ratings, by ratings and by clicks alone.

`python -m benchmarks.icecat --folder ../shared/data/chorus_icecat [--quick] [--json FILE]`; `--bert-pairs 1000` trains
the weights of the BERT instead (minutes); `--write-docs` runs nothing and writes the tables of docs/fine-tuning.md from
the results that are kept.

3,668 ratings (0 to 3) of 135 queries. Queries are split five-fold; a model never sees a query it is judged on.
Hyper-parameters are chosen within the other four folds, by two inner folds. Intervals (95 %) resample queries. AUC
tells rated above 0 from rated 0, within each query; NDCG@10 has gains 2^rating - 1.

*By clicks*: a store is stocked with the rated products, its simulated users click according to the ratings (and their
own taste, the price, where an item stands), and the models see the log alone; the ratings only judge. Settings are
chosen by the likelihood of clicks on held-out queries. Three ways: rates of clicks taken for ratings, all clicks
explained by relevance, and by relevance beside an appeal of each item. Repeated with other stores and folds.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError
from benchmarks.common import Options, case, main, result
from benchmarks.speed.docs import RESULTS, fill_blocks
from benchmarks.texts.icecat import SCORES, Pairs, World, counts_of, per_query, read_icecat, traits_of
from benchmarks.texts.icecat_fits import START, BertByRatings, ByClicks, ByGains, cross_fit
from encoders.tuning.click_ranker import ClickRankerConfig
from encoders.tuning.config import TuningConfig
from encoders.tuning.vector_ranker import VectorRankerConfig

__all__ = ["IcecatOptions", "measure", "seeds_table", "table_of"]

Floats = NDArray[np.float32]
Figures = dict[str, dict[str, NDArray[np.float64]]]
WEIGHTS = tuple(VectorRankerConfig(rank=0, ridge=ridge) for ridge in (0.003, 0.03))
METRICS = (
    VectorRankerConfig(ridge=0.003),
    VectorRankerConfig(ridge=0.03),
    VectorRankerConfig(ridge=0.01, ranking="softmax"),
)
CLICKS = tuple(ClickRankerConfig(ridge=ridge) for ridge in (0.003, 0.01, 0.03))
_TITLE, _TEXT = "zero-shot, title", "zero-shot, text"
_BY_CLICKS = "metric beside appeal, by clicks"
_DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "fine-tuning.md"
_KEPT = {"vectors": RESULTS / "icecat.json", "bert": RESULTS / "icecat_bert.json"}
_FOLDS = 5


@dataclass(frozen=True, kw_only=True)
class IcecatOptions(Options):
    """Where the data is, and what is learned from it."""

    folder: Path = Path("../shared/data/chorus_icecat")
    """The Icecat files of querqy/chorus: 1.json.zip .. 4.json.zip and Broad_Query_Set_rated.csv."""
    sessions: int = 24_000
    """Sessions of the log that the click models learn from."""
    seeds: int = 3
    """Stores (and splits of the queries) that learning from clicks is repeated with."""
    bert_pairs: int = 0
    """Train the weights of the BERT on so many pairs a fold (25 a second on one core), and nothing else."""
    write_docs: bool = False
    """Run nothing; write the tables of docs/fine-tuning.md from the results that are kept."""


def measure(options: IcecatOptions) -> dict[str, Any]:
    """Zero-shot, weights, metric; by ratings and by clicks. `--quick`: small grids, a small log, one store."""
    if options.write_docs:
        return _write_docs()
    world, rated, store = read_icecat(options.folder)
    found = _zero_shot(world, rated)
    if options.bert_pairs:
        return _measure_bert(world, rated, found, options)
    cut = 1 if options.quick else None
    if options.quick:
        options = replace(options, sessions=600, seeds=1)
    fold = _folds(world, 0)
    chosen: dict[str, list[str]] = {}

    def learn(name: str, learner: Any, grid: tuple[Any, ...]) -> None:
        found[name], picks = cross_fit(learner, rated, fold, grid[:cut], name)
        chosen[name] = [_settings(pick) for pick in picks]

    ratings = ByGains(world=world, learn=rated)
    learn("weights, by ratings", ratings, WEIGHTS)
    learn("metric, by ratings", ratings, METRICS)
    shop = store(options.sessions, 0)
    counts = counts_of(shop)
    rates = Pairs(
        query=counts.query.astype(np.int64),
        item=counts.item.astype(np.int64),
        gain=counts.click_rate() * (counts.clicks > 0),
    )
    learn("metric, by rates of clicks as if ratings", ByGains(world=world, learn=rates), METRICS[1:2])
    clicks = ByClicks(world=world, counts=counts, traits=traits_of(shop))
    learn("metric, by clicks", clicks, tuple(replace(config, appeal=False) for config in CLICKS))
    learn("weights beside appeal, by clicks", clicks, tuple(replace(config, rank=0) for config in CLICKS))
    learn(_BY_CLICKS, clicks, CLICKS)
    figures = {name: per_query(rated, score) for name, score in found.items()}
    again = [_again(figures, 0, len(counts.query), float(counts.clicks.sum()))]
    for seed in range(1, options.seeds):
        shop = store(options.sessions, seed)
        counts = counts_of(shop)
        clicks = ByClicks(world=world, counts=counts, traits=traits_of(shop))
        score, _ = cross_fit(clicks, rated, _folds(world, seed), CLICKS[:cut], f"seed {seed}")
        repeated = figures | {_BY_CLICKS: per_query(rated, score)}
        again.append(_again(repeated, seed, len(counts.query), float(counts.clicks.sum())))
    return _result(figures, world, rated) | {
        "sessions": options.sessions,
        "chosen in inner folds": chosen,
        "stores": again,
    }


def _measure_bert(
    world: World, rated: Pairs, found: dict[str, Floats], options: IcecatOptions
) -> dict[str, Any]:
    """The BERT's own weights, by ratings of titles, on `bert_pairs` pairs a fold."""
    from time import perf_counter

    from encoders.bert import BertEncoder

    shared = TuningConfig(
        max_pairs=options.bert_pairs, queries_per_batch=4, purchase="none", pointwise_weight=0.0, keep=0.5
    )
    ways = {
        "BERT by LoRA, titles, by ratings": replace(shared, way="lora", learning_rate=1e-3),
        "BERT's last 2 layers, titles, by ratings": replace(shared, way="last", learning_rate=1e-4),
    }
    learner = BertByRatings(world=world, rated=rated, encoder=BertEncoder())
    seconds = {}
    for name, config in ways.items():
        begin = perf_counter()
        found[name], _ = cross_fit(learner, rated, _folds(world, 0), (config,), name)
        seconds[name] = perf_counter() - begin
    figures = {name: per_query(rated, score) for name, score in found.items()}
    return _result(figures, world, rated) | {
        "pairs of training a fold": options.bert_pairs,
        "seconds": seconds,
    }


def _folds(world: World, seed: int) -> NDArray[np.int64]:
    return np.random.default_rng(seed).permutation(len(world.query)) % _FOLDS


def _zero_shot(world: World, rated: Pairs) -> dict[str, Floats]:
    plain = {name: world.scores[rated.query, rated.item, f] for f, name in enumerate(SCORES)}
    return {
        _TITLE: plain["cosine, title"],
        _TEXT: plain["cosine, text"],
        "zero-shot, both": world.scores_of(rated) @ START,
        "BM25, text": plain["BM25, text"],
    }


def _settings(config: VectorRankerConfig | ClickRankerConfig) -> str:
    if isinstance(config, ClickRankerConfig):
        return f"ridge {config.ridge}"
    return f"{config.ranking}, ridge {config.ridge}"


def _result(figures: Figures, world: World, rated: Pairs) -> dict[str, Any]:
    rows = [_row(name, figures) for name in figures]
    cases = [case(f"{row['model']}: {m}", row[m]["value"], m) for row in rows for m in ("AUC", "NDCG@10")]
    return result("icecat", cases, packages=("numpy", "torch", "transformers", "scikit-learn")) | {
        "pairs": len(rated.query),
        "queries": len(world.query),
        "models": rows,
    }


def _again(figures: Figures, seed: int, pairs: int, clicks: float) -> dict[str, Any]:
    return {"seed": seed, "pairs shown": pairs, "clicks": clicks} | _row(_BY_CLICKS, figures)


def _row(name: str, figures: Figures) -> dict[str, Any]:
    row: dict[str, Any] = {"model": name}
    for measure_name, values in figures[name].items():
        row[measure_name] = {"value": float(np.nanmean(values))}
        for base in (_TITLE, _TEXT):
            row[measure_name][f"against {base}"] = _difference(values, figures[base][measure_name])
    return row


def _difference(a: NDArray[np.float64], b: NDArray[np.float64], n: int = 4_000) -> list[float]:
    """Mean difference over queries and its 95 % interval."""
    gap = (a - b)[~np.isnan(a - b)]
    draws = np.random.default_rng(0).integers(0, len(gap), (n, len(gap)))
    low, high = np.quantile(gap[draws].mean(axis=1), [0.025, 0.975])
    return [float(gap.mean()), float(low), float(high)]


def table_of(rows: list[dict[str, Any]]) -> str:
    """The models as Markdown."""
    return _table(rows, "model")


def seeds_table(rows: list[dict[str, Any]]) -> str:
    """Learning from clicks in each store, as Markdown."""
    named = [row | {"model": f"{row['seed']}: {row['clicks']:,.0f} clicks"} for row in rows]
    return _table(named, "store and split")


def _table(rows: list[dict[str, Any]], first: str) -> str:
    lines = [
        f"| {first} | AUC | against zero-shot on titles | against zero-shot on texts "
        "| NDCG@10 | against titles | against texts |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        cells = [row["model"]]
        for name in ("AUC", "NDCG@10"):
            cells.append(f"{row[name]['value']:.3f}")
            for base in (_TITLE, _TEXT):
                gap, low, high = row[name][f"against {base}"]
                cells.append("" if base == row["model"] else f"{gap:+.3f} ({low:+.3f} to {high:+.3f})")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _write_docs() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for part, kept in _KEPT.items():
        if kept.is_file():
            found[part] = json.loads(kept.read_text(encoding="utf-8"))
        elif part == "vectors":
            raise InputError(
                "there is no result to write from",
                where=str(kept),
                mend=f"python -m benchmarks.icecat --json benchmarks/results/{kept.name}",
            )
    rows = list(found["vectors"]["models"])
    known = {row["model"] for row in rows}
    # The BERT's own weights are a run of their own, which may not have been made.
    rows += [row for row in found.get("bert", {"models": []})["models"] if row["model"] not in known]
    blocks = {"icecat": table_of(rows), "icecat-stores": seeds_table(found["vectors"]["stores"])}
    fill_blocks(_DOCUMENT, blocks)
    return found


if __name__ == "__main__":
    sys.exit(main(measure, IcecatOptions, description=__doc__))
