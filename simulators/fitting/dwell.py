"""How long users stay on what they clicked: a log-normal or a gamma law, whichever foretells later sessions better."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from behavior.steps import LoggedSteps
from simulators.fitting.centres import LEAST_SCALE
from simulators.fitting.priors import NAMED_PENALTY
from simulators.fitting.replay import Replay
from simulators.fitting.report import PartScore
from simulators.fitting.scores import mean
from simulators.parts.dwell import LAWS, LinearDwell

if TYPE_CHECKING:
    from simulators.fitting.fit import PartFitter

__all__ = ["DwellFit", "dwell_log_density", "fit_dwell", "fit_law"]

_FEWEST = 50
"""Clicks with a dwell below which nothing is fitted."""
_MAX_ITERATIONS = 200
_MOST = 50.0  # exponents beyond this are met in a line search only

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class _Dwells:
    """Clicks whose dwell is known."""

    rows: NDArray[np.float32]  # (n, P+1) feature rows of the clicked items; whether bought
    log_seconds: Floats  # (n,)
    session: NDArray[np.int64]  # (n,)

    def take(self, keep: NDArray[np.bool_]) -> _Dwells:
        return _Dwells(rows=self.rows[keep], log_seconds=self.log_seconds[keep], session=self.session[keep])


@dataclass(frozen=True, kw_only=True)
class DwellFit:
    """One law, fitted."""

    law: str
    weights: Floats  # (P+1,) raw units
    form: float

    def log_density(self, rows: NDArray[np.float32], log_seconds: Floats, low: float, high: float) -> Floats:
        """Log-density (n,) per second, the law's place kept between `low` and `high`."""
        place = np.clip(rows.astype(np.float64) @ self.weights, low, high)
        return dwell_log_density(self.law, place, self.form, log_seconds)


def dwell_log_density(law: str, place: Floats, form: float, log_seconds: Floats) -> Floats:
    """Log-density (n,) of seconds under the laws of `LinearDwell`."""
    from scipy.special import gammaln

    y = log_seconds
    if law == "log-normal":
        return np.asarray(-y - np.log(form) - 0.5 * np.log(2 * np.pi) - 0.5 * ((y - place) / form) ** 2)
    ratio = np.exp(np.minimum(y - place, _MOST))
    return np.asarray(form * (np.log(form) - place - ratio) + (form - 1.0) * y - gammaln(form))


def fit_law(
    law: str,
    rows: NDArray[np.float32],
    log_seconds: Floats,
    penalty: NDArray[np.float32],
    strength: float,
    weight: Floats | None = None,
) -> DwellFit:
    """The most probable law, under a Gaussian prior on the weights of standardised columns.

    Args:
        law: One of `LAWS`.
        rows: (n, C) columns, the first constant.
        log_seconds: (n,).
        penalty: (C,) relative tightness of the prior, 0 for the constant.
        strength: Multiplies it.
        weight: (n,) how much each row counts; None: 1.
    """
    from scipy.optimize import minimize

    n, y = len(rows), log_seconds
    count = np.ones(n) if weight is None else weight
    centre = rows.mean(axis=0, dtype=np.float64)
    scale = np.maximum(rows.std(axis=0, dtype=np.float64), LEAST_SCALE)
    centre[0], scale[0] = 0.0, 1.0
    x = (rows - centre) / scale
    prior = strength * penalty.astype(np.float64)
    start = np.zeros(x.shape[1] + 1)
    start[0] = y.mean() if law == "log-normal" else np.log(np.exp(y).mean())
    start[-1] = np.log(max(y.std(), 0.1)) if law == "log-normal" else 0.0

    def loss(theta: Floats) -> tuple[float, Floats]:
        w, form = theta[:-1], float(np.exp(theta[-1]))
        place = x @ w
        by_place, by_form = _slopes(law, place, form, y)
        value = -(count * dwell_log_density(law, place, form, y)).sum() + 0.5 * (prior * w * w).sum()
        slope = np.append(prior * w - (count * by_place) @ x, -(count * by_form).sum())
        return value / n, slope / n

    bounds = [(None, None)] * x.shape[1] + [(-5.0, 5.0)]  # a form between 0.007 and 150
    found: Any = minimize(
        loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": _MAX_ITERATIONS}
    )
    raw = found.x[:-1] / scale
    raw[0] -= (raw * centre).sum()
    return DwellFit(law=law, weights=raw, form=float(np.exp(found.x[-1])))


def _slopes(law: str, place: Floats, form: float, y: Floats) -> tuple[Floats, Floats]:
    """Slopes (n,) of the log-density by the place and by the log of the form."""
    from scipy.special import digamma

    if law == "log-normal":
        z = (y - place) / form
        return z / form, z * z - 1.0
    ratio = np.exp(np.minimum(y - place, _MOST))
    return form * (ratio - 1.0), form * (np.log(form) + 1.0 - place + y - ratio - digamma(form))


def fit_dwell(
    fitter: PartFitter, valid: LoggedSteps, notes: list[str]
) -> tuple[LinearDwell | None, tuple[PartScore, ...]]:
    """The part and its held-out score; None, with a note, where the log tells too little."""
    if fitter.train.dwell is None:
        notes.append("the log has no dwell_seconds: simulated clicks carry no dwell")
        return None, ()
    mine, zeros = _dwells(fitter.train, fitter.seen)
    if len(mine.session) < _FEWEST:
        notes.append(
            f"only {len(mine.session)} clicks of the log have a dwell above 0: simulated clicks carry none"
        )
        return None, ()
    if zeros:
        notes.append(f"{zeros:,} clicks with a dwell of 0 seconds are left out of the fit of dwell")
    penalty = np.append(fitter.penalty, np.float32(NAMED_PENALTY))
    key = _chosen(fitter, mine, penalty)
    if key is None:
        return None, ()
    law, strength = key
    weight = None if fitter.resample is None else fitter.resample.of(mine.session)
    fitted = fit_law(law, mine.rows, mine.log_seconds, penalty, strength, weight)
    low, high = float(mine.log_seconds.min()), float(mine.log_seconds.max())
    held, _ = _dwells(valid, fitter.held)
    plain = (float(mine.log_seconds.mean()), float(max(mine.log_seconds.std(), 1e-3)))
    score = PartScore(
        part="dwell",
        metric="log-likelihood per click",
        value=mean(fitted.log_density(held.rows, held.log_seconds, low, high)),
        baseline=mean(
            dwell_log_density("log-normal", np.full(len(held.session), plain[0]), plain[1], held.log_seconds)
        ),
        baseline_name="constant log-normal",
        n=len(held.session),
        higher_is_better=True,
    )
    part = LinearDwell(
        law=law,
        weights=fitted.weights[:-1].astype(np.float32),
        bought=float(fitted.weights[-1]),
        form=fitted.form,
        low=low,
        high=high,
    )
    return part, (score,)


def _dwells(steps: LoggedSteps, seen: Replay) -> tuple[_Dwells, int]:
    """Clicks with a dwell above 0, and how many have one of 0."""
    if steps.dwell is None:
        seconds = np.full(len(seen.page), np.nan)
    else:
        seconds = steps.dwell[seen.page, seen.position].astype(np.float64)
    clicked = seen.click > 0
    known = clicked & (seconds > 0)
    rows = np.c_[seen.rows[known], seen.purchase[known].astype(np.float32)]
    found = _Dwells(rows=rows, log_seconds=np.log(seconds[known]), session=seen.session[seen.page[known]])
    return found, int((clicked & (seconds == 0)).sum())


def _chosen(fitter: PartFitter, mine: _Dwells, penalty: NDArray[np.float32]) -> tuple[str, float] | None:
    """Law and strength of the prior: by the last part of the training sessions, or, for a member, as chosen before."""
    if fitter.resample is not None:
        known = fitter.resample.strengths
        return next(((law, known[_part(law)]) for law in LAWS if _part(law) in known), None)
    cut = fitter.train.session[min(fitter.cut_page, fitter.train.n_steps - 1)]
    early, late = mine.take(mine.session < cut), mine.take(mine.session >= cut)
    strengths = sorted(fitter.config.strengths, reverse=True)
    best_law, best_strength, best = LAWS[0], strengths[0], None
    if len(early.session) >= _FEWEST // 2 and len(late.session) > 1:
        for law in LAWS:
            strength, score = _best_strength(law, early, late, penalty, strengths)
            if best is None or _gains(score, best):
                best_law, best_strength, best = law, strength, score
    fitter.strengths[_part(best_law)] = best_strength
    fitter.tick("dwell")
    return best_law, best_strength


def _best_strength(
    law: str, early: _Dwells, late: _Dwells, penalty: NDArray[np.float32], strengths: list[float]
) -> tuple[float, Floats]:
    """The strength, and what a fit with it to `early` says of each session of `late`; weaker ones must earn it."""
    _, group = np.unique(late.session, return_inverse=True)
    low, high = float(early.log_seconds.min()), float(early.log_seconds.max())
    best, best_score = strengths[0], None
    for strength in strengths:
        fitted = fit_law(law, early.rows, early.log_seconds, penalty, strength)
        density = fitted.log_density(late.rows, late.log_seconds, low, high)
        score = np.bincount(group, density).astype(np.float64)
        if best_score is not None and not _gains(score, best_score):
            break
        best, best_score = strength, score
    assert best_score is not None
    return best, best_score


def _gains(score: Floats, other: Floats) -> bool:
    """Whether `score` (S,) is better by more than one standard error over sessions."""
    gain = score - other
    error = gain.std(ddof=1) / np.sqrt(len(gain)) if len(gain) > 1 else np.inf
    return bool(gain.mean() > error)


def _part(law: str) -> str:
    """The name under which the report keeps the strength."""
    return f"dwell ({law})"
