"""Off-policy estimators: pure functions of arrays that return an `Estimate`."""

from __future__ import annotations

from evaluation.estimators.adaptive import adaptive_ips, choose_behaviour, snadaptive_ips
from evaluation.estimators.cascade_dr import (
    cascade_dr,
    cascade_dr_from_values,
    sncascade_dr,
    sncascade_dr_from_values,
)
from evaluation.estimators.click_model import cm_ips, pbm_ips, sncm_ips, snpbm_ips
from evaluation.estimators.cressie_read import cressie_read, cressie_read_bounds
from evaluation.estimators.doubly_robust import dm, dr, model_values, sndr
from evaluation.estimators.latent import latent_ips, latent_probabilities, snlatent_ips
from evaluation.estimators.many_items import mips, offcem
from evaluation.estimators.pseudo_inverse import (
    pseudo_inverse,
    pseudo_inverse_independent,
    pseudo_inverse_support,
    pseudo_inverse_uniform,
)
from evaluation.estimators.result import Estimate, effective_sample_size, ratio_estimate
from evaluation.estimators.sessions import pdis, tis, wpdis, wtis
from evaluation.estimators.sessions_dr import session_cascade_dr, session_dr, session_wdr
from evaluation.estimators.sessions_marginal import session_mis
from evaluation.estimators.shrinkage import clipped_dr, clipped_ips, dros, sgdr, sgips, switch_dr
from evaluation.estimators.single import bips, ips, snips
from evaluation.estimators.slate import iips, rips, sips, sniips, snrips, snsips
from evaluation.estimators.slate_direct import slate_dm, slate_dm_from_draws

__all__ = [
    "Estimate",
    "adaptive_ips",
    "bips",
    "cascade_dr",
    "cascade_dr_from_values",
    "choose_behaviour",
    "clipped_dr",
    "clipped_ips",
    "cm_ips",
    "cressie_read",
    "cressie_read_bounds",
    "dm",
    "dr",
    "dros",
    "effective_sample_size",
    "iips",
    "ips",
    "latent_ips",
    "latent_probabilities",
    "mips",
    "model_values",
    "offcem",
    "pbm_ips",
    "pdis",
    "pseudo_inverse",
    "pseudo_inverse_independent",
    "pseudo_inverse_support",
    "pseudo_inverse_uniform",
    "ratio_estimate",
    "rips",
    "session_cascade_dr",
    "session_dr",
    "session_mis",
    "session_wdr",
    "sgdr",
    "sgips",
    "sips",
    "slate_dm",
    "slate_dm_from_draws",
    "snadaptive_ips",
    "sncascade_dr",
    "sncascade_dr_from_values",
    "sncm_ips",
    "sndr",
    "sniips",
    "snips",
    "snlatent_ips",
    "snpbm_ips",
    "snrips",
    "snsips",
    "switch_dr",
    "tis",
    "wpdis",
    "wtis",
]
