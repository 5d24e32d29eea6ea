"""Simulated users beside held-out ones, as inline SVG for the report."""

from __future__ import annotations

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from evaluation.plots import STYLE, svg
from simulators.trust.plots import draw_calibration, draw_measure
from simulators.trust.report import TrustReport

__all__ = ["draw_trust"]

_DRAWN = (
    "calibration of clicks",
    "clicks by position",
    "clicks near clicks",
    "clicks by item popularity",
    "clicks per session",
    "pages per session",
)


def draw_trust(report: TrustReport) -> str:
    """Calibration, rates and distributions, simulated and held out; empty where none of them was measured."""
    measured = {m.name: m for m in report.measures}
    parts = [measured[name] for name in _DRAWN if name in measured]
    if not parts:
        return ""
    with matplotlib.rc_context(STYLE | {"font.size": 8.5, "axes.titlesize": 9, "axes.spines.top": False}):
        n_rows = -(-len(parts) // 2)
        figure = Figure(figsize=(8.4, 2.9 * n_rows), layout="constrained")
        grid = np.ravel(figure.subplots(n_rows, 2, squeeze=False))
        for axes, part in zip(grid, parts, strict=False):
            axes.spines["right"].set_visible(False)
            draw = draw_calibration if part.name.startswith("calibration") else draw_measure
            draw(axes, part)
        for spare in grid[len(parts) :]:
            spare.set_axis_off()
        return svg(
            figure,
            f"Simulated users {report.name} beside {report.n_held_out:,} held-out sessions: "
            + ", ".join(part.name for part in parts),
        )
