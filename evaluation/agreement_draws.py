"""Draws of what simulated and true values of policies really are, given that both were measured with known errors.

To add noise to the measured values once more, as a plain parametric bootstrap does, would count the error twice and
make every rank correlation look worse than it is. The draws here are from the posterior under a normal-normal model:
the P pairs (simulated, true) come from a bivariate normal population, each measured with its error. The population's
covariance is drawn too, from the inverse Wishart posterior of what the P measured pairs show, less the mean error
(Efron and Morris, "Data analysis using Stein's estimator", JASA 1975, with a covariance that is not taken for known).
Where errors are small beside the spread of the policies, the draws are the measured values and their errors.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["draw_values"]

Array = NDArray[np.float64]
_LEAST = 4  # fewer policies tell nothing of a population
_CHUNK = 500  # draws whose matrices are held at once
_TINY = 1e-9  # least variance in any direction, over that of the values, so that matrices can be inverted


def draw_values(
    simulated: Array, true: Array, simulated_covariance: Array, true_covariance: Array, *, n: int, seed: int
) -> tuple[Array, Array]:
    """Draws (n, P) and (n, P) of the real simulated and true values.

    Args:
        simulated: (P,) measured.
        true: (P,) measured.
        simulated_covariance: (P, P) of the errors of `simulated`.
        true_covariance: (P, P) of the errors of `true`; the two sides' errors are independent.
        n: Draws.
        seed: Of the draws.
    """
    P = simulated.size
    rng = np.random.default_rng(seed)
    measured = np.concatenate([simulated, true])  # (2P,)
    error = np.zeros((2 * P, 2 * P))
    error[:P, :P], error[P:, P:] = simulated_covariance, true_covariance
    if not error.any():
        out = np.broadcast_to(measured, (n, 2 * P))
    elif P < _LEAST:
        out = rng.multivariate_normal(measured, error, size=n, method="eigh", check_valid="ignore")
    else:
        # Both sides in units of their own spread, whatever the score is counted in.
        spread = [side.std(ddof=1) for side in (simulated, true)]
        unit = np.repeat([s if s > 0 else 1.0 for s in spread], P)
        scaled = measured / unit, error / np.outer(unit, unit)
        parts = [_posterior(*scaled, min(_CHUNK, n - start), rng) for start in range(0, n, _CHUNK)]
        # What was measured without error is known.
        out = np.where(np.diag(error) > 0, np.concatenate(parts) * unit, measured)
    return out[:, :P], out[:, P:]


def _posterior(measured: Array, error: Array, n: int, rng: np.random.Generator) -> Array:
    """`n` draws (n, 2P) by Matheron's rule: a draw of values and measurements, moved to the measurements made.

    Both sides are given in units of their spread.
    """
    P = measured.size // 2
    pairs = measured.reshape(2, P)
    total = np.cov(pairs)  # (2, 2) population and errors together
    root = np.linalg.cholesky(total + _TINY * np.eye(2))
    normal = rng.standard_normal((n, P - 1, 2))
    inverse = np.linalg.inv(np.einsum("npi,npj->nij", normal, normal))
    totals = (P - 1) * np.einsum("ij,njk,lk->nil", root, inverse, root)  # (n, 2, 2) inverse Wishart
    mine = np.diag([_scatter(error[:P, :P]), _scatter(error[P:, P:])])
    values, vectors = np.linalg.eigh(totals - mine)
    population = np.einsum("nij,nj,nkj->nik", vectors, np.maximum(values, _TINY), vectors)
    mean = (
        pairs.mean(axis=1) + _times(np.linalg.cholesky(totals / P), rng.standard_normal((n, 2, 1)))[:, :, 0]
    )
    spread = _times(np.linalg.cholesky(population), rng.standard_normal((n, 2, P)))
    drawn = (mean[:, :, None] + spread).reshape(n, 2 * P)
    slip = rng.multivariate_normal(np.zeros(2 * P), error, size=n, method="eigh", check_valid="ignore")
    prior = np.einsum("nij,pq->nipjq", population, np.eye(P)).reshape(n, 2 * P, 2 * P)
    # Policies that err together make the errors' covariance singular; a little on the diagonal mends that.
    together = prior + error + _TINY * np.eye(2 * P)
    weight = np.linalg.solve(together, (measured - drawn - slip)[:, :, None])
    return np.asarray(drawn + _times(prior, weight)[:, :, 0])


def _scatter(error: Array) -> float:
    """What errors of this covariance (P, P) add to the sample variance of P values."""
    P = error.shape[0]
    return float((np.trace(error) - error.sum() / P) / (P - 1))


def _times(a: Array, b: Array) -> Array:
    return np.asarray(a @ b, np.float64)
