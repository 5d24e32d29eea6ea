"""Reliability of click probabilities, drawn for TensorBoard and files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib
from matplotlib.figure import Figure

from encoders.measures.clusters import ReliabilityBin

__all__ = ["reliability_figure"]

_COLOURS = ("#8a8a8a", "#2f7ed8", "#e07b39")


def reliability_figure(curves: Mapping[str, Sequence[ReliabilityBin]]) -> Figure:
    """Observed click rate against foretold probability, a line per model; on the diagonal is honest.

    Args:
        curves: Bins by the model's name.
    """
    with matplotlib.rc_context({"axes.spines.top": False, "axes.spines.right": False, "font.size": 10}):
        figure = Figure(figsize=(4.6, 4.0), layout="constrained")
        axes = figure.subplots()
        ends = [value for bins in curves.values() for b in bins for value in (b.predicted, b.observed)]
        top = max(ends, default=1.0)
        axes.plot([0.0, top], [0.0, top], linestyle="--", linewidth=1, color="#5a6675")
        for colour, (name, bins) in zip(_COLOURS * len(curves), curves.items(), strict=False):
            axes.plot(
                [b.predicted for b in bins],
                [b.observed for b in bins],
                "o-",
                color=colour,
                markersize=4,
                linewidth=1.6,
                label=name,
            )
        axes.set_xlabel("click probability foretold, once looked at")
        axes.set_ylabel("click rate observed")
        if curves:
            axes.legend(frameon=False)
        return figure
