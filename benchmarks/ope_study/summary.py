"""The study in a few numbers, and as tables: by criteria that were fixed before anything was measured."""

from __future__ import annotations

from typing import Any

__all__ = ["is_light", "summarise", "tables"]

SOUND, UNSOUND = 0.92, 0.90
"""A light-tailed case is sound where Student's intervals cover at least this share of the logs; any case is unsound
where they cover less than the second."""
LIGHT_SKEW, LIGHT_TAIL = 0.2, 0.5
"""Light-tailed weights: skewness over the root of the users, and tail index, of a long log stay below these."""
_ORDINARY = ("normal", "student", "bootstrap")
_GUARANTEED = ("bernstein", "sequence")

Row = dict[str, Any]


def is_light(row: Row) -> bool:
    """Whether a case is held to have light-tailed weights: by a long log, not by what was measured."""
    return bool(row["skew"] <= LIGHT_SKEW and row["tail"] <= LIGHT_TAIL)


def _coverage(row: Row, method: str) -> float:
    return float(row["held"][method] / row["n_logs"])


def summarise(rows: list[Row], tests: list[Row]) -> dict[str, float | None]:
    """The figures that the issue asks for; None where there is no such case."""
    light = [row for row in rows if is_light(row)]
    found: dict[str, float | None] = {"cases that are light-tailed": len(light) / len(rows)}
    for method in (*_ORDINARY, "cressie-read", *_GUARANTEED):
        shares = [_coverage(row, method) for row in light if method in row["held"]]
        found[f"light-tailed: least coverage, {method}"] = min(shares, default=None)
        found[f"light-tailed: greatest coverage, {method}"] = max(shares, default=None)
        inside = [0.92 <= share <= 0.98 for share in shares]
        if method in _ORDINARY and inside:
            found[f"light-tailed: cases with coverage 92 to 98 %, {method}"] = sum(inside) / len(inside)
    for method in _GUARANTEED:
        shares = [_coverage(row, method) for row in rows if method in row["held"]]
        found[f"all cases: least coverage, {method}"] = min(shares, default=None)
    groups = {
        "unsound": [row for row in rows if _coverage(row, "student") < UNSOUND],
        "sound": [row for row in light if _coverage(row, "student") >= SOUND],
        "heavy-tailed, yet covered,": [
            row for row in rows if not is_light(row) and _coverage(row, "student") >= SOUND
        ],
    }
    for name, group in groups.items():
        logs = sum(row["n_logs"] for row in group)
        found[f"{name} cases"] = len(group) / len(rows)
        found[f"{name} cases: logs flagged"] = sum(row["flagged"] for row in group) / logs if logs else None
    for structure in ("independent", "cascade", "whole slate"):
        for policy in ("near", "far"):
            for size in sorted({test["size"] for test in tests}):
                chosen = [
                    t for t in tests if (t["structure"], t["policy"], t["size"]) == (structure, policy, size)
                ]
                logs = sum(t["n_logs"] for t in chosen)
                if logs:
                    key = f"structure test rejects, {structure} users, {policy} policy, {size:,} slates"
                    found[key] = sum(t["rejected"] for t in chosen) / logs
    return found


def tables(found: dict[str, Any]) -> dict[str, str]:
    """Markdown by block name."""
    rows, tests = found["rows"], found["tests"]
    return {
        "ope-coverage-summary": _summary(found),
        "ope-coverage": _cases(rows),
        "ope-coverage-structure": _tests(tests),
    }


def _summary(found: dict[str, Any]) -> str:
    lines = [
        f"{found['settings']['logs']:,} logs a case; {found['machine']}; "
        + ", ".join(f"{name} {text}" for name, text in found["versions"].items())
        + ".",
        "",
        "| figure | share |",
        "|---|---:|",
    ]
    for name, value in found["summary"].items():
        if not name.startswith("structure test"):
            lines.append(f"| {name} | {'none' if value is None else f'{value:.1%}'} |")
    return "\n".join(lines)


def _cases(rows: list[Row]) -> str:
    methods = (*_ORDINARY, "cressie-read", *_GUARANTEED)
    lines = [
        "| users | K | slates | policy | estimator | light | "
        + " | ".join(methods)
        + " | flagged | no support |",
        "|---|---:|---:|---|---|---|" + "---:|" * (len(methods) + 2),
    ]
    for row in rows:
        shares = [f"{_coverage(row, m):.1%}" if m in row["held"] else "" for m in methods]
        cells = (
            row["structure"],
            str(row["slate_size"]),
            f"{row['slates_a_log']:,.0f}",
            row["policy"],
            row["estimator"],
            "yes" if is_light(row) else "no",
            *shares,
            f"{row['flagged'] / row['n_logs']:.1%}",
            f"{row['no_support'] / row['n_logs']:.1%}",
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _tests(tests: list[Row]) -> str:
    lines = [
        "| users | K | slates | policy | rejected | right structure named | IIPS against RIPS | stated power | "
        "RIPS against SIPS | stated power |",
        "|---|---:|---:|---|---:|---:|---:|---:|---:|---:|",
    ]
    for test in tests:
        n = max(1, test["n_logs"])
        cells = (
            test["structure"],
            str(test["slate_size"]),
            f"{test['size']:,}",
            test["policy"],
            f"{test['rejected'] / n:.1%}",
            f"{test['named'] / n:.1%}",
            f"{test['steps'][0] / n:.1%}",
            f"{test['power'][0] / n:.1%}",
            f"{test['steps'][1] / n:.1%}",
            f"{test['power'][1] / n:.1%}",
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
