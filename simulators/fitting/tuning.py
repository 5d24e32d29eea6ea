"""How strong a prior the data can do without: chosen on the latest training sessions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from simulators.fitting.config import FitConfig
from simulators.fitting.likelihood import (
    Parameters,
    Problem,
    conditional_log_likelihood,
    constant_rate,
    maximise,
)

__all__ = ["fit_tuned"]

_FEWEST = 20
"""Outcomes of each kind among the later sessions below which nothing is chosen by them: a handful of clicks would take
the weakest prior as readily as the strongest, which is kept then."""


def fit_tuned(
    early: Problem,
    late: Problem,
    late_group: NDArray[np.int64],
    whole: Problem,
    config: FitConfig,
    tick: Callable[[str], None],
) -> tuple[Parameters, float, NDArray[np.float64]]:
    """Fit to `whole` with the strength that serves `late` best after a fit to `early`.

    Args:
        early: The earlier training sessions.
        late: The later ones.
        late_group: (n,) session of each row of `late`: differences are averaged by session.
        whole: Both.
        config: Strengths and iterations.
        tick: Told of each fit done.

    Returns:
        The parameters, the strength, and the log-likelihood (S,) of the later sessions after that fit to the earlier
        (empty where nothing could be compared). A weaker prior must beat the stronger by one standard error.
    """
    strengths = sorted(config.strengths, reverse=True)
    if whole.family == "plain" and len(np.unique(whole.outcome)) < 2:
        # Nothing varies: no likelihood has a maximum here.
        return constant_rate(whole), strengths[0], np.empty(0)
    best, best_strength, best_score = None, strengths[0], None
    fitted: Parameters | None = None
    hits = int(late.outcome.sum())
    told = min(hits, len(late.outcome) - hits) >= _FEWEST
    useful = len(strengths) > 1 and told and 0 < early.outcome.sum() < len(early.outcome)
    _, group = np.unique(late_group, return_inverse=True)
    for strength in strengths if useful else ():
        # Half the iterations are enough to compare by; the final fit starts from the winner.
        fitted = maximise(
            early, strength=strength, max_iterations=max(config.max_iterations // 2, 1), start=fitted
        )
        tick(f"prior {strength:g}")
        score = np.bincount(group, conditional_log_likelihood(late, fitted)).astype(np.float64)
        if best_score is not None:
            gain = score - best_score
            error = gain.std(ddof=1) / np.sqrt(len(gain)) if len(gain) > 1 else np.inf
            if not gain.mean() > error:
                break
        best, best_strength, best_score = fitted, strength, score
    result = maximise(whole, strength=best_strength, max_iterations=config.max_iterations, start=best)
    tick("final")
    return result, best_strength, np.empty(0) if best_score is None else best_score
