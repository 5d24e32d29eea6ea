"""Propensities of a log that states none, estimated by conditional logits over the logged candidates.

The choice of each position's item is a multinomial logit over the candidates that are not shown above it (McFadden
1974), with the candidates' features and coefficients for each position that are drawn towards common ones:

    page down to a position:   product over positions of softmax over the candidates left
    item at its position:      mean of that softmax over pages drawn from the model itself

In a log of single impressions both are the softmax over all candidates of the slot.

Each row is foretold by a model fitted to *other* sessions, and its logits are then stretched by the temperature that
suits the sessions of other folds best (Guo, Pleiss, Sun, Weinberger, ICML 2017, section 4.2). Whether what is
foretold comes true is checked in bins. All this gives propensities of the *right* policy only if the logging policy
depends on the given features alone: no check on the log can show that, hence the warning.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError
from evaluation.fqe.folds import session_folds

if TYPE_CHECKING:
    from agents.calibration import Calibration

__all__ = [
    "EstimatedPropensities",
    "PropensityConfig",
    "PropensityWarning",
    "estimate_propensities",
]


class PropensityWarning(UserWarning):
    """Propensities were estimated: every figure made with them rests on the model."""


@dataclass(frozen=True, kw_only=True)
class PropensityConfig:
    """How propensities are estimated."""

    n_folds: int = 5
    """Sessions are split into so many folds by a hash of their label."""
    ridge: float = 1.0
    """Prior precision of the common coefficients, of standardised features."""
    position_ridge: float = 10.0
    """Prior precision of what each position's coefficients differ from the common ones."""
    n_bins: int = 10
    """Bins of the check."""
    tolerance: float = 0.2
    """Share by which a bin's frequency may differ from what was foretold, beyond three standard errors, and the
    calibration line's slope from 1, and still be called calibrated."""
    max_iterations: int = 200
    """Of L-BFGS."""
    draws: int = 64
    """Pages drawn for each row for the item's chance at its position; its error falls with their square root, and is
    a few per cent of the chance at 64."""
    seed: int = 0
    """Seed of these draws. They do not depend on the order of the rows."""


@dataclass(frozen=True, kw_only=True)
class EstimatedPropensities:
    """Estimated propensities of `M` logged pages, with what is known of their worth."""

    item: NDArray[np.float64]
    """(M, K) of the item at its position; 1 where a position is empty."""
    cascade: NDArray[np.float64]
    """(M, K) of the page down to the position."""
    slate: NDArray[np.float64]
    """(M,) of the whole page."""
    item_calibration: Calibration
    """Foretold against seen frequencies, of all candidates at all positions."""
    cascade_calibration: Calibration
    """The same given the items above, of the candidates that were left."""
    calibrated: bool
    """Whether both agree within the tolerance."""
    warning: str
    """What must stand beside every figure made with these propensities."""


def estimate_propensities(
    features: NDArray[Any],
    candidate: NDArray[np.bool_],
    action: NDArray[Any],
    sessions: NDArray[Any],
    *,
    config: PropensityConfig | None = None,
) -> EstimatedPropensities:
    """Estimates propensities, cross-fitted by session, and warns.

    Memory is a few arrays of M x N x K numbers.

    Args:
        features: (M, N, F) of each candidate, as the logging policy may have seen them: finite.
        candidate: (M, N) False where a list is padded.
        action: (M, K) place of the shown item among the candidates, -1 where a position is empty.
        sessions: (M,) labels; rows of one session are never used to foretell each other.
        config: How.

    Raises:
        InputError: Shapes that do not go together, features that are not finite, items that are no candidates or
            stand twice on a page, or fewer sessions than folds.
    """
    config = config or PropensityConfig()
    x, candidate, action = _checked(features, candidate, action)
    folds = session_folds(np.asarray(sessions), config.n_folds)
    if folds.shape != action.shape[:1] or np.unique(folds).size < config.n_folds:
        raise InputError(
            f"{np.unique(folds).size} of {config.n_folds} folds hold one of {folds.shape[0]:,} rows' sessions",
            where="estimate_propensities",
            mend="Pass a session label for each row, and fewer folds where there are few sessions.",
        )
    # In an order of their own, so that sums, fits and draws are the same however the rows come.
    order = np.lexsort((x.sum(axis=(1, 2)), *action.T, _hashes(sessions)))
    x, candidate, action, folds = x[order], candidate[order], action[order], folds[order]
    logits, could, hot = _foretold(_scaled(x, candidate), candidate, action, folds, config)
    step, step_check = _shown(_softmax(logits, could), could, hot, config)
    item, item_check = step, step_check
    if ((action >= 0).sum(axis=1) > 1).any():
        anything = candidate[:, :, None] & (action >= 0)[:, None, :]
        item, item_check = _shown(_marginals(logits, candidate, action >= 0, config), anything, hot, config)
    back = np.argsort(order)
    cascade = np.asarray(np.cumprod(step[back], axis=1), np.float64)
    # A page down to an item is one of the ways to show it there: draws may miss all of them.
    item = np.where((action >= 0)[back], np.maximum(item[back], cascade), 1.0)
    good = _calibrated(item_check, config) and _calibrated(step_check, config)
    verdict = (
        "what it foretells agrees with frequencies in the log"
        if good
        else "IT IS NOT CALIBRATED: figures made with these propensities cannot be believed"
    )
    text = (
        f"propensities were ESTIMATED by a logit over {x.shape[2]} candidate features, not logged; {verdict} "
        f"(slope {item_check.slope:.2f} for items, {step_check.slope:.2f} given the items above). If the logging "
        "policy used anything else, every estimate is biased by an unknown amount. Log propensities."
    )
    warnings.warn(text, PropensityWarning, stacklevel=2)
    return EstimatedPropensities(
        item=item,
        cascade=cascade,
        slate=cascade[:, -1].copy(),
        item_calibration=item_check,
        cascade_calibration=step_check,
        calibrated=good,
        warning=text,
    )


def _checked(
    features: NDArray[Any], candidate: NDArray[Any], action: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.intp]]:
    where = "estimate_propensities"
    x, places = np.asarray(features, np.float64), np.asarray(action)
    if x.ndim != 3 or candidate.shape != x.shape[:2] or candidate.dtype != np.bool_:
        raise InputError(
            f"`features` {x.shape} and `candidate` {candidate.dtype} {candidate.shape}",
            where=where,
            mend="Pass (M, N, F) numbers and (M, N) booleans.",
        )
    if places.dtype.kind not in "iu" or places.ndim != 2 or places.shape[0] != x.shape[0]:
        raise InputError(
            f"`action` is {places.dtype} of shape {places.shape}",
            where=where,
            mend="Pass (M, K) places among the candidates, -1 where a position is empty.",
        )
    if not np.isfinite(x[candidate]).all():
        row = int(np.flatnonzero(~np.isfinite(np.where(candidate[:, :, None], x, 0.0)).all(axis=(1, 2)))[0])
        raise InputError("a feature is nan or infinite", where=f"{where}, row {row}", mend="Fill it.")
    shown = places >= 0
    bad = ~shown.any(axis=1) | (places >= x.shape[1]).any(axis=1)
    chosen = np.where(shown, np.minimum(places, x.shape[1] - 1), 0).astype(np.intp)
    bad |= (shown & ~np.take_along_axis(candidate, chosen, axis=1)).any(axis=1)
    count = np.zeros(x.shape[:2], np.int64)
    np.add.at(count, (np.arange(x.shape[0])[:, None], chosen), shown)
    bad |= (count > 1).any(axis=1)
    if bad.any():
        row = int(bad.argmax())
        raise InputError(
            f"the page {places[row].tolist()} shows nothing, an item twice, or one that is no candidate "
            f"({int(bad.sum())} such rows)",
            where=f"{where}, row {row}",
            mend="Leave such rows out knowingly, or correct the candidates.",
        )
    return np.where(candidate[:, :, None], x, 0.0), candidate, np.where(shown, chosen, -1)


def _scaled(x: NDArray[np.float64], candidate: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Features with mean 0 and spread 1 over all candidates, 0 at padding."""
    mean, spread = x[candidate].mean(axis=0), x[candidate].std(axis=0)
    scaled = (x - mean) / np.where(spread > 1e-12, spread, 1.0)
    return np.where(candidate[:, :, None], scaled, 0.0)


def _hashes(sessions: NDArray[Any]) -> NDArray[np.uint64]:
    import pandas as pd

    return np.asarray(pd.util.hash_array(np.asarray([str(s) for s in sessions.tolist()], object)), np.uint64)


def _foretold(
    x: NDArray[np.float64],
    candidate: NDArray[np.bool_],
    action: NDArray[np.intp],
    folds: NDArray[np.int64],
    config: PropensityConfig,
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_]]:
    """Logits (M, N, K) of each row by models of other folds; which candidates could be chosen there, and which was."""
    M, N, _ = x.shape
    K = action.shape[1]
    shown = action >= 0
    hot = np.zeros((M, N, K), np.bool_)
    row, position = np.nonzero(shown)
    hot[row, action[row, position], position] = True
    could = np.repeat(candidate[:, :, None], K, axis=2)
    could[:, :, 1:] &= ~np.logical_or.accumulate(hot, axis=2)[:, :, :-1]
    could &= shown[:, None, :]
    logits = np.empty((M, N, K))
    for fold in range(config.n_folds):
        others = folds != fold
        weight = _fit(x[others], could[others], hot[others], config)
        logits[~others] = x[~others] @ weight.T
    stretch = np.empty(config.n_folds)
    for fold in range(config.n_folds):
        others = folds != fold
        stretch[fold] = _temperature(logits[others], could[others], hot[others])
    return stretch[folds][:, None, None] * logits, could, hot


def _shown(
    chance: NDArray[np.float64], could: NDArray[np.bool_], hot: NDArray[np.bool_], config: PropensityConfig
) -> tuple[NDArray[np.float64], Calibration]:
    """(M, K) chance of each shown item, 1 where a position is empty; and how chances (M, N, K) came true."""
    from agents.calibration import ValuePairs, calibrate

    pairs = chance[could]
    check = calibrate(
        ValuePairs(np.nonzero(could)[2], pairs, hot[could].astype(np.float64), np.zeros_like(pairs)),
        n_bins=config.n_bins,
    )
    return np.where(hot.any(axis=1), (chance * hot).sum(axis=1), 1.0), check


def _marginals(
    logits: NDArray[np.float64],
    candidate: NDArray[np.bool_],
    shown: NDArray[np.bool_],
    config: PropensityConfig,
) -> NDArray[np.float64]:
    """(M, N, K) chance of each candidate at each position, averaged over pages drawn from the model.

    Averaging the softmax given the drawn items above, not the drawn items, leaves a fraction of the variance.
    """
    rng = np.random.default_rng(config.seed)
    M, N, K = logits.shape
    total = np.zeros((M, N, K))
    rows = np.arange(M)
    for _ in range(config.draws):
        left = candidate.copy()
        for k in range(K):
            chance = _softmax(logits[:, :, k], left & shown[:, k, None])
            total[:, :, k] += chance
            # Inverse of the distribution function; the last candidate with a chance takes what rounding leaves.
            reached = np.cumsum(chance, axis=1)
            point = rng.random(M) * reached[:, -1]
            drawn = np.minimum((reached <= point[:, None]).sum(axis=1), N - 1)
            left[rows, drawn] &= ~shown[:, k]
    return total / config.draws


def _softmax(logits: NDArray[np.float64], could: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Over the candidates (axis 1) that could be chosen; zeros at positions where none could."""
    masked = np.where(could, logits, -np.inf)
    high = masked.max(axis=1, keepdims=True)
    raised = np.exp(masked - np.where(np.isfinite(high), high, 0.0))
    chance: NDArray[np.float64] = raised / np.maximum(raised.sum(axis=1, keepdims=True), 1e-300)
    return chance


def _fit(
    x: NDArray[np.float64], could: NDArray[np.bool_], hot: NDArray[np.bool_], config: PropensityConfig
) -> NDArray[np.float64]:
    """(K, F) coefficients: the common ones plus what each position's differ."""
    from scipy.optimize import minimize

    M, N, F = x.shape
    K = hot.shape[2]
    flat = x.reshape(M * N, F)
    seen = hot.reshape(M * N, K).T.astype(np.float64) @ flat  # (K, F) sums of the shown items' features
    precision = np.concatenate([np.full((1, F), config.ridge), np.full((K, F), config.position_ridge)])

    def loss(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        theta = parameters.reshape(K + 1, F)
        weight = theta[0] + theta[1:]
        logits = (flat @ weight.T).reshape(M, N, K)
        masked = np.where(could, logits, -np.inf)
        high = np.where(could.any(axis=1), masked.max(axis=1), 0.0)  # (M, K)
        raised = np.exp(masked - high[:, None, :])
        total = np.maximum(raised.sum(axis=1), 1e-300)
        chosen = could.any(axis=1)
        value = float((np.log(total) + high)[chosen].sum()) - float((weight * seen).sum())
        expected = (raised / total[:, None, :]).reshape(M * N, K).T @ flat
        slope = expected - seen  # (K, F)
        gradient = np.concatenate([slope.sum(axis=0, keepdims=True), slope]) + precision * theta
        return value + 0.5 * float((precision * theta * theta).sum()), gradient.ravel()

    found = minimize(
        loss,
        np.zeros((K + 1) * F),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": config.max_iterations},
    )
    theta = found.x.reshape(K + 1, F)
    weight: NDArray[np.float64] = theta[0] + theta[1:]
    return weight


def _temperature(logits: NDArray[np.float64], could: NDArray[np.bool_], hot: NDArray[np.bool_]) -> float:
    """The factor on logits that makes the shown items likeliest."""
    from scipy.optimize import minimize_scalar

    def loss(log_factor: float) -> float:
        chance = _softmax(float(np.exp(log_factor)) * logits, could)
        return -float(np.log(np.maximum(chance[hot], 1e-300)).sum())

    return float(np.exp(minimize_scalar(loss, bounds=(-1.5, 1.5), method="bounded").x))


def _calibrated(check: Calibration, config: PropensityConfig) -> bool:
    if not np.isfinite(check.slope):  # nothing told candidates apart, and nothing needed to
        return bool((np.abs(check.realised - check.predicted) <= 3 * check.standard_error).all())
    off = np.abs(check.realised - check.predicted) - 3 * check.standard_error
    return bool(
        (off <= config.tolerance * check.predicted).all() and abs(check.slope - 1) <= config.tolerance
    )
