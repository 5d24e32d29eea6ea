"""Values from a reward model, alone and corrected by what the log saw.

With weights `w_i = pi_e(a_i | x_i) / pi_b(a_i | x_i)` and a model `q(x, a)` of the reward, of which each row
needs two numbers, `q_i = q(x_i, a_i)` and `m_i = sum_a pi_e(a | x_i) q(x_i, a)`:

    DM   = mean(m)
    DR   = mean(m + w (r - q))               (Dudik, Langford and Li, ICML 2011)
    SNDR = mean(m) + sum(w (r - q)) / sum(w) (Thomas and Brunskill, ICML 2016; Kallus and Uehara, NeurIPS 2019)

`model_values` makes both numbers of a table of predictions; `evaluation.estimators.reward_models` fits the
table with folds, so that no row is predicted by a model that has seen its session.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from behavior.errors import InputError
from evaluation.estimators.blocks import Given, estimate_rows
from evaluation.estimators.checks import array_of, check_finite, check_probabilities, check_same_rows
from evaluation.estimators.result import Estimate, ratio_estimate
from evaluation.estimators.single import importance_weights

__all__ = [
    "UNCORRECTED",
    "corrected",
    "dm",
    "dr",
    "item_distribution",
    "item_numbers",
    "model_values",
    "shrunk_dr",
    "sndr",
]

UNCORRECTED = "a reward model that nothing corrects: the interval does not count the model's error"
"""The caveat of direct methods."""
_MEND = "Pass one prediction per logged row; a reward model must not give NaN or infinity."
_SUM_SLACK = 1e-6  # distributions that were stored in float32 sum to 1 no better than this
_CHUNK = 2_000_000  # entries of an (rows, items) product held at once


def dm(q_policy: ArrayLike) -> Estimate:
    """Direct method, `mean(m)`: what the reward model believes of the policy.

    Unbiased only where the model is: no weight corrects it, and neither its standard error nor its effective
    sample size (n, all weights being 1) knows anything of the model's error. It answers where no weight can:
    policies outside the log's support, at the price of trusting the model there.

    Args:
        q_policy: (n,) predicted reward of each row's page under the policy judged,
            `sum_a pi_e(a | x_i) q(x_i, a)`.
    """
    m = _column("DM", "q_policy", q_policy)
    if m.shape[0] < 2:
        raise InputError(
            f"{m.shape[0]} logged rows, expected at least 2",
            where="DM",
            mend="No uncertainty can be stated from fewer than two rows: bring a longer log.",
        )
    return estimate_rows("DM", Given(np.ones((m.shape[0], 1)), m[:, None], None), caveat=UNCORRECTED)


def dr(
    reward: ArrayLike, logging: ArrayLike, evaluation: ArrayLike, *, q_logged: ArrayLike, q_policy: ArrayLike
) -> Estimate:
    """Doubly robust, `mean(m + w (r - q))`.

    Unbiased for *any* model that was not fitted to the same rows if the propensities are right and the log
    supports the policy; consistent too if the model is right and the propensities are not. A good model takes
    its share out of the variance, a bad one adds to it. Source: Dudik, Langford and Li, ICML 2011.

    Args:
        reward: (n,) reward of each impression.
        logging: (n,) logged propensity of the item shown, in (0, 1].
        evaluation: (n,) probability of the same item under the policy judged.
        q_logged: (n,) predicted reward of the item shown.
        q_policy: (n,) predicted reward under the policy judged, `sum_a pi_e(a | x_i) q(x_i, a)`.
    """
    return shrunk_dr("DR", reward, logging, evaluation, q_logged, q_policy, lambda w: w)


def sndr(
    reward: ArrayLike, logging: ArrayLike, evaluation: ArrayLike, *, q_logged: ArrayLike, q_policy: ArrayLike
) -> Estimate:
    """Self-normalised doubly robust, `mean(m) + sum(w (r - q)) / sum(w)`.

    Consistent rather than unbiased: the correction is a weighted mean of residuals, which stays inside their
    range however large the weights are. nan where no row has weight. Assumptions and arguments as for `dr`. Source:
    Thomas and Brunskill, ICML 2016.
    """
    r, w = importance_weights("SNDR", reward, logging, evaluation)
    return corrected("SNDR", r, w, q_logged, q_policy, self_normalised=True)


def shrunk_dr(
    where: str,
    reward: ArrayLike,
    logging: ArrayLike,
    evaluation: ArrayLike,
    q_logged: ArrayLike,
    q_policy: ArrayLike,
    shrink: Callable[[NDArray[np.float64]], NDArray[np.float64]],
) -> Estimate:
    """`mean(m + shrink(w) (r - q))`; diagnostics are those of the shrunk weights, which are what varies."""
    r, w = importance_weights(where, reward, logging, evaluation)
    return corrected(where, r, shrink(w), q_logged, q_policy, self_normalised=False)


def corrected(
    where: str,
    reward: NDArray[np.float64],
    weights: NDArray[np.float64],
    q_logged: ArrayLike,
    q_policy: ArrayLike,
    *,
    self_normalised: bool,
) -> Estimate:
    """`mean(m)` corrected by the weighted residuals, of checked rewards and weights (n,).

    The self-normalised form is a sum of two ratios, with one column of weights.
    """
    q, m = _column(where, "q_logged", q_logged), _column(where, "q_policy", q_policy)
    check_same_rows(where, reward=reward, q_logged=q, q_policy=m)
    w = weights[:, None]  # (n, 1)
    correction = weights * (reward - q)  # (n,)
    if not self_normalised:
        return estimate_rows(where, Given(w, (m + correction)[:, None], None))
    return ratio_estimate(
        where,
        weights=w,
        numerator=np.stack([m, correction], axis=1),  # (n, 2)
        denominator=np.stack([np.ones_like(weights), weights], axis=1),
    )


def model_values(
    q: ArrayLike, *, action: ArrayLike, distribution: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The two numbers that an estimator needs of a reward model: `q_logged` and `q_policy`, (n,) each.

    Args:
        q: (n, A) predicted reward of every item on each row's page.
        action: (n,) number of the item shown, 0 to A - 1.
        distribution: (n, A) the policy's probability of each item, or (A,) where it is the same on all pages.

    Raises:
        InputError: Where shapes do not go together, q is not finite, or a distribution does not sum to 1.
    """
    where = "model_values"
    table = check_finite(q, name="q", ndim=2, where=where, mend=_MEND)  # (n, A)
    n, n_items = table.shape
    shown = item_numbers(action, n=n, n_items=n_items, where=where)
    shares = item_distribution(distribution, n=n, n_items=n_items, name="distribution", where=where)
    if shares.ndim == 1:
        policy = table @ shares
    else:
        policy = np.empty(n)
        step = max(1, _CHUNK // n_items)
        for start in range(0, n, step):
            rows = slice(start, start + step)
            policy[rows] = np.einsum("na,na->n", table[rows], shares[rows])
    return table[np.arange(n), shown], policy


def item_numbers(
    action: ArrayLike, *, n: int, n_items: int, where: str, name: str = "action", choice: bool = True
) -> NDArray[np.intp]:
    """Numbers (n,) within 0 to A - 1; where `choice`, a log that shows a single item is refused."""
    shown = array_of(action, name, where)
    if shown.shape != (n,) or not np.issubdtype(shown.dtype, np.integer):
        raise InputError(
            f"`{name}` has shape {shown.shape} and type {shown.dtype}, expected ({n},) whole numbers",
            where=where,
            mend="Pass the number of what each row shows.",
        )
    outside = (shown < 0) | (shown >= n_items)
    if outside.any():
        row = int(np.argmax(outside))
        raise InputError(
            f"`{name}` is {shown[row]}, expected 0 to {n_items - 1}",
            where=f"{where}, row {row}",
            mend="Number by the columns of predictions and probabilities.",
        )
    if choice and n and np.all(shown == shown[0]):
        raise InputError(
            f"every row shows item {shown[0]}",
            where=where,
            mend="A log of a single item says nothing of other items: bring a log with some choice in it.",
        )
    return shown.astype(np.intp)


def item_distribution(
    values: ArrayLike, *, n: int, n_items: int, name: str, where: str
) -> NDArray[np.float64]:
    """Probabilities (A,) or (n, A) that sum to 1 over the items."""
    ndim = 1 if array_of(values, name, where).ndim == 1 else 2
    shares = check_probabilities(values, name=name, ndim=ndim, positive=False, where=where)
    wanted = (n_items,) if ndim == 1 else (n, n_items)
    if shares.shape != wanted:
        raise InputError(
            f"`{name}` has shape {shares.shape}, expected ({n}, {n_items}) or ({n_items},)",
            where=where,
            mend="Pass one probability for each item: rows are logged rows, columns items.",
        )
    total = np.atleast_1d(shares.sum(axis=-1))
    wrong = np.abs(total - 1) > _SUM_SLACK
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InputError(
            f"`{name}` sums to {total[row]:.6g} over the items, expected 1",
            where=f"{where}, row {row}",
            mend="Pass the probability of every item that the policy may show, not scores.",
        )
    return shares


def _column(where: str, name: str, values: ArrayLike) -> NDArray[np.float64]:
    return check_finite(values, name=name, ndim=1, where=where, mend=_MEND)
