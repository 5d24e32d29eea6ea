"""Pictures of what was learned, drawn from the kept result alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import matplotlib
import matplotlib.ticker
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from behavior.files import atomic_path
from benchmarks.skill.statistics import interquartile_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_curves", "draw_shares"]

_COLOURS = ("#2f7ed8", "#e07b39", "#3a9d5d", "#b0549c", "#c2a300", "#6b5fc7", "#20948b", "#a0522d")
_MARKS = {"belief": "-", "planning": "--", "myopic": ":", "relevance": "-."}
_GREY = "#777777"
_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "slategym",  # the same result gives the same file
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def draw_curves(
    found: Mapping[str, Any], file: Path, *, against: Literal["steps", "seconds"], agents: Sequence[str]
) -> None:
    """Score of the validation users while the agents learn, a panel a task; lines are means of the seeds.

    The band is the bootstrap interval of the interquartile mean over seeds. Oracles and relevance order are level lines
    at their score on the judging users.

    Args:
        found: The kept result.
        file: SVG or PNG.
        against: User-steps or seconds of training.
        agents: Whose curves.
    """
    tasks = list(dict.fromkeys(curve["task"] for curve in found["curves"]))
    scores = {row["case"]: row["value"] for row in found["cases"]}
    columns = min(3, len(tasks))
    rows = -(-len(tasks) // columns)
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(3.1 * columns, 2.3 * rows + 0.5), layout="constrained")
        grid = np.asarray(figure.subplots(rows, columns, squeeze=False)).ravel()
        for axes, task in zip(grid, tasks, strict=False):
            for mark, style in _MARKS.items():
                if f"{task}: {mark}, score" in scores:
                    level = scores[f"{task}: {mark}, score"]
                    axes.axhline(level, color=_GREY, linestyle=style, linewidth=1.0, label=mark)
            for agent, colour in zip(agents, _COLOURS * len(agents), strict=False):
                runs = [c for c in found["curves"] if c["task"] == task and c["agent"] == agent]
                if runs:
                    _band(axes, runs, against, agent, colour)
            axes.set_title(task)
            axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(4))
            axes.xaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(_short))
            axes.grid(axis="y", alpha=0.2, linewidth=0.7)
        for axes in grid[len(tasks) :]:
            axes.set_visible(False)
        unit = "user-steps" if against == "steps" else "seconds of training, one thread"
        figure.supxlabel(unit, fontsize=9)
        figure.supylabel("score per session, validation users", fontsize=9)
        _legend(figure, grid[: len(tasks)])
        _save(figure, file)


def draw_shares(found: Mapping[str, Any], file: Path, *, ceiling: str, agents: Sequence[str]) -> None:
    """Share of the gap from random to `ceiling` with its interval, agents by task.

    Args:
        found: The kept result.
        file: SVG or PNG.
        ceiling: 'belief' or 'planning'.
        agents: In this order from the top.
    """
    rows = {row["case"]: row for row in found["cases"]}
    end = f", share of random to {ceiling}"
    tasks = list(dict.fromkeys(case.split(": ")[0] for case in rows if case.endswith(end)))
    height = 0.9 / max(1, len(agents))
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(6.4, 0.9 + len(tasks) * (0.12 + 0.16 * len(agents))), layout="constrained")
        axes = figure.subplots()
        for i, (agent, colour) in enumerate(zip(agents, _COLOURS * len(agents), strict=False)):
            named = False
            for t, task in enumerate(tasks):
                row = rows.get(f"{task}: {agent}{end}")
                if row is not None:
                    y = t + (i - (len(agents) - 1) / 2) * height
                    axes.plot([row["low"], row["high"]], [y, y], color=colour, linewidth=2.5, alpha=0.5)
                    axes.plot(
                        row["value"], y, "o", color=colour, markersize=4.5, label=None if named else agent
                    )
                    named = True
        axes.axvline(0.0, color=_GREY, linewidth=0.8)
        axes.axvline(1.0, color=_GREY, linewidth=0.8)
        axes.set_yticks(range(len(tasks)), tasks)
        axes.set_ylim(len(tasks) - 0.5, -0.5)
        axes.xaxis.set_major_formatter(matplotlib.ticker.PercentFormatter(1.0, decimals=0))
        axes.set_xlabel(f"share of the gap from random to the {ceiling} oracle")
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x", alpha=0.2, linewidth=0.7)
        _legend(figure, [axes])
        _save(figure, file)


def _band(axes: Axes, runs: Sequence[Mapping[str, Any]], against: str, agent: str, colour: str) -> None:
    """Mean of the seeds and its band, over what all of them reached."""
    longest = min(run[against][-1] for run in runs)
    at = np.linspace(0.0, longest, 60) if len(runs) > 1 else np.asarray(runs[0][against], np.float64)
    curves = np.stack([np.interp(at, run[against], run["score"]) for run in runs])  # (seeds, points)
    axes.plot(at, curves.mean(axis=0), color=colour, linewidth=1.7, label=agent)
    if len(runs) > 1:
        low, high = _ends(curves)
        axes.fill_between(at, low, high, color=colour, alpha=0.18, linewidth=0)


def _ends(curves: NDArray[np.float64]) -> tuple[list[float], list[float]]:
    found = [interquartile_interval([column], n_resamples=2_000) for column in curves.T]
    return [one.low for one in found], [one.high for one in found]


def _legend(figure: Figure, panels: Iterable[Any]) -> None:
    """One legend for all panels, above them."""
    named: dict[str, Any] = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            named.setdefault(label, handle)
    if named:
        columns = min(6, len(named))
        figure.legend(
            handles=list(named.values()),
            labels=list(named),
            loc="outside upper center",
            ncols=columns,
            frameon=False,
            fontsize=8.5,
        )


def _short(value: float, _: int) -> str:
    if value >= 1e6:
        return f"{value / 1e6:g} M"
    return f"{value / 1e3:g} k" if value >= 1e4 else f"{value:g}"


def _save(figure: Figure, file: Path) -> None:
    """On white: the picture stands in documents, light or dark."""
    FigureCanvasAgg(figure)  # attaches itself, without pyplot and its global state
    file.parent.mkdir(parents=True, exist_ok=True)
    ending = file.suffix.removeprefix(".")
    metadata = {"Date": None} if ending == "svg" else None
    with atomic_path(file) as temporary:
        figure.savefig(temporary, format=ending, facecolor="white", dpi=110, metadata=metadata)
