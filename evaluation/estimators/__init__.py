"""Off-policy estimators: pure functions of arrays that return an `Estimate`."""

from __future__ import annotations

from evaluation.estimators.click_model import pbm_ips
from evaluation.estimators.cressie_read import cressie_read, cressie_read_bounds
from evaluation.estimators.doubly_robust import dm, dr, model_values, sndr
from evaluation.estimators.result import Estimate, effective_sample_size, ratio_estimate
from evaluation.estimators.sessions import pdis, tis, wpdis, wtis
from evaluation.estimators.sessions_dr import session_cascade_dr, session_dr, session_wdr
from evaluation.estimators.sessions_marginal import session_mis
from evaluation.estimators.shrinkage import clipped_dr, clipped_ips, dros, sgdr, sgips, switch_dr
from evaluation.estimators.single import bips, ips, snips
from evaluation.estimators.slate import iips, rips, sips, sniips, snrips, snsips

__all__ = [
    "Estimate",
    "bips",
    "clipped_dr",
    "clipped_ips",
    "cressie_read",
    "cressie_read_bounds",
    "dm",
    "dr",
    "dros",
    "effective_sample_size",
    "iips",
    "ips",
    "model_values",
    "pbm_ips",
    "pdis",
    "ratio_estimate",
    "rips",
    "session_cascade_dr",
    "session_dr",
    "session_mis",
    "session_wdr",
    "sgdr",
    "sgips",
    "sips",
    "sndr",
    "sniips",
    "snips",
    "snrips",
    "snsips",
    "switch_dr",
    "tis",
    "wpdis",
    "wtis",
]
