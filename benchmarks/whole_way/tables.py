"""The tables of docs/off-policy.md, from the figures of `benchmarks.ope_whole_way`."""

from __future__ import annotations

from typing import Any

__all__ = ["table_of_errors", "table_of_policies"]


def table_of_policies(found: dict[str, Any]) -> str:
    """Each policy: figure, trust, both truths."""
    chosen = found["chosen"]
    values = {row["case"]: row["value"] for row in found["cases"]}
    lines = [
        f"| policy | {chosen.upper()}, a page | trust | effective users | true, a page | true, a session |",
        "|---|---:|---|---:|---:|---:|",
    ]
    start = "true, per page: "
    names = [key.removeprefix(start) for key in values if key.startswith(start)]
    for name in sorted(names, key=lambda n: -values[f"true, per page: {n}"]):
        trust = next(
            (t for t in ("sound", "doubtful", "no support") if f"{chosen}, {t}: {name}" in values), ""
        )
        figure = ""
        if trust:
            half = values[f"{chosen}, half-width: {name}"]
            figure = f"{values[f'{chosen}, {trust}: {name}']:.2f} ±{half:.2f}" if half >= 0 else "none"
        users = values.get(f"{chosen}, effective users: {name}")
        lines.append(
            f"| {name} | {figure} | {trust or 'no figure'} | {'' if users is None else f'{users:,.0f}'} | "
            f"{values[f'true, per page: {name}']:.2f} | {values[f'true, per session: {name}']:.2f} |"
        )
    return "\n".join(lines)


def table_of_errors(found: dict[str, Any]) -> str:
    """Each estimator: how many figures were sound, their errors, coverage and order."""
    values = {row["case"]: row["value"] for row in found["cases"]}
    lines = [
        "| estimator | sound, doubtful, none | error of the sound | mean error | intervals that held | "
        "error of the rest | Kendall with the truth a page | a session |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    start = "policies: "
    names = dict.fromkeys(
        key.removeprefix(start).rpartition(", ")[0] for key in values if key.startswith(start)
    )

    def share(key: str) -> str:
        return f"{100 * values[key]:.1f} %" if key in values else ""

    def order(key: str) -> str:
        if key not in values:
            return ""
        low, high = values.get(f"{key}, low"), values.get(f"{key}, high")
        return f"{values[key]:.2f}" + (f" ({low:.2f} to {high:.2f})" if low is not None else "")

    for name in names:
        counts = [int(values[f"policies: {name}, {t}"]) for t in ("sound", "doubtful", "no support")]
        rest = " / ".join(
            filter(None, (share(f"root mean square error: {name}, {t}") for t in ("doubtful", "no support")))
        )
        lines.append(
            f"| {name.upper()} | {counts[0]}, {counts[1]}, {counts[2]} | "
            f"{share(f'root mean square error: {name}, sound')} | {share(f'mean error: {name}, sound')} | "
            f"{share(f'intervals that held the truth: {name}, sound')} | {rest} | "
            f"{order(f'kendall with the truth per page: {name}, sound')} | "
            f"{order(f'kendall with the truth per session: {name}, sound')} |"
        )
    return "\n".join(lines)
