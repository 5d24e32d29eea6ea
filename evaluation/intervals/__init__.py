"""Confidence intervals: rows of one session or user are not independent, so they are summed by cluster first.

What is resampled, counted or averaged is always users (else sessions), never single slates of one session. Which
method answers what, with its assumptions: docs/intervals.md.
"""

from __future__ import annotations

from evaluation.intervals.bootstrap import (
    BootstrapSums,
    bootstrap_difference,
    bootstrap_estimate,
    bootstrap_ratio,
)
from evaluation.intervals.interval import Interval
from evaluation.intervals.means import estimate_interval, mean_interval, paired_difference

__all__ = [
    "BootstrapSums",
    "Interval",
    "bootstrap_difference",
    "bootstrap_estimate",
    "bootstrap_ratio",
    "estimate_interval",
    "mean_interval",
    "paired_difference",
]
