"""Latent IPS: slates weighed by an abstraction of them that still tells how users respond.

    LIPS = mean(w(z_i) R_i),   w(z) = pi_e(z | x) / pi_b(z | x),   pi(z | x) = sum_s pi(s | x) p(z | s)

with `z` an abstraction of the slate: its first items, the categories shown, a learnt code (Kiyohara, Nomura, Saito:
Off-policy evaluation of slate bandit policies via optimizing abstraction, WWW 2024). Slates that share an
abstraction share their weight, so the variance is that of a few abstractions, not of all slates.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from behavior.errors import InputError
from evaluation.estimators.checks import array_of, check_probabilities
from evaluation.estimators.result import Estimate
from evaluation.estimators.weighting import weighted_estimate

__all__ = ["latent_ips", "latent_probabilities", "snlatent_ips"]


def latent_ips(reward: ArrayLike, logging: ArrayLike, evaluation: ArrayLike) -> Estimate:
    """Latent IPS, `mean(w(z) R)`, `w(z)` the ratio of both policies' chances of the abstraction.

    Unbiased where the abstraction is sufficient (slates with the same one are worth the same, in expectation) and
    the log shows every abstraction that the policy would; only *abstractions* need support. One that forgets what
    matters biases it towards the logging policy's value within each abstraction. With one slate an abstraction it
    is SIPS; with one abstraction for all it is the log's mean. Source: Kiyohara, Nomura and Saito, WWW 2024.

    The first m items are an abstraction whose probability is the cascade propensity at position m.

    Args:
        reward: (n, K) reward of each position, or (n,) of the page.
        logging: (n,) logged probability of the row's abstraction, in (0, 1].
        evaluation: (n,) the same under the policy judged. `latent_probabilities` makes both.
    """
    return _latent("LIPS", reward, logging, evaluation, normalise=False)


def snlatent_ips(reward: ArrayLike, logging: ArrayLike, evaluation: ArrayLike) -> Estimate:
    """Self-normalised latent IPS, `sum(w R) / sum(w)`: consistent; otherwise as for `latent_ips`."""
    return _latent("SNLIPS", reward, logging, evaluation, normalise=True)


def _latent(
    name: str, reward: ArrayLike, logging: ArrayLike, evaluation: ArrayLike, *, normalise: bool
) -> Estimate:
    return weighted_estimate(
        name,
        reward,
        logging,
        evaluation,
        reward_ndim=2 if array_of(reward, "reward", name).ndim == 2 else 1,
        propensity_ndim=1,
        normalise=normalise,
    )


def latent_probabilities(probability: ArrayLike, abstraction: ArrayLike) -> NDArray[np.float64]:
    """Probabilities (C, Z) of abstractions, from those of all slates.

    Args:
        probability: (C, S) a policy's probability of each slate in each context; rows sum to 1.
        abstraction: (S,) number of each slate's abstraction, or (S, Z) its distribution `p(z | s)` over them.

    Raises:
        InputError: Shapes that do not go together, or rows that do not sum to 1.
    """
    where = "latent_probabilities"
    p = check_probabilities(probability, name="probability", ndim=2, positive=False, where=where)
    _sums_to_one(p, "probability", where)
    z = array_of(abstraction, "abstraction", where)
    if z.shape[:1] != p.shape[1:] or z.ndim > 2 or (z.ndim == 1 and z.dtype.kind not in "iu"):
        raise InputError(
            f"`abstraction` is {z.dtype} of shape {z.shape} for {p.shape[1]} slates",
            where=where,
            mend="Pass one whole number a slate, (S,), or its distribution over abstractions, (S, Z).",
        )
    if z.ndim == 1:
        if z.min() < 0:
            raise InputError(f"abstraction {z.min()}", where=where, mend="Number the abstractions from 0 up.")
        z = np.eye(int(z.max()) + 1)[z]
    chance = check_probabilities(z, name="abstraction", ndim=2, positive=False, where=where)
    _sums_to_one(chance, "abstraction", where)
    found: NDArray[np.float64] = p @ chance
    return found


def _sums_to_one(rows: NDArray[np.float64], name: str, where: str) -> None:
    total = rows.sum(axis=1)
    bad = ~(np.abs(total - 1) <= 1e-6)
    if bad.any():
        row = int(bad.argmax())
        raise InputError(
            f"`{name}` sums to {total[row]:.6g}, expected 1",
            where=f"{where}, row {row}",
            mend="Name every slate that the policy may show, and every abstraction of a slate.",
        )
