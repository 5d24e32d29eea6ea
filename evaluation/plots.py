"""Pictures of the report: inline SVG whose text takes the page's colour, so that it is legible in dark mode too."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import matplotlib
import matplotlib.ticker
import numpy as np
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.special import ndtri

from evaluation.agreement_result import Agreement
from evaluation.report_data import Curve, PositionRates
from evaluation.table import FinalTable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["STYLE", "draw_agreement", "draw_curves", "draw_positions", "draw_scores", "svg"]

_INK = "#010203"  # stands for the page's text colour
_COLOURS = ("#2f7ed8", "#e07b39", "#3a9d5d", "#b0549c", "#8a8a8a", "#c2a300")
_BY_KIND = {"trained": "#3a9d5d", "oracle": "#8a8a8a", "behaviour": "#e07b39", "baseline": "#2f7ed8"}
STYLE: Any = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
}


def draw_scores(table: FinalTable) -> str:
    """Score of each policy with its interval, best at the top; inline SVG."""
    rows = sorted(table.rows, key=lambda row: row.score.value)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(5.8, 0.6 + 0.3 * len(rows)), layout="constrained")
        axes = figure.subplots()
        for y, row in enumerate(rows):
            colour = _BY_KIND[row.kind]
            axes.plot([row.score.low, row.score.high], [y, y], color=colour, linewidth=3, alpha=0.55)
            axes.plot([row.score.value], [y], "o", color=colour, markersize=7)
        axes.set_yticks(range(len(rows)), [row.policy for row in rows])
        axes.set_ylim(-0.6, len(rows) - 0.4)
        axes.set_xlabel(f"score per session in {table.world}, {table.level:.0%} interval")
        _clean(axes, grid="x")
        axes.tick_params(axis="y", length=0)
        return svg(figure, f"Score per session of {len(rows)} policies; the figures are in the table.")


def draw_agreement(found: Agreement, unit: str) -> str:
    """Simulated against true value of each policy, with intervals of both and the line where they are equal."""
    z = float(ndtri(0.5 + found.level / 2))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(5.8, 4.6), layout="constrained")
        axes = figure.subplots()
        ends = [*found.true, *found.simulated]
        axes.axline((min(ends), min(ends)), slope=1, color=_INK, alpha=0.35, linewidth=1, linestyle="--")
        up, down = found.simulated_high - found.simulated, found.simulated - found.simulated_low
        for p, name in enumerate(found.names):
            colour = _BY_KIND["trained"] if name == found.chosen else _BY_KIND["baseline"]
            axes.errorbar(
                found.true[p],
                found.simulated[p],
                xerr=z * found.true_error[p],
                yerr=None if np.isnan(down[p]) else [[max(0.0, down[p])], [max(0.0, up[p])]],
                fmt="o",
                color=colour,
                markersize=5,
                linewidth=1.4,
                alpha=0.8,
            )
        for p, place in zip(np.argsort(found.true), _label_heights(found), strict=True):
            axes.annotate(
                found.names[p],
                (found.true[p], found.simulated[p]),
                xytext=(1.02, place),
                textcoords="axes fraction",
                fontsize=7.5,
                va="center",
                annotation_clip=False,
                arrowprops={"arrowstyle": "-", "color": _INK, "alpha": 0.18, "linewidth": 0.6},
            )
        axes.set_xlabel(f"true score per {unit} ({found.truth})")
        axes.set_ylabel(f"score per {unit} in the simulator")
        _clean(axes, grid="y")
        return svg(
            figure,
            f"Simulated against true value of {len(found.names)} policies; the figures are in the table.",
        )


def _label_heights(found: Agreement) -> NDArray[np.float64]:
    """Heights (P,) of the labels beside the picture, by true value: evenly spread, in the order of the points."""
    n = len(found.names)
    by_true = np.argsort(found.true)
    place = np.empty(n)
    place[np.argsort(found.simulated[by_true])] = np.linspace(0.02, 0.98, n)
    return place


def draw_curves(curves: Sequence[Curve]) -> str:
    """Learning curves, one small picture per title; inline SVG."""
    titles = list(dict.fromkeys(curve.title for curve in curves))
    columns = min(2, len(titles))
    n_rows = -(-len(titles) // columns)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(2.9 * columns, 2.0 * n_rows), layout="constrained")
        grid = np.atleast_1d(np.asarray(figure.subplots(n_rows, columns, squeeze=False))).ravel()
        for axes, title in zip(grid, titles, strict=False):
            shown = [curve for curve in curves if curve.title == title]
            for colour, curve in zip(_COLOURS * len(shown), shown, strict=False):
                marker = "o" if curve.steps.shape[0] < 20 else None
                axes.plot(
                    curve.steps,
                    curve.values,
                    color=colour,
                    label=curve.label or None,
                    linewidth=1.8,
                    marker=marker,
                    markersize=3.5,
                )
            axes.set_title(title)
            axes.xaxis.set_major_formatter(_steps)
            axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(4))
            if any(curve.label for curve in shown):
                axes.legend(frameon=False, fontsize=8.5, labelcolor=_INK)
            _clean(axes, grid="y")
        for axes in grid[len(titles) :]:
            axes.set_visible(False)
        return svg(figure, "Learning curves over training steps: " + "; ".join(titles))


def draw_positions(rates: Sequence[PositionRates]) -> str:
    """Clicks per page by position; inline SVG."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(5.8, 2.8), layout="constrained")
        axes = figure.subplots()
        for i, one in enumerate(rates):
            axes.plot(
                np.arange(one.click.shape[0]) + 1,
                one.click,
                ("o-", "s--", "^:")[i // len(_COLOURS) % 3],
                color=_COLOURS[i % len(_COLOURS)],
                label=one.label,
                markersize=4,
                linewidth=1.6,
            )
        axes.set_xlabel("position on the page (1 is the top)")
        axes.set_ylabel("clicks per page")
        axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True))
        axes.set_ylim(bottom=0)
        axes.legend(frameon=False, fontsize=8.5, labelcolor=_INK, loc="center left", bbox_to_anchor=(1, 0.5))
        _clean(axes, grid="y")
        return svg(figure, "Clicks per page by position for " + ", ".join(one.label for one in rates))


def _steps(value: float, _: int) -> str:
    """Steps in thousands or millions."""
    if value >= 1e6:
        return f"{value / 1e6:g} M"
    return f"{value / 1e3:g} k" if value >= 1e3 else f"{value:g}"


def _clean(axes: Axes, *, grid: Literal["x", "y"]) -> None:
    axes.spines[["top", "right", "left" if grid == "x" else "bottom"]].set_visible(False)
    axes.grid(axis=grid, color=_INK, alpha=0.12, linewidth=0.8)
    axes.set_axisbelow(True)


def svg(figure: Figure, description: str) -> str:
    """The figure as an SVG element without prologue, metadata or fixed size."""
    buffer = io.StringIO()
    FigureCanvasSVG(figure)  # attaches itself, without pyplot and its global state
    figure.savefig(buffer, format="svg", transparent=True)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = text.replace(_INK, "currentColor")
    for side in ("width", "height"):  # the view box stays, so that the page can scale it
        text = re.sub(rf'(<svg[^>]*?) {side}="[^"]*"', r"\1", text, count=1)
    safe = description.replace("&", "and").replace("<", "").replace('"', "'")
    return text.replace("<svg", f'<svg role="img" aria-label="{safe}"', 1).strip()
