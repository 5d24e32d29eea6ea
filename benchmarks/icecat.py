"""What fine-tuning is worth on real products with human ratings, by ratings and by clicks alone.

`python -m benchmarks.icecat --folder ../shared/data/chorus_icecat [--quick] [--json FILE]`; `--write-docs` runs nothing
and writes the table of docs/fine-tuning.md from the result that is kept.

3,668 ratings (0 to 3) of 135 queries. Queries are split five-fold; a model never sees a query it is judged on.
Hyper-parameters are chosen within the other four folds, by two inner folds. Intervals (95 %) resample queries. AUC
tells rated above 0 from rated 0, within each query; NDCG@10 has gains 2^rating - 1.

*By clicks*: a store is stocked with the rated products, its simulated users click according to the ratings (and their
own taste, the price, where an item stands), and the models see the log alone, debiased by the click model; the ratings
only judge. Hyper-parameters are then chosen by clicks too.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from behavior.errors import InputError
from benchmarks.common import Options, case, main, result
from benchmarks.speed.docs import RESULTS, fill_blocks
from benchmarks.texts.icecat import SCORES, Pairs, World, clicks_of, read_icecat
from encoders.tuning.vector_ranker import VectorRankerConfig, fit_vector_ranker

__all__ = ["IcecatOptions", "cross_fit", "measure", "per_query", "table_of"]

Floats = NDArray[np.float32]
START = np.array([1.0, 1.0, 0.0, 0.0, 0.0], np.float32)
"""Both cosines, equally: what is there before anything is learned."""
WEIGHTS = tuple(VectorRankerConfig(rank=0, ridge=ridge) for ridge in (0.003, 0.03))
METRICS = (
    VectorRankerConfig(ridge=0.003),
    VectorRankerConfig(ridge=0.03),
    VectorRankerConfig(ridge=0.01, ranking="softmax"),
)
_DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "fine-tuning.md"
_FOLDS, _INNER = 5, 2


@dataclass(frozen=True, kw_only=True)
class IcecatOptions(Options):
    """Where the data is."""

    folder: Path = Path("../shared/data/chorus_icecat")
    """The Icecat files of querqy/chorus: 1.json.zip .. 4.json.zip and Broad_Query_Set_rated.csv."""
    sessions: int = 6_000
    """Sessions of the log that the click models learn from."""
    write_docs: bool = False
    """Run nothing; write the table of docs/fine-tuning.md from the result that is kept."""


def measure(options: IcecatOptions) -> dict[str, Any]:
    """Zero-shot, weights, metric; by ratings and by clicks. `--quick`: small grids, a small log."""
    if options.write_docs:
        return _write_docs()
    world, rated, store = read_icecat(options.folder)
    if options.quick:
        options = replace(options, sessions=600)
    clicked = clicks_of(store(options.sessions))
    fold = np.random.default_rng(0).permutation(len(world.query)) % _FOLDS
    plain = {name: world.scores[rated.query, rated.item, f] for f, name in enumerate(SCORES)}
    found: dict[str, Floats] = {
        "zero-shot, title": plain["cosine, title"],
        "zero-shot, text": plain["cosine, text"],
        "zero-shot, both": world.scores_of(rated) @ START,
        "BM25, text": plain["BM25, text"],
    }
    chosen: dict[str, list[str]] = {}
    grids = (
        {"weights": WEIGHTS[:1], "metric": METRICS[:1]}
        if options.quick
        else {"weights": WEIGHTS, "metric": METRICS}
    )
    for source, learn in (("ratings", rated), ("clicks", clicked)):
        for name, grid in grids.items():
            title = f"{name}, by {source}"
            found[title], picks = cross_fit(world, learn, rated, fold, grid, title)
            chosen[title] = [f"{c.ranking}, ridge {c.ridge}" for c in picks]
    figures = {name: per_query(rated, score) for name, score in found.items()}
    rows = [_row(name, figures) for name in figures]
    cases = [case(f"{row['model']}: {m}", row[m]["value"], m) for row in rows for m in ("AUC", "NDCG@10")]
    return result("icecat", cases, packages=("numpy", "torch", "transformers", "scikit-learn")) | {
        "pairs": len(rated.query),
        "queries": len(world.query),
        "clicked pairs": len(clicked.query),
        "sessions": options.sessions,
        "models": rows,
        "chosen in inner folds": chosen,
    }


def cross_fit(
    world: World,
    learn: Pairs,
    judge: Pairs,
    fold: NDArray[np.int64],
    grid: tuple[VectorRankerConfig, ...],
    title: str,
) -> tuple[Floats, list[VectorRankerConfig]]:
    """Scores (P,) of `judge`, each by a model that saw no pair of its query, and the settings of each fold.

    Args:
        world: Vectors and scores.
        learn: Pairs with the gains to learn from, and to choose the settings by.
        judge: Pairs to score.
        fold: (Q,) fold of each query.
        grid: Settings to choose from, by NDCG@10 in inner folds.
        title: Of the bar.
    """
    out = np.zeros(len(judge.query), np.float32)
    picks = []
    for f in tqdm(range(int(fold.max()) + 1), desc=title, leave=False, disable=None):
        rest = learn.take(fold[learn.query] != f)
        queries = np.unique(rest.query)
        inner = np.full(len(fold), -1)
        inner[queries] = np.random.default_rng(f).permutation(len(queries)) % _INNER
        values = []
        for config in grid if len(grid) > 1 else ():
            score = np.zeros(len(rest.query), np.float32)
            for g in range(_INNER):
                away = inner[rest.query] == g
                score[away] = _fit_and_score(world, rest.take(~away), rest.take(away), config)
            values.append(np.nanmean(per_query(rest, score)["NDCG@10"]))
        best = grid[int(np.argmax(values))] if values else grid[0]
        picks.append(best)
        rows = fold[judge.query] == f
        out[rows] = _fit_and_score(world, rest, judge.take(rows), best)
    return out, picks


def _fit_and_score(world: World, learn: Pairs, judge: Pairs, config: VectorRankerConfig) -> Floats:
    ranker = fit_vector_ranker(
        world.query,
        world.views,
        world.scores_of(learn),
        learn.query,
        learn.item,
        learn.gain,
        config,
        start=START,
    )
    return ranker.score(world.query, world.views, world.scores_of(judge), judge.query, judge.item)


def per_query(pairs: Pairs, score: NDArray[np.floating]) -> dict[str, NDArray[np.float64]]:
    """AUC and NDCG@10 of each query (Q',); nan where a query has but one kind of item, or nothing good."""
    from sklearn.metrics import ndcg_score, roc_auc_score

    queries = np.unique(pairs.query)
    auc, ndcg = np.full(len(queries), np.nan), np.full(len(queries), np.nan)
    for n, q in enumerate(queries):
        rows = pairs.query == q
        gain, s = pairs.gain[rows], score[rows]
        good = gain > 0.0
        if 0 < good.sum() < len(good):
            auc[n] = roc_auc_score(good, s)
        if good.any() and len(good) > 1:
            ndcg[n] = ndcg_score(gain[None], s[None], k=10)
    return {"AUC": auc, "NDCG@10": ndcg}


def _row(name: str, figures: dict[str, dict[str, NDArray[np.float64]]]) -> dict[str, Any]:
    row: dict[str, Any] = {"model": name}
    for measure_name, values in figures[name].items():
        row[measure_name] = {"value": float(np.nanmean(values))}
        for base in ("zero-shot, title", "zero-shot, text"):
            row[measure_name][f"against {base}"] = _difference(values, figures[base][measure_name])
    return row


def _difference(a: NDArray[np.float64], b: NDArray[np.float64], n: int = 4_000) -> list[float]:
    """Mean difference over queries and its 95 % interval."""
    gap = (a - b)[~np.isnan(a - b)]
    draws = np.random.default_rng(0).integers(0, len(gap), (n, len(gap)))
    low, high = np.quantile(gap[draws].mean(axis=1), [0.025, 0.975])
    return [float(gap.mean()), float(low), float(high)]


def table_of(found: dict[str, Any]) -> str:
    """The models as Markdown."""
    bases = ("zero-shot, title", "zero-shot, text")
    lines = [
        "| model | AUC | against zero-shot on titles | against zero-shot on texts "
        "| NDCG@10 | against titles | against texts |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for row in found["models"]:
        cells = [row["model"]]
        for name in ("AUC", "NDCG@10"):
            cells.append(f"{row[name]['value']:.3f}")
            for base in bases:
                gap, low, high = row[name][f"against {base}"]
                cells.append("" if base == row["model"] else f"{gap:+.3f} ({low:+.3f} to {high:+.3f})")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _write_docs() -> dict[str, Any]:
    kept = RESULTS / "icecat.json"
    if not kept.is_file():
        raise InputError(
            "there is no result to write from",
            where=str(kept),
            mend="python -m benchmarks.icecat --json benchmarks/results/icecat.json",
        )
    found: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
    fill_blocks(_DOCUMENT, {"icecat": table_of(found)})
    return found


if __name__ == "__main__":
    sys.exit(main(measure, IcecatOptions, description=__doc__))
