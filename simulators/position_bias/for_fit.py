"""What a simulator's fit takes from here: an examination that is held while appeal is fitted, and notes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError
from behavior.steps import LoggedSteps
from encoders.features import FeatureTables
from simulators.fitting.config import FitConfig
from simulators.fitting.replay import Replay
from simulators.parts.rows import impression_names
from simulators.position_bias.harvest import Harvest, harvest
from simulators.position_bias.identify import FIRM, Identification, identify
from simulators.position_bias.overlap import measure_overlap
from simulators.position_bias.regression_em import MOST_IMPRESSIONS, fit_regression_em
from simulators.position_bias.swaps import pooled

__all__ = ["held_log_gamma", "identification_of", "position_notes"]

_LATE = 0.15  # share of the impressions that says when the trees are enough
_SURE = 0.1  # largest standard error of log examination at which swaps are taken without being asked for
_MODELS = ("pbm", "mnl")  # where a place's examination is a number of its own, to be told from appeal


def held_log_gamma(
    name: str,
    config: FitConfig,
    train: LoggedSteps,
    seen: Replay,
    session_weight: NDArray[np.float64] | None = None,
) -> NDArray[np.float64] | None:
    """Log examination (K,), the largest 0, that the fit of the click model `name` is to hold; None: it is to be fitted.

    Args:
        name: The click model.
        config: `examination_from` chooses.
        train: Sessions to learn from.
        seen: The same, replayed.
        session_weight: (S,) of the sessions in order, for a member of an ensemble.

    Raises:
        InputError: Another model than the position-based one; or swaps that do not join all positions.
    """
    if config.examination_from == "joint" or (config.examination_from == "auto" and name != "pbm"):
        return None
    if name != "pbm":
        raise InputError(
            f"examination from {config.examination_from} is for the position-based model; this is {name!r}",
            where="FitConfig.examination_from",
            mend="--simulator pbm, or --examination-from joint",
        )
    if config.examination_from == "regression-em":
        last = slice(max(len(seen.rows) - MOST_IMPRESSIONS, 0), None)
        n = len(seen.rows[last])
        em = fit_regression_em(
            seen.rows[last],
            seen.position[last],
            seen.click[last],
            n_positions=train.slate_size,
            regressor="trees",
            judge=np.arange(n) >= (1.0 - _LATE) * n,
        )
        theta = em.examination
        fill = np.nanmin(theta)  # a position where nothing was shown
        return np.asarray(np.log(np.maximum(np.where(np.isfinite(theta), theta, fill), 1e-4)))
    found = harvest(train)
    known = identify(train, found=found)
    if config.examination_from == "auto" and not _sure(known):
        return None
    _check_joined(known)
    log_gamma = pooled(*found.counts(session_weight))
    shown = np.array([p.shown > 0 for p in known.positions])
    log_gamma = np.where(shown, log_gamma, log_gamma[shown].min())
    return np.asarray(log_gamma - log_gamma.max())


def identification_of(
    train: LoggedSteps, features: FeatureTables, seen: Replay, found: Harvest | None = None
) -> Identification:
    """`identify` with the overlap of the simulator's own feature rows."""
    names = impression_names(features, train.context_names)
    return identify(
        train,
        found=found,
        overlap=lambda: measure_overlap(
            seen.rows,
            seen.position,
            seen.page,
            train.query[seen.page].astype(np.int64),
            seen.item,
            n_positions=train.slate_size,
            names=names,
        ),
    )


def position_notes(
    name: str, train: LoggedSteps, features: FeatureTables, seen: Replay, config: FitConfig
) -> tuple[str, ...]:
    """What the log cannot tell of examination, in words, and what was chosen; empty where swaps settle a joint fit."""
    if name not in _MODELS:
        return ()
    known = identification_of(train, features, seen)
    chosen = []
    if config.examination_from == "auto" and name == "pbm":
        way = "taken from items that were swapped" if _sure(known) else "fitted together with appeal"
        chosen = [f"position bias: examination was {way}"]
    return (*known.sentences(), *chosen)


def _sure(known: Identification) -> bool:
    return all(p.standard_error <= _SURE for p in known.positions if p.shown)


def _check_joined(known: Identification) -> None:
    loose = [k + 1 for k, p in enumerate(known.positions) if p.shown and not p.standard_error <= FIRM]
    if not loose:
        return
    groups = " | ".join(" ".join(str(k + 1) for k in group) for group in known.groups())
    raise InputError(
        f"examination from swaps was asked for, but too few items were shown both at position "
        f"{known.reference + 1} (or one that swaps tie to it) and at position {', '.join(map(str, loose))}; positions "
        f"that swaps join: {groups}",
        where="FitConfig.examination_from",
        mend="--examination-from joint, a longer log, or one in which items change their positions",
    )
