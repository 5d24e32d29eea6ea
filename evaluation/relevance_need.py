"""Does a policy rank by a relevance that what it is shown does not have?

A log holds no relevance model. A policy that reads relevance scores then reads zeros, ranks as if all candidates were
alike, and would be judged by propensities that are not its own: it is asked before, by scores that differ.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from agents.base import Policy
    from envs.observation import Observation

__all__ = ["NO_RELEVANCE", "needs_missing_relevance"]

NO_RELEVANCE = (
    "it ranks by relevance, or by what depends on it, and these pages hold none: with scores of 0 it would be judged "
    "as a policy that it is not; give the shop's tables, LogJudge.with_policies(..., shop=(features, task)), or name "
    "the run that trained it"
)
"""Why there is no figure."""

_PAGES = 64
_ROUNDING = 1e-9  # two calls of one network may differ by rounding; scores move propensities by far more


def needs_missing_relevance(policy: Policy, observation: Observation, *, slate_size: int) -> bool:
    """Whether no candidate has a relevance and the policy's propensities depend on it.

    The policy states its propensities of the first candidates with the scores as they are (all 0), rising and falling
    down the candidates: who does not read scores says the same three times.

    Args:
        policy: The policy judged.
        observation: What it sees.
        slate_size: Positions of a page.
    """
    real = observation.candidates >= 0
    if bool((observation.scores[real] != 0).any()):
        return False
    choices = real.sum(axis=1)
    rows = np.flatnonzero(choices >= 2)
    if not rows.size:
        return False  # nothing to choose, nothing to rank by
    rows = rows[np.unique(np.linspace(0, rows.size - 1, _PAGES).round().astype(np.int64))]
    seen = observation.take(rows)
    width = min(slate_size, int(choices[rows].min()))
    actions = np.tile(np.arange(width), (rows.size, 1))
    as_it_is = policy.propensity(seen, actions)
    if as_it_is is None:
        return False
    down = np.linspace(0.9, 0.1, seen.scores.shape[1], dtype=np.float32)
    for scores in (down[::-1], down):
        probe = dataclasses.replace(seen, scores=np.where(seen.candidates >= 0, scores, np.float32(0.0)))
        said = policy.propensity(probe, actions)
        if said is None or not np.allclose(said.item, as_it_is.item, rtol=0, atol=_ROUNDING, equal_nan=True):
            return True
    return False
