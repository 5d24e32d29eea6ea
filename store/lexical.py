"""The shop's own search engine: BM25 over titles and descriptions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["bm25_scores"]


def bm25_scores(
    texts: Sequence[str], queries: Sequence[str], *, k1: float = 1.2, b: float = 0.6
) -> NDArray[np.float32]:
    """Okapi BM25 of every text for every query, shape (Q, I).

    Source: Robertson and Zaragoza, "The probabilistic relevance framework: BM25 and beyond", 2009.
    """
    from sklearn.feature_extraction.text import CountVectorizer

    counter = CountVectorizer(token_pattern=r"(?u)\b\w+\b", dtype=np.float64)
    counts = counter.fit_transform(texts).tocsr()  # (I, V)
    length = np.asarray(counts.sum(axis=1)).ravel()
    spread = k1 * (1.0 - b + b * length / max(length.mean(), 1e-9))
    present = np.asarray((counts > 0).sum(axis=0)).ravel()
    idf = np.log1p((len(texts) - present + 0.5) / (present + 0.5))
    weighted = counts.tocoo()
    weighted.data = idf[weighted.col] * weighted.data * (k1 + 1.0) / (weighted.data + spread[weighted.row])
    asked = (counter.transform(queries) > 0).astype(np.float64)  # (Q, V)
    return np.asarray((asked @ weighted.tocsr().T).todense(), np.float32)
