"""From a log to a cross-encoder: hold queries out, train, judge on what the log says of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from behavior.errors import InputError
from behavior.steps import LoggedSteps
from encoders.bert import BertEncoder
from encoders.finetuning import FinetuneConfig, held_out_queries
from encoders.pairs import PairCounts, count_pairs, examination_by_position
from encoders.report import RelevanceMetrics, judge_scores
from encoders.text import TextEncoder, catalog_texts
from encoders.tuning.cross_encoder import CrossEncoder, tune_cross_encoder
from encoders.tuning.examples import Examples
from encoders.tuning.trainer import History

if TYPE_CHECKING:
    from behavior.catalog import Catalog

__all__ = ["finetune_cross"]


def finetune_cross(
    encoder: TextEncoder,
    catalog: Catalog,
    train: LoggedSteps,
    config: FinetuneConfig,
    *,
    folder: Path | None = None,
    progress: bool = True,
) -> tuple[CrossEncoder, RelevanceMetrics, RelevanceMetrics, History]:
    """Fine-tune a copy of `encoder` into a cross-encoder on `train`.

    Args:
        encoder: A BERT to start from.
        catalog: The catalogue whose rows `train` refers to.
        train: Steps to learn from, but for a share of their queries.
        config: Its `tuning`, `held_out`, `item_columns` and `seed` are used.
        folder: For TensorBoard and checkpoints; None writes none.
        progress: Show bars.

    Returns:
        The model; measures of the cosine of `encoder` and of the model on held-out queries; what happened in training.
    """
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
    examples = Examples.from_counts(queries, items, known)
    model, history = tune_cross_encoder(encoder, examples, config.tuning, folder=folder, progress=progress)
    before, after = (_judge(part, queries, items, judged, progress) for part in (encoder, model))
    return model, before, after, history


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
