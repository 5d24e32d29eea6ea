"""From a log to a cross-encoder: hold queries out, train, judge on what the log says of them; when to stop."""

from __future__ import annotations

import time
import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from behavior.errors import InputError
from behavior.steps import LoggedSteps
from encoders.bert import BertEncoder
from encoders.finetuning import FinetuneConfig, held_out_queries
from encoders.pairs import PairCounts, count_pairs, examination_by_position
from encoders.report import RelevanceMetrics, RelevanceReport, judge_scores
from encoders.robustness import against
from encoders.text import TextEncoder, catalog_texts
from encoders.tuning.config import TuningConfig
from encoders.tuning.cross_encoder import CrossEncoder, tune_cross_encoder
from encoders.tuning.examples import Examples
from encoders.tuning.trainer import History

if TYPE_CHECKING:
    from behavior.catalog import Catalog

__all__ = ["finetune_cross", "kept_back"]


def finetune_cross(
    encoder: TextEncoder,
    catalog: Catalog,
    train: LoggedSteps,
    config: FinetuneConfig,
    *,
    folder: Path | None = None,
    progress: bool = True,
) -> tuple[CrossEncoder, RelevanceReport, History]:
    """Fine-tune a copy of `encoder` into a cross-encoder on `train`.

    Args:
        encoder: A BERT to start from.
        catalog: The catalogue whose rows `train` refers to.
        train: Steps to learn from, but for a share of their queries.
        config: Its `tuning`, `held_out`, `item_columns` and `seed` are used.
        folder: For TensorBoard and checkpoints; None writes none.
        progress: Show bars.

    Returns:
        The model; its report, before which is the cosine of `encoder`; what happened in training.
    """
    began = time.perf_counter()
    if not isinstance(encoder, BertEncoder):
        raise InputError(
            f"a cross-encoder is made of a BERT, not of a {type(encoder).__name__}",
            where="--encoder",
            mend="minilm, a hub name or a model folder",
        )
    queries, items = list(train.queries), catalog_texts(catalog, config.item_columns)
    counts = count_pairs(train, examination_by_position(train))
    has_text = np.array([bool(text.strip()) for text in queries], np.bool_)
    out = held_out_queries(queries, config.held_out, config.seed)
    known = counts.take(has_text[counts.query] & ~out[counts.query])
    judged = counts.take(out[counts.query])
    settings = replace(config.tuning, seed=config.seed)
    examples, back = kept_back(Examples.from_counts(queries, items, known), settings)
    model, history = tune_cross_encoder(
        encoder,
        examples,
        settings,
        valid=back,
        wrap_loss=against(config.adversary),
        folder=folder,
        progress=progress,
    )
    before, after = (_judge(part, queries, items, judged, progress) for part in (encoder, model))
    report = RelevanceReport(
        before=before,
        after=after,
        n_queries=int(out.sum()),
        n_pairs=judged.n_pairs,
        n_train_pairs=examples.pairs.n_pairs,
        seconds=time.perf_counter() - began,
    )
    return model, report, history


def kept_back(examples: Examples, config: TuningConfig) -> tuple[Examples, Examples | None]:
    """`examples` less those of the queries whose loss says when to stop, and these; all of them and None without.

    A warning says so where the queries kept back have no clicks, or nothing else: they could not say when to stop.
    """
    if config.stop_early == 0.0:
        return examples, None
    # Another seed than that of the report: its queries are not among these examples.
    back = held_out_queries(examples.queries, config.stop_early, config.seed + 1)[examples.pairs.query]
    learned, judged = examples.take(~back), examples.take(back)
    try:
        judged.check()
    except InputError as error:
        warnings.warn(f"training goes on to the end: {error}", UserWarning, stacklevel=2)
        return examples, None
    return learned, judged


def _judge(
    model: BertEncoder | CrossEncoder,
    queries: list[str],
    items: list[str],
    judged: PairCounts,
    progress: bool,
) -> RelevanceMetrics:
    if isinstance(model, CrossEncoder):
        texts = [queries[q] for q in judged.query], [items[i] for i in judged.item]
        logit = model.score(*texts, progress=progress).astype(np.float64)
        return judge_scores(logit[:, 0], logit[:, 1], judged)
    used, place = np.unique(judged.item, return_inverse=True)
    item = model.encode([items[i] for i in used], progress=progress)[place]
    asked, row = np.unique(judged.query, return_inverse=True)
    query = model.encode([queries[q] for q in asked], progress=progress)[row]
    cosine = (query * item).sum(axis=1).astype(np.float64)
    return judge_scores(cosine, cosine, judged)
