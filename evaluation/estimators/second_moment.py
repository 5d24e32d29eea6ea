"""Pseudo-inverse weights of logged slates, from the second moment of the behaviour policy's slates.

With `1_s` the (K A) indicator of which item stands where on slate s, `Gamma = E_b[1_s 1_s']` and `phi` the policy's
item-position marginals, the weight of a slate is `phi' Gamma^+ 1_s` (Swaminathan, Krishnamurthy, Agarwal, Dudik,
Langford, Jose, Zitouni: Off-policy evaluation for slate recommendation, NeurIPS 2017). It is a sum over
positions; the parts are kept, because they make control variates.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from behavior.errors import InputError
from evaluation.estimators.blocks import row_blocks
from evaluation.estimators.checks import (
    SupportWarning,
    array_of,
    check_actions,
    check_distribution,
    check_probabilities,
    check_same_rows,
    numbers,
)

__all__ = [
    "MAX_SIDE",
    "SlateWeights",
    "dense_weights",
    "independent_weights",
    "support_weights",
    "uniform_weights",
]

MAX_SIDE = 2_048
"""Largest side of a matrix that is inverted here: some seconds of one core, and 100 MB, each."""

_RCOND = 1e-10
_UNREACHED = 1e-6  # part of the marginals outside the span of the logged slates that is put down to rounding


@dataclass(frozen=True)
class SlateWeights:
    """Weights of `n` logged slates, by position."""

    parts: NDArray[np.float64]
    """(n, K): their sum is the slate's weight."""
    mean: NDArray[np.float64]
    """(n, K): what each part averages over the behaviour policy; sums to 1 where the log supports the policy."""

    @property
    def total(self) -> NDArray[np.float64]:
        """(n,) the weights. They can be below 0."""
        total: NDArray[np.float64] = self.parts @ np.ones(self.parts.shape[1])
        return total


def dense_weights(
    action: ArrayLike,
    evaluation: ArrayLike,
    *,
    gamma: ArrayLike,
    context: ArrayLike | None = None,
    where: str = "PI",
) -> SlateWeights:
    """Weights by a behaviour policy whose second-moment matrix is given.

    Args:
        action: (n, K) number of the item shown, in [0, A).
        evaluation: (n, K, A) chance of each item at each position under the policy judged; with `context`,
            (C, K, A).
        gamma: (K A, K A), row k A + a for item a at position k; with `context` it may be (C, K A, K A).
        context: (n,) number of the row's context, in [0, C); None: each row states its own marginals.
        where: Name for messages.

    Raises:
        InputError: Shapes that do not go together, a matrix that no behaviour policy has, or one beyond `MAX_SIDE`.
    """
    items = array_of(action, "action", where)
    phi, moments = array_of(evaluation, "evaluation", where), numbers_of_moments(gamma, where)
    index = None if context is None else _index(context, phi.shape[0] if phi.ndim else 0, where)
    n, K = items.shape if items.ndim == 2 else (0, 0)
    rows = n if index is None else phi.shape[0]
    if phi.ndim != 3 or phi.shape[:2] != (rows, K) or n == 0 or (index is not None and index.shape != (n,)):
        raise InputError(
            f"`action` {items.shape} and `evaluation` {phi.shape}",
            where=where,
            mend="Pass (n, K) items and (n, K, A) marginals; or (C, K, A) marginals and the row's `context`, (n,).",
        )
    A = int(phi.shape[2])
    fits = moments.shape[1] == K * A and (moments.shape[0] == 1 or index is not None)
    if not fits or moments.shape[0] not in (1, rows):
        raise InputError(
            f"`gamma` {np.shape(gamma)} for {K} positions and {A} items",
            where=where,
            mend=f"Pass ({K * A}, {K * A}), or one such matrix for each of the contexts with `context`.",
        )
    _check_moments(moments, K, A, where)
    chosen = check_actions(items, (n, K), n_items=A, where=where, repeats=True)
    inverse = [np.linalg.pinv(matrix, rcond=_RCOND, hermitian=True) for matrix in moments]
    reach = [back @ matrix for back, matrix in zip(inverse, moments, strict=True)]  # onto the logged span
    diagonal = [np.diagonal(matrix).reshape(K, A) for matrix in moments]
    slot = np.arange(K)
    parts, mean, outside = np.empty((n, K)), np.empty((n, K)), 0
    if index is None:
        for block in row_blocks(n, K * A):
            here = check_distribution(phi[block], name="evaluation", where=where, first_row=block.start)
            flat = here.reshape(-1, K * A)
            weight = (flat @ inverse[0]).reshape(-1, K, A)
            outside += int((np.abs(flat - flat @ reach[0]).max(axis=1) > _UNREACHED).sum())
            parts[block] = weight[np.arange(weight.shape[0])[:, None], slot, chosen[block]]
            mean[block] = np.einsum("mka,ka->mk", weight, diagonal[0])
    else:
        here = check_distribution(phi, name="evaluation", where=where)
        unreached = np.empty(rows, np.bool_)
        table, average = np.empty((rows, K, A)), np.empty((rows, K))
        for c in range(rows):
            which, flat = min(c, moments.shape[0] - 1), here[c].ravel()
            table[c] = (flat @ inverse[which]).reshape(K, A)
            unreached[c] = np.abs(flat - flat @ reach[which]).max() > _UNREACHED
            average[c] = (table[c] * diagonal[which]).sum(axis=1)
        parts, mean = table[index[:, None], slot, chosen], average[index]
        outside = int(unreached[index].sum())
    _warn_outside(outside, n, where)
    return SlateWeights(parts, mean)


def uniform_weights(
    evaluation: ArrayLike, anywhere: ArrayLike, *, n_items: ArrayLike, where: str = "PI"
) -> SlateWeights:
    """Weights by a behaviour policy that draws K of A items uniformly, without repeats, in uniform order.

    There `Gamma` has the same value for every item and for every two, so it splits into what sums to a constant
    over items and what does not, each of which is inverted by hand:

        w = 1 + (A - 1) (sum_k [phi_k(a_k) - 1/A] + c sum_k [sum_j phi_j(a_k) - K/A]),  c = 1 / (A - K),

    or c = -1 / K where all items are always shown.

    Args:
        evaluation: (n, K) chance of the item shown at its position, under the policy judged.
        anywhere: (n, K) chance of the item shown at any of the K positions, under the policy judged.
        n_items: Number of candidates `A`, at least K: one number, or (n,) of each row.
        where: Name for messages.
    """
    e = check_probabilities(evaluation, name="evaluation", ndim=2, positive=False, where=where)
    near = check_probabilities(anywhere, name="anywhere", ndim=2, positive=False, where=where)
    check_same_rows(where, evaluation=e, anywhere=near)
    if (near < e - 1e-9).any():
        row = int((near < e - 1e-9).any(axis=1).argmax())
        raise InputError(
            "an item is likelier at its position than anywhere on the page",
            where=f"{where}, row {row}",
            mend="Pass the sum over positions of the item's chances as `anywhere`.",
        )
    n, K = e.shape
    count = array_of(n_items, "n_items", where)
    if count.dtype.kind not in "iu" or count.shape not in ((), (n,)) or (count < max(K, 2)).any():
        raise InputError(
            f"`n_items` is {count.dtype} of shape {count.shape}"
            + (f", the least {count.min()}" if count.size else ""),
            where=where,
            mend=f"Pass the number of candidates, at least {max(K, 2)}: one number or one of each row.",
        )
    A = np.broadcast_to(count, (n,)).astype(np.float64)[:, None]  # (n, 1)
    c = np.divide(1.0, A - K, out=np.full_like(A, -1.0 / K), where=A > K)
    parts = 1.0 / K + (A - 1.0) * ((e - 1.0 / A) + c * (near - K / A))
    return SlateWeights(parts, np.full((n, K), 1.0 / K))


def independent_weights(logging: ArrayLike, evaluation: ArrayLike, *, where: str = "PI") -> SlateWeights:
    """Weights by a behaviour policy that draws each position on its own (items may repeat).

    `w = 1 + sum_k (w_k - 1)` with `w_k` the ratio of marginals (Swaminathan et al. 2017; Vlassis et al. 2021). A
    policy without repeats is not of this kind.

    Args:
        logging: (n, K) logged probability of the item at its position, in (0, 1].
        evaluation: (n, K) marginal of the same item there under the policy judged.
        where: Name for messages.
    """
    b = check_probabilities(logging, name="logging", ndim=2, positive=True, where=where)
    e = check_probabilities(evaluation, name="evaluation", ndim=2, positive=False, where=where)
    check_same_rows(where, logging=b, evaluation=e)
    K = b.shape[1]
    with np.errstate(over="ignore"):  # infinite weights are refused where they are summed
        return SlateWeights(e / b - 1.0 + 1.0 / K, np.full(b.shape, 1.0 / K))


def support_weights(
    logged: ArrayLike,
    slates: ArrayLike,
    probability: ArrayLike,
    evaluation: ArrayLike,
    *,
    context: ArrayLike | None = None,
    where: str = "PI",
) -> SlateWeights:
    """Weights by a behaviour policy that shows one of S known slates: `Gamma` factored, items without number.

    With `F = diag(sqrt(p)) B`, B the (S, K A) indicators, `Gamma = F' F` and `Gamma^+ = F' (F F')^+^2 F`: only S x S
    matrices of how many positions two slates share are inverted.

    Args:
        logged: (n,) number of the row's slate, in [0, S).
        slates: (S, K) item of each position, any numbers.
        probability: (S,), or (C, S) with `context`: the behaviour policy, rows sum to 1.
        evaluation: (S, K), or (C, S, K) with `context`: chance under the policy judged of the item that slate s has
            at position k.
        context: (n,) number of the row's context, in [0, C).
        where: Name for messages.
    """
    items = array_of(slates, "slates", where, numeric=False)
    p = np.atleast_2d(array_of(probability, "probability", where)).astype(np.float64)
    e = array_of(evaluation, "evaluation", where).astype(np.float64)
    e = e if e.ndim == 3 else e[None]
    if items.ndim != 2 or p.shape[1:] != items.shape[:1] or e.shape != (p.shape[0], *items.shape):
        raise InputError(
            f"`slates` {items.shape}, `probability` {p.shape}, `evaluation` {e.shape}",
            where=where,
            mend="Pass (S, K) slates, (C, S) probabilities and (C, S, K) chances.",
        )
    S, K = items.shape
    if S > MAX_SIDE:
        raise InputError(
            f"{S:,} slates, at most {MAX_SIDE:,}",
            where=where,
            mend="Leave out slates that are never shown, or use IIPS, RIPS or the direct method.",
        )
    check_probabilities(p, name="probability", ndim=2, positive=False, where=where)
    check_probabilities(e, name="evaluation", ndim=3, positive=False, where=where)
    if not np.allclose(p.sum(axis=1), 1.0, rtol=0, atol=1e-6):
        raise InputError(
            f"`probability` sums to {p.sum(axis=1)[np.abs(p.sum(axis=1) - 1).argmax()]:.6g}, expected 1",
            where=where,
            mend="Name every slate that the behaviour policy shows.",
        )
    index = array_of(logged, "logged", where)
    place = np.zeros(index.shape, np.intp) if context is None else _index(context, p.shape[0], where)
    if index.dtype.kind not in "iu" or index.ndim != 1 or place.shape != index.shape:
        raise InputError(
            f"`logged` is {index.dtype} of shape {index.shape}",
            where=where,
            mend="Pass one slate number a row.",
        )
    if index.size and (index.min() < 0 or index.max() >= S or (p[place, index] <= 0).any()):
        raise InputError(
            "a logged slate is not among the slates that the behaviour policy shows",
            where=where,
            mend="Correct `probability`, or the numbers in `logged`.",
        )
    same = (items[:, None, :] == items[None, :, :]).astype(np.float64)  # (S, S, K)
    overlap = same.sum(axis=2)
    parts, mean, outside = np.empty((p.shape[0], S, K)), np.empty((p.shape[0], K)), np.zeros(p.shape[0])
    for c in range(p.shape[0]):
        root = np.sqrt(p[c])
        back = np.linalg.pinv(root[:, None] * overlap * root, rcond=_RCOND, hermitian=True)
        agreement = root * e[c].sum(axis=1)  # (S,) F phi
        solved = back @ (back @ agreement)
        parts[c] = np.einsum("s,stk->tk", root * solved, same)
        mean[c] = p[c] @ parts[c]
        # |phi|^2 outside the span cannot be seen from marginals of logged items alone; missing mass can.
        outside[c] = abs(mean[c].sum() - 1.0) > _UNREACHED
    _warn_outside(int(outside[place].sum()), index.shape[0], where)
    return SlateWeights(parts[place, index], mean[place])


def numbers_of_moments(gamma: ArrayLike, where: str) -> NDArray[np.float64]:
    """Second-moment matrices (C, K A, K A), C 1 for a single one; refused where they are too large to invert."""
    shape = array_of(gamma, "gamma", where).shape
    if len(shape) not in (2, 3) or shape[-1] != shape[-2]:
        raise InputError(f"`gamma` has shape {shape}", where=where, mend="Pass (K A, K A) or (C, K A, K A).")
    if shape[-1] > MAX_SIDE or (len(shape) == 3 and shape[0] * shape[-1] ** 3 > 64 * MAX_SIDE**3):
        many = f"{shape[0]:,} matrices of " if len(shape) == 3 else "a matrix of "
        raise InputError(
            f"{many}{shape[-1]:,} x {shape[-1]:,} to invert; the largest is one of {MAX_SIDE:,} x {MAX_SIDE:,}, or as "
            "much work as 64 of these",
            where=where,
            mend=(
                "Use a factored form: `pseudo_inverse_uniform` for uniform behaviour, `pseudo_inverse_independent` for "
                "positions drawn on their own, `pseudo_inverse_support` for a known list of slates; else IIPS or RIPS."
            ),
        )
    array = numbers(gamma, "gamma", len(shape), where)
    return array if array.ndim == 3 else array[None]


def _check_moments(moments: NDArray[np.float64], K: int, A: int, where: str) -> None:
    """What holds for every second moment of slates with one item at each position."""
    if not np.isfinite(moments).all():
        raise InputError(
            "`gamma` holds nan or infinity", where=where, mend="Make it from known propensities."
        )
    blocks = moments.reshape(-1, K, A, K, A)
    single = np.diagonal(moments, axis1=1, axis2=2).reshape(-1, K, A)
    close = {
        "is not symmetric": np.abs(moments - moments.transpose(0, 2, 1)).max(),
        "has chances of items at a position that do not sum to 1": np.abs(single.sum(axis=2) - 1).max(),
        "has pairs of items that do not sum to the chance of one": np.abs(
            blocks.sum(axis=4) - single[:, :, :, None]
        ).max(),
        "has chances below 0": max(0.0, -float(moments.min())),
    }
    for what, apart in close.items():
        if apart > 1e-6:
            raise InputError(
                f"`gamma` {what} (off by {apart:.3g})",
                where=where,
                mend="Pass E[1_s 1_s'] of slates with one item at every position; row k A + a is item a at position k.",
            )


def _index(context: ArrayLike, count: int, where: str) -> NDArray[Any]:
    index = array_of(context, "context", where)
    if index.dtype.kind not in "iu" or (index.size and (index.min() < 0 or index.max() >= count)):
        raise InputError(
            f"`context` is {index.dtype}"
            + (f" from {index.min()} to {index.max()}" if index.size else "")
            + f", expected whole numbers in [0, {count})",
            where=where,
            mend="Pass the number of each row's context.",
        )
    return index


def _warn_outside(outside: int, n: int, where: str) -> None:
    if outside:
        warnings.warn(
            f"{where}: on {outside:,} of {n:,} rows the policy judged shows what the behaviour policy never does; the "
            "estimate leaves those choices out and is biased. Judge a policy inside the log's support, or bring a log "
            "with more exploration.",
            SupportWarning,
            stacklevel=4,
        )
