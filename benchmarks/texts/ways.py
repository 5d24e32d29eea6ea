"""Tables of the benchmarks that compare ways over several stores, written into their documents.

`python -m benchmarks.texts.ways` reads what is kept of `benchmarks.continual`, `fusion`, `privacy`, `robustness` and
`encoders` under benchmarks/results/ and runs nothing.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

from benchmarks.robustness import HARDENED
from benchmarks.speed.docs import DOCUMENTS, RESULTS, fill_blocks, write_tables

__all__ = ["changes_table", "main", "ways_table"]

_DOCS = DOCUMENTS[0].parent
_WAYS: dict[str, tuple[str, str, Sequence[str]]] = {
    "continual": (
        "continual",
        "never updating",
        ("NDCG@10, queries of the week", "NDCG@10, queries of earlier weeks"),
    ),
    "fusion": (
        "fusion",
        "text alone",
        (
            "click AUC",
            "NDCG@10 by clicks",
            "purchase AUC given a click",
            "NDCG@10 by true relevance, of 64 picked by text",
        ),
    ),
    "fusion-icecat": ("fusion", "text alone", ("NDCG@10 by ratings", "AUC by ratings, pooled")),
    "privacy": ("privacy", "zero-shot", ("NDCG@10, queries learned from", "NDCG@10, held-out queries")),
}
"""Block: the benchmark, what gains are over, the measures."""
_CHANGES = ("misspelling, 1 word", "synonyms", "dropped, 1 word", "stuffing, 8 words")


def ways_table(cases: Sequence[dict[str, Any]], base: str, measures: Sequence[str]) -> str:
    """A row for each way: each measure, and what it gains over `base` with its 95 % interval over stores.

    Args:
        cases: Figures named "way: measure" and "way: gain of measure over base", with their intervals' ends.
        base: What gains are over.
        measures: Columns.
    """
    value = {row["case"]: row["value"] for row in cases}
    ways = [name.removesuffix(f": {measures[0]}") for name in value if name.endswith(f": {measures[0]}")]
    lines = [
        "| | " + " | ".join(f"{name} | gain" for name in measures) + " |",
        "|---|" + "---:|---:|" * len(measures),
    ]
    for way in ways:
        cells = [way]
        for name in measures:
            cells += [
                f"{value[f'{way}: {name}']:.3f}",
                _interval(value, f"{way}: gain of {name} over {base}"),
            ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def changes_table(cases: Sequence[dict[str, Any]]) -> str:
    """A row for each way: NDCG@10 as texts are and changed, and how the latter differs from that of the heads."""
    value = {row["case"]: row["value"] for row in cases}
    lines = [
        "| | " + " | ".join(name.partition(",")[0] for name in _CHANGES) + " | stuffed items' places |",
        "|---|" + "---:|" * (len(_CHANGES) + 1),
    ]
    for way in ("zero-shot", "heads", *HARDENED):
        cells = [way]
        for change in _CHANGES:
            before, after = (value[f"{way}: {change}: NDCG@10 {end}"] for end in ("as they are", "changed"))
            gain = _interval(value, f"{way} minus heads: {change}: NDCG@10 changed")
            cells.append(f"{before:.3f} → {after:.3f}" + (f"; {gain}" if gain else ""))
        cells.append(f"× {value[f'{way}: {_CHANGES[-1]}: places of stuffed items, times']:.2f}")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _interval(value: dict[str, float], name: str) -> str:
    """Such as "+0.010 (-0.002 to 0.022)"; nothing where there is no such figure."""
    if name not in value:
        return ""
    low, high = (
        next((v for n, v in value.items() if n.startswith(f"{name}, {end} end")), None)
        for end in ("lower", "upper")
    )
    interval = "" if low is None or high is None else f" ({low:+.3f} to {high:+.3f})"
    return f"{value[name]:+.3f}{interval}"


def main() -> None:
    """Fill the blocks of all documents whose results are kept."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    for block, (name, base, measures) in _WAYS.items():
        cases = _kept(name)
        if block == "fusion-icecat":
            cases = [
                row | {"case": row["case"].removeprefix("icecat, ")}
                for row in cases
                if "icecat" in row["case"]
            ]
        if cases:
            fill_blocks(_DOCS / f"{name}.md", {block: ways_table(cases, base, measures)})
            print(f"docs/{name}.md: {block}")
    if cases := _kept("robustness"):
        fill_blocks(_DOCS / "robustness.md", {"robustness": changes_table(cases)})
        print("docs/robustness.md: robustness")
    if (RESULTS / "encoders.json").is_file():
        print(f"docs/export.md: {', '.join(write_tables(_DOCS / 'export.md'))}")


def _kept(name: str) -> list[dict[str, Any]]:
    file = RESULTS / f"{name}.json"
    found: list[dict[str, Any]] = (
        json.loads(file.read_text(encoding="utf-8"))["cases"] if file.is_file() else []
    )
    return found


if __name__ == "__main__":
    main()
