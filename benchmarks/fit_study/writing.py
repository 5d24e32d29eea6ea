"""The tables and the picture of docs/fit-quality.md, out of what was kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.speed.docs import RESULTS, fill_blocks

__all__ = ["PICTURE", "write_docs"]

_DOCS = Path(__file__).resolve().parents[2] / "docs"
PICTURE = _DOCS / "pictures" / "fit-quality.svg"
_NAMES = {
    "demo": "demo store (outside every family)",
    "skimming": "skimming users (inside)",
    "pbm": "position-based users (inside)",
}
_FIGURES = {
    "headroom": "headroom won",
    "spearman": "Spearman",
    "regret": "top-1 regret",
    "covered": "truths in the interval",
    "covered, members alone": "... members' spread alone",
    "differences covered": "differences to behaviour held",
    "error": "relative error",
}


def write_docs() -> list[str]:
    """Names of the blocks written."""
    found = json.loads((RESULTS / "fit_quality.json").read_text(encoding="utf-8"))
    written = fill_blocks(
        _DOCS / "fit-quality.md",
        {
            "fit-quality-stores": _stores(found),
            "fit-quality-curve": _curve(found),
            "fit-quality-policies": _policies(found),
            "fit-quality-kept": _kept(found),
        },
    )
    _picture(found)
    return written


def _cell(value: dict[str, float]) -> str:
    return f"{value['mean']:.2f} ({value['low']:.2f} to {value['high']:.2f})"


def _stores(found: dict[str, Any]) -> str:
    groups = [g for g in found["groups"] if g["sessions"] == 5_000]
    lines = [
        "| mean over logs (95 %) | "
        + " | ".join(f"{_NAMES[g['store']]}, {g['logs']} logs" for g in groups)
        + " |",
        "|---|" + "---:|" * len(groups),
    ]
    for name, title in _FIGURES.items():
        lines.append(f"| {title} | " + " | ".join(_cell(g[name]) for g in groups) + " |")
    lines.append(
        "| Spearman, the worst log | " + " | ".join(f"{g['spearman']['least']:.2f}" for g in groups) + " |"
    )
    return "\n".join(lines)


def _curve(found: dict[str, Any]) -> str:
    lines = [
        "| sessions | logs | " + " | ".join(_FIGURES.values()) + " |",
        "|---:|---:|" + "---:|" * len(_FIGURES),
    ]
    for g in sorted((g for g in found["groups"] if g["store"] == "demo"), key=lambda g: int(g["sessions"])):
        lines.append(
            f"| {g['sessions']:,} | {g['logs']} | " + " | ".join(_cell(g[name]) for name in _FIGURES) + " |"
        )
    return "\n".join(lines)


def _policies(found: dict[str, Any]) -> str:
    lines = ["| policy, demo store | true | simulated | interval holds the truth |", "|---|---:|---:|---:|"]
    rows = sorted((r for r in found["policies"] if r["store"] == "demo"), key=lambda r: -r["true"])
    for row in rows:
        lines.append(
            f"| {row['policy']} | {row['true']:.2f} | {row['simulated']:.2f} | {100 * row['held']:.0f} % |"
        )
    return "\n".join(lines)


def _kept(found: dict[str, Any]) -> str:
    lines = [
        "| relevance shown | pessimism | logs | user-steps | behaviour policy | PPO of the ensemble | "
        "PPO of the true store | kept |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in found["kept"]:
        shown = "the true one" if row.get("told") else "the model's"
        lines.append(
            f"| {shown} | {row['pessimism']:g} | {row['logs']} | {row['steps']:,} | {row['behavior']:.2f} | "
            f"{row['ensemble']:.2f} | {row['true store']:.2f} | {_cell(row['kept'])} |"
        )
    return "\n".join(lines)


def _picture(found: dict[str, Any]) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    groups = sorted((g for g in found["groups"] if g["store"] == "demo"), key=lambda g: int(g["sessions"]))
    sizes = [g["sessions"] for g in groups]
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.2), layout="constrained")
    panels = (
        ("headroom", "share of the headroom won", 0.8),
        ("spearman", "Spearman, simulated and true values", 0.95),
        ("covered", "truths in their 95 % intervals", 0.9),
    )
    for axis, (name, title, wanted) in zip(axes, panels, strict=True):
        mean = [g[name]["mean"] for g in groups]
        axis.fill_between(
            sizes, [g[name]["low"] for g in groups], [g[name]["high"] for g in groups], alpha=0.25
        )
        axis.plot(sizes, mean, marker="o")
        axis.axhline(wanted, color="grey", linestyle=":", linewidth=1)
        axis.set(xscale="log", xlabel="sessions in the log", title=title)
        axis.set_xticks(sizes, [f"{size:,}" for size in sizes], fontsize=8)
        axis.minorticks_off()
    figure.savefig(PICTURE, metadata={"Date": None})
    plt.close(figure)
