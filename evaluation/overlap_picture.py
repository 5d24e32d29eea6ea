"""The weights of an off-policy figure as a picture: where the rows are, and where the weight is."""

from __future__ import annotations

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from evaluation.diagnostics import Overlap
from evaluation.plots import STYLE, svg

__all__ = ["draw_overlap"]


def draw_overlap(overlap: Overlap, name: str) -> str:
    """Shares of rows and of weight by weight, on a logarithmic axis; inline SVG.

    The two humps lie over each other where the policies are alike; a hump of weight far to the right of all rows is
    carried by a handful of them.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(5.8, 2.6), layout="constrained")
        axes = figure.subplots()
        widths = np.diff(overlap.edges)
        for share, colour, label in (
            (overlap.rows, "#2f7ed8", "of the rows"),
            (overlap.weight, "#e07b39", "of the weight"),
        ):
            axes.bar(overlap.edges[:-1], share, widths, align="edge", color=colour, alpha=0.5, label=label)
        axes.axvline(1.0, color=STYLE["text.color"], alpha=0.4, linewidth=1, linestyle="--")
        axes.set_xscale("log")
        axes.set_xlabel(f"importance weight ({overlap.zero:.0%} of the rows have none)")
        axes.set_ylabel("share")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=8.5, labelcolor=STYLE["text.color"])
        return svg(figure, f"Importance weights of {name}: shares of rows and of weight by size.")
