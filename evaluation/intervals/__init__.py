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
from evaluation.intervals.concentration import (
    TermRange,
    bernstein_interval,
    hoeffding_interval,
    one_sided_bound,
)
from evaluation.intervals.cressie_read import cressie_read_interval
from evaluation.intervals.interval import Interval
from evaluation.intervals.means import estimate_interval, mean_interval, paired_difference
from evaluation.intervals.methods import METHODS, IntervalConfig, difference_interval, make_interval
from evaluation.intervals.sequences import ConfidenceSequence, confidence_sequence

__all__ = [
    "METHODS",
    "BootstrapSums",
    "ConfidenceSequence",
    "Interval",
    "IntervalConfig",
    "TermRange",
    "bernstein_interval",
    "bootstrap_difference",
    "bootstrap_estimate",
    "bootstrap_ratio",
    "confidence_sequence",
    "cressie_read_interval",
    "difference_interval",
    "estimate_interval",
    "hoeffding_interval",
    "make_interval",
    "mean_interval",
    "one_sided_bound",
    "paired_difference",
]
