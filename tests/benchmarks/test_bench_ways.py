from __future__ import annotations

from benchmarks.robustness import HARDENED
from benchmarks.texts.shop import over_seeds
from benchmarks.texts.ways import changes_table, ways_table


def rows(named: dict[str, list[float]]) -> list[dict[str, object]]:
    return [
        {"case": c.case, "value": c.value}
        for name, values in named.items()
        for c in over_seeds(name, values, "")
    ]


def test_a_row_for_each_way() -> None:
    cases = rows({"old: m": [0.5, 0.7], "new: m": [0.6, 0.8], "new: gain of m over old": [0.0, 0.2]})
    lines = ways_table(cases, "old", ["m"]).splitlines()
    # Two values 0.2 apart: the mean plus and minus 12.706 standard errors of 0.1.
    assert lines[2:] == ["| old | 0.600 |  |", "| new | 0.700 | +0.100 (-1.171 to +1.371) |"]


def test_changed_texts_beside_the_heads() -> None:
    changes = ("misspelling, 1 word", "synonyms", "dropped, 1 word", "stuffing, 8 words")
    named = {}
    for way in ("zero-shot", "heads", *HARDENED):
        for change in changes:
            named[f"{way}: {change}: NDCG@10 as they are"] = [0.8]
            named[f"{way}: {change}: NDCG@10 changed"] = [0.5]
        named[f"{way}: {changes[-1]}: places of stuffed items, times"] = [1.5]
    named[f"{HARDENED[0]} minus heads: synonyms: NDCG@10 changed"] = [0.01]
    lines = changes_table(rows(named)).splitlines()
    assert (
        lines[2] == "| zero-shot | 0.800 → 0.500 | 0.800 → 0.500 | 0.800 → 0.500 | 0.800 → 0.500 | × 1.50 |"
    )
    assert lines[4].split(" | ")[2] == "0.800 → 0.500; +0.010"
