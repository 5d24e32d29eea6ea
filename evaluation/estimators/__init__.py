"""Off-policy estimators: pure functions of arrays that return an `Estimate`."""

from __future__ import annotations

from evaluation.estimators.click_model import pbm_ips
from evaluation.estimators.result import Estimate, effective_sample_size, ratio_estimate
from evaluation.estimators.single import ips, snips
from evaluation.estimators.slate import iips, rips, sips, sniips, snrips, snsips

__all__ = [
    "Estimate",
    "effective_sample_size",
    "iips",
    "ips",
    "pbm_ips",
    "ratio_estimate",
    "rips",
    "sips",
    "sniips",
    "snips",
    "snrips",
    "snsips",
]
