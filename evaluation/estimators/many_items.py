"""Estimators for catalogues too large for weights of single items: items are weighed by groups that they share.

With an embedding `z` of the item shown (a category, a cluster), `v_i = p_e(z_i | x_i) / p_b(z_i | x_i)`, where
`p(z | x) = sum_a pi(a | x) p(z | a, x)`, is the mean of `w` over the items that could have worn `z_i`:

    MIPS   = mean(v r)                                 (Saito and Joachims, ICML 2022)
    OffCEM = mean(m + v (r - q))                       (Saito, Ren and Joachims, ICML 2023)

    q_i = q(x_i, a_i), m_i = sum_a pi_e(a | x_i) q(x_i, a)

The weights are functions here (`cluster_weights`, `category_weights`, `posterior_weights`), because an estimator
needs no more of an embedding than them.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from behavior.errors import InputError
from evaluation.estimators.checks import array_of, check_finite, check_reward
from evaluation.estimators.doubly_robust import corrected, item_distribution, item_numbers
from evaluation.estimators.result import Estimate
from evaluation.estimators.single import given_weights, weighted_mean

__all__ = ["category_weights", "cluster_weights", "mips", "offcem", "posterior_weights"]

_CHUNK = 2_000_000  # entries of an (rows, items) array held at once


def mips(reward: ArrayLike, weights: ArrayLike, *, self_normalised: bool = False) -> Estimate:
    """Marginalised IPS, `mean(v r)`.

    Unbiased if the item acts on the reward through the embedding alone (no direct effect), and the log's
    items cover every embedding that the policy's can have; items that were never shown may then be judged.
    Where that holds its variance is not above that of IPS, and falls with the number of items that share an
    embedding. An embedding of one item each makes it IPS.

    Args:
        reward: (n,) reward of each impression.
        weights: (n,) `v`, by one of the functions of this module.
        self_normalised: Divide by the sum of weights rather than by n.

    Source: Saito and Joachims, Off-policy evaluation for large action spaces via embeddings, ICML 2022.
    """
    r = check_reward(reward, ndim=1, where="MIPS")
    return weighted_mean("MIPS", r, given_weights("MIPS", weights, r), self_normalised=self_normalised)


def offcem(reward: ArrayLike, weights: ArrayLike, *, q_logged: ArrayLike, q_policy: ArrayLike) -> Estimate:
    """OffCEM, `mean(m + v (r - q))`: clusters by weights, items within a cluster by a model.

    Unbiased if the model gets *differences* between items of one cluster right (local correctness); what it
    gets wrong of whole clusters the weights mend. Weaker than what MIPS and DM each need. With one item a
    cluster it is DR; with one cluster in all it is a DM shifted to the log's mean residual.

    Args:
        reward: (n,) reward of each impression.
        weights: (n,) weight of the cluster of the item shown (`cluster_weights`).
        q_logged: (n,) predicted reward of the item shown.
        q_policy: (n,) predicted reward under the policy judged, `sum_a pi_e(a | x_i) q(x_i, a)`.

    Source: Saito, Ren and Joachims, Off-policy evaluation for large action spaces via conjunct effect
    modeling, ICML 2023. The paper fits differences within clusters first (two steps); any
    cross-fitted model of the reward may be passed here, its one-step variant.
    """
    r = check_reward(reward, ndim=1, where="OffCEM")
    v = given_weights("OffCEM", weights, r)
    return corrected("OffCEM", r, v, q_logged, q_policy, self_normalised=False)


def cluster_weights(
    action: ArrayLike, *, logging: ArrayLike, evaluation: ArrayLike, clusters: ArrayLike
) -> NDArray[np.float64]:
    """`v` (n,) where each item belongs to one cluster: the cluster's probability by both policies.

    Args:
        action: (n,) number of the item shown, 0 to A - 1.
        logging: (n, A) the logging policy's probability of every item on each page, or (A,).
        evaluation: (n, A) or (A,) the same under the policy judged.
        clusters: (A,) cluster of each item: any labels.

    Raises:
        InputError: Shapes that do not go together, no distribution, or a row that the log could not hold.
    """
    where = "cluster_weights"
    labels = array_of(clusters, "clusters", where, numeric=False)
    if labels.ndim != 1 or any(label is None for label in labels):
        raise InputError(
            f"`clusters` has shape {labels.shape}, expected (items,), with a label for each",
            where=where,
            mend="Pass one label per item.",
        )
    _, cluster = np.unique(labels, return_inverse=True)
    shown, b, e = _policies(where, action, logging, evaluation, cluster.shape[0])
    worn = cluster[shown]  # (n,)
    top, bottom = np.empty(shown.shape[0]), np.empty(shown.shape[0])
    if b.ndim == 1 and e.ndim == 1:  # one distribution for all pages
        shares = [np.bincount(cluster, policy).astype(np.float64)[worn] for policy in (e, b)]
        return _ratio(where, *shares)
    for rows in _chunks(shown.shape[0], cluster.shape[0]):
        same = (cluster == worn[rows, None]).astype(np.float64)  # (m, A)
        for policy, total in ((e, top), (b, bottom)):
            total[rows] = same @ policy if policy.ndim == 1 else np.einsum("na,na->n", same, policy[rows])
    return _ratio(where, top, bottom)


def category_weights(
    category: ArrayLike, *, logging: ArrayLike, evaluation: ArrayLike, probability: ArrayLike
) -> NDArray[np.float64]:
    """`v` (n,) where an item wears a category by chance: `sum_a pi_e(a) p(z | a) / sum_a pi_b(a) p(z | a)`.

    Args:
        category: (n,) number of the category that was seen in each row, 0 to Z - 1.
        logging: (n, A) the logging policy's probability of every item on each page, or (A,).
        evaluation: (n, A) or (A,) the same under the policy judged.
        probability: (A, Z) probability of each category for each item; rows sum to 1.

    Raises:
        InputError: As for `cluster_weights`.
    """
    where = "category_weights"
    probability = array_of(probability, "probability", where)
    n_items = probability.shape[0] if probability.ndim == 2 else -1
    if n_items < 1:
        raise InputError(
            f"`probability` has shape {np.shape(probability)}, expected (items, categories)",
            where=where,
            mend="Pass the probability of each category for each item.",
        )
    wears = item_distribution(
        probability, n=n_items, n_items=np.shape(probability)[1], name="probability", where=where
    )  # (A, Z)
    worn, b, e = _policies(where, category, logging, evaluation, n_items, n_numbers=wears.shape[1])
    top, bottom = np.empty(worn.shape[0]), np.empty(worn.shape[0])
    for rows in _chunks(worn.shape[0], n_items):
        share = wears.T[worn[rows]]  # (m, A)
        for policy, total in ((e, top), (b, bottom)):
            total[rows] = share @ policy if policy.ndim == 1 else np.einsum("na,na->n", share, policy[rows])
    return _ratio(where, top, bottom)


def posterior_weights(
    posterior: ArrayLike, *, logging: ArrayLike, evaluation: ArrayLike
) -> NDArray[np.float64]:
    """`v` (n,) by `sum_a p_b(a | x, z) pi_e(a | x) / pi_b(a | x)`: for embeddings whose law is not known.

    Args:
        posterior: (n, A) probability that the item was a, given page and embedding, in the log; a cross-fitted
            classifier gives it (`fitted_weights.item_posterior`). Where it is estimated, so is the value.
        logging: (n, A) the logging policy's probability of every item on each page, or (A,).
        evaluation: (n, A) or (A,) the same under the policy judged.

    Raises:
        InputError: As for `cluster_weights`, or an item that is possible by `posterior` and not by `logging`.

    Source: Saito and Joachims (2022).
    """
    where = "posterior_weights"
    shape = array_of(posterior, "posterior", where).shape
    if len(shape) != 2:
        raise InputError(
            f"`posterior` has shape {shape}, expected (rows, items)",
            where=where,
            mend="Pass one row per page.",
        )
    p = item_distribution(posterior, n=shape[0], n_items=shape[1], name="posterior", where=where)
    b = item_distribution(logging, n=shape[0], n_items=shape[1], name="logging", where=where)
    e = item_distribution(evaluation, n=shape[0], n_items=shape[1], name="evaluation", where=where)
    impossible = (p > 0) & (b == 0)
    if impossible.any():
        row, item = (int(i) for i in np.argwhere(impossible)[0])
        raise InputError(
            f"item {item} is possible by `posterior`, and the logging policy never shows it",
            where=f"{where}, row {row}",
            mend="Set such items to 0 in the posterior and divide its rows by their sums.",
        )
    b, e = np.broadcast_to(b, shape), np.broadcast_to(e, shape)
    weights = np.empty(shape[0])
    for rows in _chunks(*shape):
        ratio = np.divide(e[rows], b[rows], out=np.zeros_like(p[rows]), where=b[rows] > 0)
        weights[rows] = np.einsum("na,na->n", p[rows], ratio)
    return weights


def _policies(
    where: str,
    numbers: ArrayLike,
    logging: ArrayLike,
    evaluation: ArrayLike,
    n_items: int,
    n_numbers: int | None = None,
) -> tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.float64]]:
    """What was shown (items, or categories where `n_numbers`), and both policies."""
    given = array_of(numbers, "action" if n_numbers is None else "category", where)
    n = given.shape[0] if given.ndim == 1 else 0
    if n_numbers is None:
        shown = item_numbers(numbers, n=n, n_items=n_items, where=where)
    else:
        shown = item_numbers(numbers, n=n, n_items=n_numbers, where=where, name="category", choice=False)
    b = item_distribution(logging, n=n, n_items=n_items, name="logging", where=where)
    e = item_distribution(evaluation, n=n, n_items=n_items, name="evaluation", where=where)
    return shown, b, e


def _ratio(where: str, evaluation: NDArray[np.float64], logging: NDArray[np.float64]) -> NDArray[np.float64]:
    if not (logging > 0).all():
        row = int(np.argmax(~(logging > 0)))
        raise InputError(
            "the logging policy has no chance of what was shown",
            where=f"{where}, row {row}",
            mend="Correct `logging`, or the clusters: a page that was logged could be shown.",
        )
    return check_finite(
        evaluation / logging,
        name="weights",
        ndim=1,
        where=where,
        mend="Correct `logging`: what was shown cannot have been that unlikely.",
    )


def _chunks(n: int, n_items: int) -> Iterator[slice]:
    step = max(1, _CHUNK // max(1, n_items))
    return (slice(start, min(start + step, n)) for start in range(0, n, step))
