"""Hard negatives: items that look right for a query and were never clicked for it, by words or by vectors."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError
from encoders.text import TextEncoder
from encoders.tuning.config import TuningConfig
from encoders.tuning.examples import Examples

__all__ = ["bm25_negatives", "hard_negatives", "mined_negatives"]


def hard_negatives(
    encoder: TextEncoder, examples: Examples, config: TuningConfig, *, progress: bool = True
) -> NDArray[np.int32] | None:
    """The hard negatives (Q, n) that `config` asks for, -1 where there are none; None if it asks for none."""
    found = []
    if config.bm25_negatives:
        found.append(bm25_negatives(examples, config.bm25_negatives))
    if config.mined_negatives:
        query = encoder.encode(examples.queries, progress=progress)
        item = encoder.encode(examples.items, progress=progress)
        found.append(mined_negatives(examples, query, item, config.mined_negatives))
    return np.concatenate(found, axis=1) if found else None


def bm25_negatives(examples: Examples, n: int) -> NDArray[np.int32]:
    """The `n` items (Q, n) that share most words with each query, by BM25, and are no positives of it."""
    if importlib.util.find_spec("bm25s") is None:
        raise InputError(
            "negatives by BM25 need the library bm25s",
            where="TuningConfig.bm25_negatives",
            mend="pip install -e '.[negatives]', or mined_negatives in their place",
        )
    import bm25s

    def words(texts: Sequence[str]) -> list[list[str]]:
        found: list[list[str]] = bm25s.tokenize(
            list(texts), stopwords=None, return_ids=False, show_progress=False
        )
        return found

    index = bm25s.BM25()
    index.index(words(examples.items), show_progress=False)
    positives = _positives(examples)
    out = np.full((len(examples.queries), n), -1, np.int32)
    for q, asked in enumerate(words(examples.queries)):
        if asked:
            out[q] = _best(index.get_scores(asked), positives[q], n)
    return out


def mined_negatives(
    examples: Examples, query: NDArray[np.float32], item: NDArray[np.float32], n: int, *, skip: float = 0.95
) -> NDArray[np.int32]:
    """The `n` items (Q, n) that an encoder puts closest to each query and that are no positives of it.

    Items closer than `skip` times the closest positive are left out: they are more likely unlabelled positives than
    negatives (Moreira et al., "NV-Retriever: improving text embedding models with effective hard-negative mining",
    arXiv 2407.15831, the positive-aware percentage).

    Args:
        examples: What is positive.
        query: (Q, D) unit vectors.
        item: (I, D) unit vectors.
        n: How many a query.
        skip: Share of the closest positive's cosine above which an item is left out.
    """
    positives = _positives(examples)
    out = np.full((len(examples.queries), n), -1, np.int32)
    for q, known in enumerate(positives):
        cosine = item @ query[q]
        if known.size:
            cosine = np.where(cosine > skip * cosine[known].max(), 0.0, cosine)
            out[q] = _best(cosine, known, n)
    return out


def _positives(examples: Examples) -> list[NDArray[np.int64]]:
    pairs = examples.pairs
    liked = np.flatnonzero(examples.gain > 0.0)
    at = np.searchsorted(pairs.query[liked], np.arange(len(examples.queries) + 1))
    rows = pairs.item[liked].astype(np.int64)
    return [rows[start:end] for start, end in pairwise(at)]


def _best(score: NDArray[np.floating], positives: NDArray[np.int64], n: int) -> NDArray[np.int32]:
    """The `n` best items above 0 that are no positives, -1 where there are fewer."""
    left = np.array(score, np.float64)
    left[positives] = 0.0
    top = np.argsort(-left, kind="stable")[:n]
    found = np.full(n, -1, np.int32)
    found[: top.size] = np.where(left[top] > 0.0, top, -1)
    return found
