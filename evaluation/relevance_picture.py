"""The picture of the report's chapter on the relevance model: are its click probabilities honest?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib

from encoders.measures.clusters import ReliabilityBin
from encoders.measures.pictures import reliability_figure
from evaluation.plots import STYLE, svg

__all__ = ["draw_reliability"]


def draw_reliability(curves: Mapping[str, Sequence[ReliabilityBin]]) -> str:
    """Observed click rate against foretold probability, a line per model; inline SVG."""
    with matplotlib.rc_context(STYLE):
        return svg(
            reliability_figure(curves),
            "Observed click rate against foretold click probability for " + ", ".join(curves),
        )
