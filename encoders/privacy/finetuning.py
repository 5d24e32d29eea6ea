"""From a log to a relevance model with a promise to everyone in the log."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from behavior.steps import LoggedSteps
from encoders.cache import EmbeddingCache, encode_cached
from encoders.privacy.private import PrivacyConfig, PrivacyReport, new_adapter, train_adapter
from encoders.privacy.users import pairs_by_user
from encoders.relevance import RelevanceModel
from encoders.text import TextEncoder, catalog_texts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from behavior.catalog import Catalog

__all__ = ["finetune_private"]


def finetune_private(
    encoder: TextEncoder,
    catalog: Catalog,
    train: LoggedSteps,
    config: PrivacyConfig | None = None,
    *,
    item_columns: Sequence[str] = ("title", "category"),
    cache: EmbeddingCache | None = None,
    progress: bool = True,
) -> tuple[RelevanceModel, PrivacyReport]:
    """Learn the layers on top of `encoder` from `train`, whose people `config.epsilon` protects.

    All that the log decides is learned in private: the pull of positions and the level of clicks too. The empty query
    has no text to learn with; its items are all alike.

    Args:
        encoder: The text encoder; it stays as it is.
        catalog: The catalogue, taken as public.
        train: Steps to learn from.
        config: The promise, and how to train.
        item_columns: Catalogue columns whose texts stand for an item.
        cache: Where embeddings are kept.
        progress: Show bars.

    Returns:
        The model, and what was promised.
    """
    config = config or PrivacyConfig()
    item = encode_cached(encoder, catalog_texts(catalog, item_columns), cache, progress=progress)
    query = encode_cached(encoder, list(train.queries), cache, progress=progress)
    has_text = np.array([bool(text.strip()) for text in train.queries], np.bool_)
    pairs = pairs_by_user(train, queries=has_text, max_pairs=config.max_pairs, seed=config.seed)
    adapter = new_adapter(item, train.slate_size, config)
    report = train_adapter(adapter, pairs, item, query, config, progress=progress)
    model = RelevanceModel(encoder, adapter.heads(), item_columns=item_columns, cache=cache)
    return model, report
