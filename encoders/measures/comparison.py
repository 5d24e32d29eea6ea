"""Two relevance models on the same held-out pairs: every measure, before and after, with intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoders.candidates import ExactSource
from encoders.features import RelevanceTables
from encoders.measures.clusters import ClusterAuc, ClusterCalibration, ReliabilityBin
from encoders.measures.ranking import as_mapping, judge_rankings
from encoders.pairs import PairCounts, merged

__all__ = [
    "Comparison",
    "Estimate",
    "MeasureRow",
    "Resample",
    "compare_tables",
    "draw_queries",
    "resampled",
    "traffic_groups",
]

_DRAWS, _LEVEL = 1_000, 0.95
_POOL = 100  # depth of the candidate source whose recall is told
_RELEVANT = 0.5  # of true relevance: what counts as relevant where a measure asks yes or no

Resample = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""Query weights (S, Q) -> values (S,)."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A figure with its 95 % bootstrap interval over queries; nan where it stands on a single query."""

    value: float
    low: float
    high: float

    def told(self) -> str:
        """A difference and its interval, in words for a table."""
        interval = "no interval" if math.isnan(self.low) else f"{self.low:+.3f}, {self.high:+.3f}"
        return f"{self.value:+.3f} [{interval}]"


@dataclass(frozen=True, kw_only=True)
class MeasureRow:
    """One measure of two models on one group of queries."""

    measure: str
    group: str
    """'all', 'head', 'torso' or 'tail' queries, or 'new items'."""
    before: Estimate
    after: Estimate
    difference: Estimate
    """After less before, on the same resamples."""
    n_queries: int
    """Queries that the measure could be taken on."""

    def cells(self) -> tuple[str, str, str, str]:
        """Queries, before, after, and the difference with its interval, in words for a table."""
        return (
            str(self.n_queries),
            f"{self.before.value:.3f}",
            f"{self.after.value:.3f}",
            self.difference.told(),
        )


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What `compare_tables` finds."""

    rows: tuple[MeasureRow, ...]
    reliability_before: tuple[ReliabilityBin, ...]
    """Clicks foretold and seen, examined impressions in ten bins of like weight."""
    reliability_after: tuple[ReliabilityBin, ...]

    def row(self, measure: str, group: str = "all") -> MeasureRow | None:
        """The row of a measure and group; None where it could not be taken."""
        return next((r for r in self.rows if r.measure == measure and r.group == group), None)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON (nan as None)."""
        return {
            "rows": [_plain(asdict(row)) for row in self.rows],
            "reliability_before": [asdict(entry) for entry in self.reliability_before],
            "reliability_after": [asdict(entry) for entry in self.reliability_after],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Comparison:
        """The reverse of `as_dict`."""

        def estimate(entry: Mapping[str, float | None]) -> Estimate:
            return Estimate(**{k: math.nan if v is None else v for k, v in entry.items()})

        rows = tuple(
            MeasureRow(
                measure=row["measure"],
                group=row["group"],
                before=estimate(row["before"]),
                after=estimate(row["after"]),
                difference=estimate(row["difference"]),
                n_queries=row["n_queries"],
            )
            for row in values["rows"]
        )
        bins = (
            tuple(ReliabilityBin(**entry) for entry in values[name])
            for name in ("reliability_before", "reliability_after")
        )
        before, after = bins
        return cls(rows=rows, reliability_before=before, reliability_after=after)


def compare_tables(
    before: RelevanceTables,
    after: RelevanceTables,
    held_out: PairCounts,
    *,
    truth: NDArray[np.float32] | None = None,
    group_of: Mapping[str, NDArray[np.bool_]] | None = None,
    new_items: NDArray[np.bool_] | None = None,
    seed: int = 0,
) -> Comparison:
    """Measure both models on the pairs `held_out`, query by query, and resample the queries.

    AUC, log-loss and calibration are those of examined impressions (clicks against examined shows without one, so that
    positions do not decide). Rankings 'by clicks' put the items that were shown in the model's order; gains are
    debiased click rates, relevant is what was clicked. Rankings 'by true relevance' put the whole catalogue in order;
    relevant is a true relevance of at least 0.5.

    Args:
        before: The model to compare with.
        after: The model.
        held_out: Pairs that neither was trained on.
        truth: True relevance (Q, I), where someone knows it.
        group_of: Further groups of queries by name: which of the queries (Q,) belong to it (`traffic_groups`).
        new_items: (I,) items that training never saw shown; their pairs are judged once more alone.
        seed: Of the bootstrap.

    Raises:
        InputError: The library ir-measures is not installed.
    """
    held_out = merged(held_out)
    queries, number = np.unique(held_out.query, return_inverse=True)
    n = len(queries)
    draws = draw_queries(n, seed)
    rows: list[MeasureRow] = []
    groups: dict[str, NDArray[np.bool_]] = {"all": np.ones(n, np.bool_)}
    for name, members in (group_of or {}).items():
        groups[name] = members[queries]
    sides = [
        dict(_measures(tables, held_out, queries, number.astype(np.int64), truth))
        for tables in (before, after)
    ]
    for group, members in groups.items():
        for measure, (one, present) in sides[0].items():
            rows += resampled(measure, group, one, sides[1][measure][0], members & present, draws)
    if new_items is not None:
        rows += _new_items(before, after, held_out.take(new_items[held_out.item]), seed)
    bins = [_calibration(tables, held_out, number, n).reliability() for tables in (before, after)]
    return Comparison(rows=tuple(rows), reliability_before=bins[0], reliability_after=bins[1])


def traffic_groups(impressions: NDArray[np.float64]) -> dict[str, NDArray[np.bool_]]:
    """Head, torso and tail of the queries: those that make up the first, second and last third of all traffic.

    Args:
        impressions: (Q,) how often each query was asked (in any unit); queries never asked are tail.
    """
    order = np.argsort(-impressions, kind="stable")
    # A query belongs where the traffic before it ends: the first one is always head.
    before = np.concatenate([[0.0], np.cumsum(impressions[order])[:-1]]) / max(
        float(impressions.sum()), 1e-12
    )
    third = np.empty(len(impressions), np.int64)
    third[order] = np.minimum((3.0 * before + 1e-9).astype(np.int64), 2)
    third[impressions <= 0.0] = 2
    return {name: third == k for k, name in enumerate(("head", "torso", "tail"))}


def draw_queries(n: int, seed: int) -> NDArray[np.float64]:
    """How often each of `n` queries is drawn in each resample (S, n)."""
    if n == 0:
        return np.zeros((1, 0))
    rng = np.random.default_rng(seed)
    return rng.multinomial(n, np.full(n, 1.0 / n), size=_DRAWS).astype(np.float64)


def resampled(
    measure: str,
    group: str,
    one: Resample,
    other: Resample,
    members: NDArray[np.bool_],
    draws: NDArray[np.float64],
) -> list[MeasureRow]:
    """The row of `measure`, or none where it has nothing to go by."""
    if not members.any():
        return []
    whole = members[None].astype(np.float64)
    first, second = float(one(whole)[0]), float(other(whole)[0])
    if not (math.isfinite(first) and math.isfinite(second)):
        return []
    # Every resample of one query is that query: an interval of no width would claim certainty.
    weights = draws * members if members.sum() > 1 else draws[:0]
    weights = weights[weights.sum(axis=1) > 0.0]
    a, b = one(weights), other(weights)
    return [
        MeasureRow(
            measure=measure,
            group=group,
            before=_estimate(first, a),
            after=_estimate(second, b),
            difference=_estimate(second - first, b - a),
            n_queries=int(members.sum()),
        )
    ]


def _estimate(value: float, draws: NDArray[np.float64]) -> Estimate:
    known = draws[np.isfinite(draws)]
    if len(known) < 2:
        return Estimate(value=value, low=math.nan, high=math.nan)
    low, high = np.quantile(known, [(1.0 - _LEVEL) / 2.0, (1.0 + _LEVEL) / 2.0])
    return Estimate(value=value, low=float(low), high=float(high))


def _measures(
    tables: RelevanceTables,
    pairs: PairCounts,
    queries: NDArray[np.int32],
    number: NDArray[np.int64],
    truth: NDArray[np.float32] | None,
) -> Iterator[tuple[str, tuple[Resample, NDArray[np.bool_]]]]:
    """Every measure as a function of the query weights, and the queries (Q,) that it can be taken on."""
    n = len(queries)
    all_of_them = np.ones(n, np.bool_)
    click, bought = (
        _scores(tables, side, pairs).astype(np.float64)
        for side in (tables.click_query, tables.purchase_query)
    )
    yield "click AUC", (ClusterAuc(click, pairs.clicks, pairs.misses, number, n), all_of_them)
    calibration = _calibration(tables, pairs, number, n)
    yield "click log-loss", (calibration.log_loss, all_of_them)
    yield "click calibration error (ECE)", (calibration.error, all_of_them)
    kept = pairs.clicks - pairs.purchases
    yield (
        "purchase AUC (given a click)",
        (ClusterAuc(bought, pairs.purchases, kept, number, n), all_of_them),
    )
    shown = as_mapping(pairs.query, pairs.item, click)
    gains = as_mapping(pairs.query, pairs.item, np.round(1000.0 * pairs.click_rate()).astype(np.int64))
    clicked = as_mapping(pairs.query, pairs.item, (pairs.clicks > 0.0).astype(np.int64))
    found = [("by clicks", judge_rankings(shown, gains, clicked))]  # type: ignore[arg-type]
    best, score = ExactSource(tables.item).search(tables.click_query[queries], _POOL)
    ranked = {
        q: dict(zip(rows[rows >= 0].tolist(), s[rows >= 0].tolist(), strict=True))
        for q, rows, s in zip(queries.tolist(), best, score, strict=True)
    }
    found.append(("by clicks", judge_rankings(ranked, clicked, clicked, pool=_POOL)))  # type: ignore[arg-type]
    if truth is not None:
        grades = {
            q: {int(i): round(100.0 * float(truth[q, i])) for i in np.flatnonzero(truth[q] > 0.0)}
            for q in queries.tolist()
        }
        relevant = {
            q: {i: int(g >= 100.0 * _RELEVANT) for i, g in mine.items()} for q, mine in grades.items()
        }
        found.append(("by true relevance", judge_rankings(ranked, grades, relevant)))
        found.append(("by true relevance", judge_rankings(ranked, relevant, relevant, pool=_POOL)))
    place = {q: row for row, q in enumerate(queries.tolist())}
    for source, measures in found:
        for name, values in measures.items():
            each = np.zeros(n)
            present = np.zeros(n, np.bool_)
            for q, value in values.items():
                each[place[q]], present[place[q]] = value, True
            yield f"{name} {source}", (_Mean(each), present)


class _Mean:
    """Mean of per-query values (Q,) under query weights."""

    def __init__(self, values: NDArray[np.float64]) -> None:
        self._values = values

    def __call__(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(weights @ self._values / weights.sum(axis=1), np.float64)


def _new_items(
    before: RelevanceTables, after: RelevanceTables, pairs: PairCounts, seed: int
) -> list[MeasureRow]:
    """Discrimination and calibration on the pairs of new items alone."""
    queries, number = np.unique(pairs.query, return_inverse=True)
    n = len(queries)
    if not n:
        return []
    draws = draw_queries(n, seed)
    sides: list[dict[str, Resample]] = []
    for tables in (before, after):
        score = _scores(tables, tables.click_query, pairs).astype(np.float64)
        calibration = _calibration(tables, pairs, number, n)
        sides.append(
            {
                "click AUC": ClusterAuc(score, pairs.clicks, pairs.misses, number, n),
                "click log-loss": calibration.log_loss,
            }
        )
    everyone = np.ones(n, np.bool_)
    rows: list[MeasureRow] = []
    for name in sides[0]:
        rows += resampled(name, "new items", sides[0][name], sides[1][name], everyone, draws)
    return rows


def _calibration(
    tables: RelevanceTables, pairs: PairCounts, number: NDArray[np.int64], n: int
) -> ClusterCalibration:
    logit = _scores(tables, tables.click_query, pairs).astype(np.float64) + tables.click_bias
    return ClusterCalibration(1.0 / (1.0 + np.exp(-logit)), pairs.clicks, pairs.misses, number, n)


def _scores(tables: RelevanceTables, side: NDArray[np.float32], pairs: PairCounts) -> NDArray[np.float32]:
    """Dot products (P,) of the pairs, a part at a time: gathered vectors take much room."""
    out = np.empty(pairs.n_pairs, np.float32)
    for start in range(0, pairs.n_pairs, 50_000):
        part = slice(start, start + 50_000)
        out[part] = np.einsum("pd,pd->p", side[pairs.query[part]], tables.item[pairs.item[part]])
    return out


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value
