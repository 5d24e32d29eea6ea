"""Measures of rankings, query by query, by the library ir-measures (which asks trec_eval)."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError

__all__ = ["HAS_LIBRARY", "judge_rankings", "require_library"]

HAS_LIBRARY = importlib.util.find_spec("ir_measures") is not None

Scores = Mapping[int, Mapping[int, float]]
"""Query -> item -> score."""
Grades = Mapping[int, Mapping[int, int]]
"""Query -> item -> grade; what is missing counts as 0."""


def require_library() -> None:
    """Raise an `InputError` where ir-measures is not installed."""
    if not HAS_LIBRARY:
        raise InputError(
            "measures of rankings need the library ir-measures",
            where="encoders.measures",
            mend="pip install -e '.[relevance]'",
        )


def judge_rankings(
    scores: Scores, gains: Grades, relevant: Grades, *, depths: tuple[int, ...] = (5, 10), pool: int = 0
) -> dict[str, dict[int, float]]:
    """Measures of every query that has anything relevant: name -> query -> value.

    NDCG@k takes the gains as they are (linear); MRR, MAP, precision, recall and F1 at k ask which items are relevant.
    F1@k is the harmonic mean of precision@k and recall@k.

    Args:
        scores: What the model gives the items that are ranked.
        gains: Graded judgements, whole numbers.
        relevant: The same as 0 and 1.
        depths: `k`.
        pool: Report only the recall at this depth: that of a candidate source. 0: all the others instead.

    Raises:
        InputError: The library is missing.
    """
    require_library()
    import ir_measures
    from ir_measures import AP, RR, P, R, nDCG

    wanted = [q for q in scores if any(relevant.get(q, {}).values())]
    run = {str(q): {str(i): float(s) for i, s in scores[q].items()} for q in wanted}
    known = {str(q): {str(i): int(g) for i, g in relevant[q].items()} for q in wanted}
    graded = {str(q): {str(i): int(g) for i, g in gains.get(q, {}).items()} for q in wanted}
    if not wanted:
        return {}
    if pool:
        return _named(ir_measures, {R @ pool: f"recall@{pool} of the candidate source"}, known, run)
    binary = {RR: "MRR", AP: "MAP"}
    for k in depths:
        binary |= {P @ k: f"precision@{k}", R @ k: f"recall@{k}"}
    found = _named(ir_measures, {nDCG @ k: f"NDCG@{k}" for k in depths}, graded, run)
    found |= _named(ir_measures, binary, known, run)
    for k in depths:
        found[f"F1@{k}"] = {
            q: 0.0 if p + r == 0.0 else 2.0 * p * r / (p + r)
            for (q, p), r in zip(found[f"precision@{k}"].items(), found[f"recall@{k}"].values(), strict=True)
        }
    return found


def _named(
    library: object,
    names: Mapping[object, str],
    judged: Mapping[str, Mapping[str, int]],
    run: Mapping[str, Mapping[str, float]],
) -> dict[str, dict[int, float]]:
    found: dict[str, dict[int, float]] = {name: {} for name in names.values()}
    for entry in library.iter_calc(list(names), judged, run):  # type: ignore[attr-defined]
        found[names[entry.measure]][int(entry.query_id)] = float(entry.value)
    return {name: dict(sorted(values.items())) for name, values in found.items()}


def as_mapping(
    query: NDArray[np.integer], item: NDArray[np.integer], value: NDArray[np.floating] | NDArray[np.integer]
) -> dict[int, dict[int, float]]:
    """Parallel arrays (n,) as query -> item -> value."""
    found: dict[int, dict[int, float]] = {}
    for q, i, v in zip(query.tolist(), item.tolist(), value.tolist(), strict=True):
        found.setdefault(q, {})[i] = v
    return found
