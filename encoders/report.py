"""How good the relevance model is, before and after fine-tuning, on queries it was not trained on."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoders.features import RelevanceTables
from encoders.measures.comparison import Comparison
from encoders.pairs import PairCounts

__all__ = [
    "RelevanceMetrics",
    "RelevanceReport",
    "judge_scores",
    "judge_tables",
    "named_rows",
    "ndcg_by_query",
]


@dataclass(frozen=True, kw_only=True)
class RelevanceMetrics:
    """Measures of one model on held-out queries; nan where the log has too little to say."""

    click_auc: float
    """Probability that a clicked impression outscores an unclicked one (impressions weighted by examination)."""
    purchase_auc: float
    """The same for purchases among clicks, by the purchase head."""
    ndcg: float
    """NDCG@10 of the items shown for a query, by their debiased click rates; mean over queries."""
    true_ndcg: float = math.nan
    """NDCG@10 of the whole catalogue by true relevance, where the truth is known (a demo store, ratings)."""


@dataclass(frozen=True, kw_only=True)
class RelevanceReport:
    """Before and after fine-tuning, on the same held-out queries."""

    before: RelevanceMetrics
    """The encoder as it came, its cosine calibrated."""
    after: RelevanceMetrics
    """The fine-tuned model."""
    n_queries: int
    """Held-out queries."""
    n_pairs: int
    """Held-out (query, item) pairs."""
    n_train_pairs: int
    """Distinct pairs trained on."""
    seconds: float
    """Time that fine-tuning took."""
    examination: tuple[float, ...] = ()
    """Relative examination of each position, as estimated from the log."""
    known_before: RelevanceMetrics | None = None
    """The encoder as it came, on queries that training saw, by a later part of the log; None where there is none."""
    known_after: RelevanceMetrics | None = None
    """The fine-tuned model on the same."""
    comparison: Comparison | None = None
    """Every measure on the held-out queries, with intervals; None without the library ir-measures."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON (nan as None)."""

        def plain(value: Any) -> Any:
            if isinstance(value, dict):
                return {key: plain(entry) for key, entry in value.items()}
            if isinstance(value, (list, tuple)):
                return [plain(entry) for entry in value]
            return None if isinstance(value, float) and math.isnan(value) else value

        result: dict[str, Any] = plain(asdict(self))
        return result

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> RelevanceReport:
        """The reverse of `as_dict`."""

        def metrics(entry: dict[str, float | None]) -> RelevanceMetrics:
            return RelevanceMetrics(**{k: math.nan if v is None else v for k, v in entry.items()})

        def known(name: str) -> RelevanceMetrics | None:
            return None if values.get(name) is None else metrics(values[name])

        parts = ("before", "after", "known_before", "known_after", "examination", "comparison")
        return cls(
            before=metrics(values["before"]),
            after=metrics(values["after"]),
            known_before=known("known_before"),
            known_after=known("known_after"),
            examination=tuple(values["examination"]),
            comparison=None
            if values.get("comparison") is None
            else Comparison.from_dict(values["comparison"]),
            **{k: v for k, v in values.items() if k not in parts},
        )

    def rows(self) -> list[tuple[str, float, float]]:
        """(measure, before, after) of every measure that could be taken on held-out queries."""
        return _rows(self.before, self.after)

    def known_rows(self) -> list[tuple[str, float, float]]:
        """The same on queries that training saw, by a later part of the log; empty where there is none."""
        if self.known_before is None or self.known_after is None:
            return []
        return _rows(self.known_before, self.known_after)


def named_rows(metrics: RelevanceMetrics) -> list[tuple[str, float]]:
    """(measure, value) of every measure that could be taken, named as in `encoders.measures.comparison`."""
    names = {
        "click_auc": "click AUC",
        "purchase_auc": "purchase AUC (given a click)",
        "ndcg": "NDCG@10 by clicks",
        "true_ndcg": "NDCG@10 by true relevance",
    }
    found = [(label, getattr(metrics, key)) for key, label in names.items()]
    return [row for row in found if not math.isnan(row[1])]


def _rows(before: RelevanceMetrics, after: RelevanceMetrics) -> list[tuple[str, float, float]]:
    later = dict(named_rows(after))
    return [(label, value, later.get(label, math.nan)) for label, value in named_rows(before)]


def judge_tables(
    tables: RelevanceTables,
    held_out: PairCounts,
    *,
    truth: NDArray[np.float32] | None = None,
    queries: NDArray[np.int64] | None = None,
) -> RelevanceMetrics:
    """Measure `tables` on the pairs `held_out`.

    Args:
        tables: The model.
        held_out: Pairs of queries that were not trained on.
        truth: True relevance (Q, I), if known.
        queries: Rows of the held-out queries, for `truth`; those of `held_out` by default.
    """
    click = _logits(tables.click_query, tables.item, held_out)
    buy = _logits(tables.purchase_query, tables.item, held_out)
    true_ndcg = math.nan
    if truth is not None:
        rows = np.unique(held_out.query) if queries is None else queries
        true_ndcg = ndcg_by_query(tables.click_query[rows] @ tables.item.T, truth[rows])
    return judge_scores(click, buy, held_out, true_ndcg=true_ndcg)


def judge_scores(
    click: NDArray[np.float64],
    purchase: NDArray[np.float64],
    held_out: PairCounts,
    *,
    true_ndcg: float = math.nan,
) -> RelevanceMetrics:
    """Measure scores (P,) of clicks and of purchases given a click on the pairs `held_out`."""
    return RelevanceMetrics(
        click_auc=_auc(click, held_out.clicks, held_out.misses),
        purchase_auc=_auc(purchase, held_out.purchases, held_out.clicks - held_out.purchases),
        ndcg=_shown_ndcg(click, held_out),
        true_ndcg=true_ndcg,
    )


def ndcg_by_query(scores: NDArray[np.floating[Any]], truth: NDArray[np.floating[Any]], k: int = 10) -> float:
    """Mean NDCG@k over the queries that have anything relevant; scores and truth are (Q, I)."""
    from sklearn.metrics import ndcg_score

    some = truth.max(axis=1) > 0.0
    if not some.any():
        return math.nan
    return float(ndcg_score(truth[some], scores[some], k=k))


def _logits(query: NDArray[np.float32], item: NDArray[np.float32], pairs: PairCounts) -> NDArray[np.float64]:
    logit: NDArray[np.float64] = np.einsum("pd,pd->p", query[pairs.query], item[pairs.item]).astype(
        np.float64
    )
    return logit


def _auc(score: NDArray[np.float64], hits: NDArray[np.float64], misses: NDArray[np.float64]) -> float:
    from sklearn.metrics import roc_auc_score

    if hits.sum() <= 0.0 or misses.sum() <= 0.0:
        return math.nan
    label = np.concatenate([np.ones_like(score), np.zeros_like(score)])
    weight = np.concatenate([hits, misses])
    return float(roc_auc_score(label, np.concatenate([score, score]), sample_weight=weight))


def _shown_ndcg(score: NDArray[np.float64], pairs: PairCounts) -> float:
    from sklearn.metrics import ndcg_score

    rate = pairs.click_rate()
    found = []
    for query in np.unique(pairs.query):
        rows = pairs.query == query
        if rows.sum() >= 2 and pairs.clicks[rows].sum() > 0.0:
            found.append(float(ndcg_score(rate[rows][None], score[rows][None], k=10)))
    return float(np.mean(found)) if found else math.nan
