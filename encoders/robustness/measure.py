"""The figure: ranking quality on changed texts beside that on the texts as they are, query by query."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoders.cache import EmbeddingCache, encode_cached
from encoders.features import RelevanceTables
from encoders.pairs import PairCounts
from encoders.relevance import Heads, KnownQueries, raw_tables
from encoders.report import judge_tables
from encoders.robustness.changes import Perturbation, drop_words, misspell, perturb, stuff, swap_synonyms
from encoders.text import TextEncoder

__all__ = ["RobustnessConfig", "RobustnessReport", "RobustnessRow", "measure_robustness"]


@dataclass(frozen=True, kw_only=True)
class RobustnessConfig:
    """Which changes are tried."""

    misspelled_words: int = 1
    """Words of a query with a slip of the finger."""
    dropped_words: int = 1
    """Words of a query left out."""
    stuffed_words: int = 8
    """Words of other people's queries at the end of a stuffed title."""
    stuffed_share: float = 0.1
    """Share of the items whose sellers stuff."""
    k: int = 10
    """Places of the ranking that count."""
    seed: int = 0
    """Seed of the changes."""

    def perturbations(
        self, queries: Sequence[str], synonyms: Mapping[str, Sequence[str]] | None
    ) -> list[Perturbation]:
        """The changes that `queries` (whose words sellers stuff with) and `synonyms` allow."""
        words = sorted({word for query in queries for word in query.split() if len(word) > 2})
        found = [misspell(self.misspelled_words), drop_words(self.dropped_words)]
        if synonyms:
            found.insert(1, swap_synonyms(synonyms))
        if words:
            found.append(stuff(words, min(self.stuffed_words, len(words))))
        return found


@dataclass(frozen=True, kw_only=True)
class RobustnessRow:
    """One change and what it does; nan where the data cannot say."""

    change: str
    """Its name."""
    n_queries: int
    """Queries that are measured: those whose own text changes, or all where items change."""
    ndcg_before: float
    """Mean NDCG@k of these queries on the texts as they are."""
    ndcg_after: float
    """The same on the changed texts."""
    loss: float
    """`ndcg_before - ndcg_after`, mean over queries."""
    loss_low: float
    """Lower end of its 95 % interval over queries (t, paired)."""
    loss_high: float
    """Upper end."""
    click_auc_before: float
    """Click AUC of these queries' logged pairs on the texts as they are."""
    click_auc_after: float
    """The same on the changed texts."""
    lift: float
    """Stuffing: places in the top k that the stuffed items hold, over those that they held before; else nan."""


@dataclass(frozen=True, kw_only=True)
class RobustnessReport:
    """All changes."""

    rows: tuple[RobustnessRow, ...]
    """One per change."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON (nan as None)."""
        return {
            "rows": [
                {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in asdict(row).items()}
                for row in self.rows
            ]
        }


def measure_robustness(
    encoder: TextEncoder,
    heads: Heads,
    items: Sequence[str],
    queries: Sequence[str],
    *,
    truth: NDArray[np.float32] | None = None,
    pairs: PairCounts | None = None,
    rows: NDArray[np.int64] | None = None,
    synonyms: Mapping[str, Sequence[str]] | None = None,
    config: RobustnessConfig | None = None,
    known: KnownQueries | None = None,
    read: Callable[[list[str]], list[str]] | None = None,
    cache: EmbeddingCache | None = None,
    progress: bool = True,
) -> RobustnessReport:
    """What each change of the texts costs.

    Args:
        encoder: Text to vectors.
        heads: The layers on top of it.
        items: Item texts (I).
        queries: Query texts (Q).
        truth: True relevance (Q, I), for NDCG.
        pairs: Logged pairs, for the click AUC; for NDCG too where the truth is unknown.
        rows: Queries to measure; by default all that have a text.
        synonyms: Word -> what people say in its place; without them that change is left out.
        config: How much of each change.
        known: Offsets of queries that the log knows; a changed query is one that it does not know.
        read: What is done with queries before they are encoded: a corrector of spelling, say.
        cache: Where vectors are kept.
        progress: Show bars.
    """
    config = config or RobustnessConfig()
    if rows is None:
        rows = np.flatnonzero([bool(text.strip()) for text in queries])

    def tables(new_items: Sequence[str], new_queries: Sequence[str]) -> RelevanceTables:
        item = encode_cached(encoder, new_items, cache, progress=progress)
        asked = list(new_queries) if read is None else read(list(new_queries))
        query = encode_cached(encoder, asked, cache, progress=progress)
        query[[not text.strip() for text in asked]] = 0.0
        return raw_tables(item, query, heads, known, new_queries)

    plain = tables(items, queries)
    before = _ndcg(plain, rows, truth, pairs, config.k)
    found = []
    for change in config.perturbations([queries[row] for row in rows], synonyms):
        measured, lift = rows, math.nan
        if change.side == "query":
            changed = perturb(queries, change, seed=config.seed)
            measured = rows[[changed[row] != queries[row] for row in rows]]
            after = tables(items, changed)
        else:
            stuffed = _chosen(items, config.stuffed_share, config.seed)
            texts = perturb(items, change, seed=config.seed)
            after = tables([t if s else i for t, i, s in zip(texts, items, stuffed, strict=True)], queries)
            lift = _places(after, rows, stuffed, config.k) / max(_places(plain, rows, stuffed, config.k), 1.0)
        if measured.size == 0:
            continue
        found.append(_row(change.name, measured, before, after, plain, truth, pairs, lift, config.k))
    return RobustnessReport(rows=tuple(found))


def _row(
    name: str,
    measured: NDArray[np.int64],
    before: dict[int, float],
    after: RelevanceTables,
    plain: RelevanceTables,
    truth: NDArray[np.float32] | None,
    pairs: PairCounts | None,
    lift: float,
    k: int,
) -> RobustnessRow:
    from scipy.stats import ttest_1samp

    later = _ndcg(after, measured, truth, pairs, k)
    old = np.array([before[row] for row in later])
    new = np.array(list(later.values()))
    low = high = math.nan
    if len(new) > 1:
        low, high = ttest_1samp(old - new, 0.0).confidence_interval(0.95)
    auc = [math.nan, math.nan]
    if pairs is not None:
        own = pairs.take(np.isin(pairs.query, measured))
        auc = [judge_tables(given, own).click_auc for given in (plain, after)] if own.n_pairs else auc
    return RobustnessRow(
        change=name,
        n_queries=len(new),
        ndcg_before=float(old.mean()) if len(old) else math.nan,
        ndcg_after=float(new.mean()) if len(new) else math.nan,
        loss=float((old - new).mean()) if len(new) else math.nan,
        loss_low=float(low),
        loss_high=float(high),
        click_auc_before=auc[0],
        click_auc_after=auc[1],
        lift=lift,
    )


def _ndcg(
    tables: RelevanceTables,
    rows: NDArray[np.int64],
    truth: NDArray[np.float32] | None,
    pairs: PairCounts | None,
    k: int,
) -> dict[int, float]:
    """NDCG@k by query: of the whole catalogue by `truth`, else of the logged pairs by debiased click rates."""
    from sklearn.metrics import ndcg_score

    if truth is not None:
        return {
            int(row): float(
                ndcg_score(
                    truth[row][None], (tables.item @ tables.click_query[row])[None], k=k, ignore_ties=True
                )
            )
            for row in rows
            if truth[row].max() > 0.0
        }
    if pairs is None:
        return {}
    rate, out = pairs.click_rate(), {}
    for row in rows:
        own = np.flatnonzero(pairs.query == row)
        if len(own) >= 2 and pairs.clicks[own].sum() > 0.0:
            score = tables.item[pairs.item[own]] @ tables.click_query[row]
            out[int(row)] = float(ndcg_score(rate[own][None], score[None], k=k))
    return out


def _chosen(items: Sequence[str], share: float, seed: int) -> NDArray[np.bool_]:
    """Which items (I,) are stuffed: by their text alone."""
    marks = [hashlib.sha256(f"{seed}\0stuffed\0{t}".encode("utf-8", "surrogatepass")).digest() for t in items]
    return np.array([int.from_bytes(mark[:8], "big") / 2.0**64 < share for mark in marks], np.bool_)


def _places(tables: RelevanceTables, rows: NDArray[np.int64], chosen: NDArray[np.bool_], k: int) -> float:
    """Places in the top k of `rows` that items `chosen` (I,) hold."""
    logit = tables.click_query[rows] @ tables.item.T  # (R, I)
    k = min(k, logit.shape[1])
    best = np.argpartition(-logit, k - 1, axis=1)[:, :k]
    return float(chosen[best].sum())
