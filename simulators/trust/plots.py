"""Pictures of a trust report: calibration, rates, distributions, what gives simulated users away."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from behavior.errors import InputError
from behavior.files import disk_errors_named
from simulators.trust.compare import Measured
from simulators.trust.report import TrustReport

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["RATES", "SHARES", "draw_calibration", "draw_measure", "plot_trust"]

RATES = ("clicks by position", "purchases by position", "clicks by item popularity", "clicks by query group")
"""Rates that are drawn."""
SHARES = ("clicks per page", "pages per session", "clicks per session", "purchases per session")
"""Distributions that are drawn."""
_LOGGED, _SIMULATED, _GREY = "#2f7ed8", "#e07b39", "#8a8a8a"


def plot_trust(report: TrustReport, folder: Path) -> list[Path]:
    """Draw the pictures (PNG) that the report has figures for.

    Args:
        report: What was measured.
        folder: Made if it is not there; must hold nothing yet.

    Returns:
        The files.

    Raises:
        InputError: The folder holds something already, or cannot be written to.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    refuse_full(folder)
    measured = {m.name: m for m in report.measures}

    def those(names: Sequence[str]) -> list[Measured]:
        return [measured[name] for name in names if name in measured]

    drawings: dict[str, tuple[list[Any], Callable[[Axes, Any], None]]] = {
        "calibration": (those(("calibration of clicks", "calibration of purchases")), draw_calibration),
        "rates": (those(RATES), draw_measure),
        "distributions": (those(SHARES), draw_measure),
        "clicks-of-a-page": (
            those(("clicks near clicks", "items passed over between clicks", "leaving")),
            draw_measure,
        ),
        "told-apart-by": ([t for t in report.tests if t.clues], _draw_clues),
    }
    files = []
    style: Any = {
        "axes.titlesize": 9,
        "axes.titlelocation": "left",
        "axes.spines.top": False,
        "font.size": 8.5,
    }
    with disk_errors_named(folder), matplotlib.rc_context(style | {"axes.spines.right": False}):
        folder.mkdir(parents=True, exist_ok=True)
        for name, (parts, draw) in drawings.items():
            if not parts:
                continue
            columns = min(len(parts), 2)
            n_rows = -(-len(parts) // columns)
            figure: Figure = Figure(figsize=(4.6 * columns, 3.4 * n_rows), layout="constrained")
            FigureCanvasAgg(figure)
            for axes, part in zip(
                np.ravel(figure.subplots(n_rows, columns, squeeze=False)), parts, strict=False
            ):
                draw(axes, part)
            for spare in figure.axes[len(parts) :]:
                spare.set_axis_off()
            files.append(folder / f"{name}.png")
            figure.savefig(files[-1], dpi=110)
    return files


def refuse_full(folder: Path) -> None:
    """Refuse a folder that holds something, before the work is done.

    Raises:
        InputError: It does.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(
            "this holds something already", where=str(folder), mend="name a new or an empty folder"
        )


def draw_calibration(axes: Axes, m: Measured) -> None:
    """How often it happened against how probable it was foretold, by bin, with intervals."""
    foretold = np.array([c.simulated for c in m.cells])
    found = np.array([c.logged for c in m.cells])
    ends = np.array([(c.logged_low, c.logged_high) for c in m.cells])
    top = float(max(foretold.max(), ends.max())) * 1.05
    axes.plot([0, top], [0, top], color=_GREY, linewidth=0.8, linestyle="--")
    axes.errorbar(foretold, found, yerr=_spread(found, ends), fmt="o", color=_LOGGED, capsize=2, markersize=4)
    axes.set(xlabel="foretold", ylabel="held-out sessions", xlim=(0, top), ylim=(0, top))
    axes.set_title(f"{m.name}\noff by {m.distance.value:.1%}, by chance {m.distance.noise:.1%}")


def draw_measure(axes: Axes, m: Measured) -> None:
    """Simulated beside logged, cell by cell, with intervals."""
    at = np.arange(len(m.cells))
    for side, colour, shift in (("simulated", _SIMULATED, 0.12), ("logged", _LOGGED, -0.12)):
        value = np.array([getattr(c, side) for c in m.cells])
        ends = np.array([(getattr(c, f"{side}_low"), getattr(c, f"{side}_high")) for c in m.cells])
        label = "simulated" if side == "simulated" else "held out"
        axes.errorbar(
            at + shift,
            value,
            yerr=_spread(value, ends),
            fmt="o",
            color=colour,
            capsize=2,
            markersize=4,
            label=label,
        )
    labels = [c.label.removeprefix("position ") for c in m.cells]
    unit = labels[0].partition(": ")[0]
    if all(label.startswith(f"{unit}: ") for label in labels):
        labels = [label.removeprefix(f"{unit}: ") for label in labels]
        axes.set_xlabel(unit)
    elif m.name.endswith("by position"):
        axes.set_xlabel("position")
    long = any(len(label) > 9 for label in labels)
    size: Any = {"rotation": 30, "ha": "right", "fontsize": 7} if long else {}
    axes.set_xticks(at, labels, **size)
    axes.set_ylim(bottom=0)
    axes.set_title(f"{m.name}\n{m.distance.value:.1%} apart, by chance {m.distance.noise:.1%}")
    axes.legend(frameon=False, fontsize=8)


def _draw_clues(axes: Axes, test: Any) -> None:
    clues = test.clues[:8][::-1]
    axes.barh([c.feature for c in clues], [c.importance for c in clues], color=_SIMULATED)
    axes.set(xlabel="area lost where shuffled", title=f"{test.rows}s: area {test.area.value:.3f}")


def _spread(value: Any, ends: Any) -> Any:
    return np.maximum(np.stack([value - ends[:, 0], ends[:, 1] - value]), 0)
