"""Importance weights that a classifier learns, where propensities, or the law of an embedding, are not known.

`balanced_weights` tells logged (page, item) pairs from pairs whose item the policy judged has drawn: the odds of
the second, given the pair, are `pi_e / pi_b` (Sondhi, Arbour and Dimmery, AISTATS 2020). `item_posterior` gives
`p_b(a | x, z)` for `many_items.posterior_weights` (Saito and Joachims, ICML 2022). Both predict each row by a
model fitted to other sessions. An error of the classifier goes straight into the value, and no standard error here
knows of it: a known propensity is always better.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from behavior.errors import InputError
from evaluation.estimators.checks import check_finite
from evaluation.estimators.cross_fitting import Pages, Predictor, fitted, fold_rows, item_block, steady_order
from evaluation.estimators.doubly_robust import item_distribution, item_numbers

__all__ = ["balanced_weights", "item_posterior"]


def balanced_weights(
    *,
    action: ArrayLike,
    evaluation: ArrayLike,
    sessions: ArrayLike,
    context: ArrayLike | None = None,
    slot: ArrayLike | None = None,
    item_features: ArrayLike | None = None,
    model: Predictor | None = None,
    n_folds: int = 5,
    n_drawn: int = 1,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Learned weights (n,) for `single.bips`.

    Args:
        action: (n,) number of the item shown, 0 to A - 1.
        evaluation: (n, A) the policy's probability of each item on each row's page, or (A,).
        sessions: (n,) label of each row's session.
        context: (n, D) numbers that describe the page, on which the logging policy may have looked.
        slot: (n,) position of each impression.
        item_features: (A, F) embeddings or 0/1 categories; None: a column for each item.
        model: A classifier of scikit-learn's kind, well calibrated, not fitted; it sees context, slot, the item, and
            the products of context and item, so that a linear one can know the policies' tastes. None: logistic
            regression.
        n_folds: Number of folds, at least 2.
        n_drawn: Items drawn from the policy a row; more make the weights less noisy.
        seed: Of the draws.

    Raises:
        InputError: Shapes that do not go together, or a classifier that is certain of some row.
    """
    where = "balanced_weights"
    n_items = int(np.shape(evaluation)[-1]) if np.ndim(evaluation) in (1, 2) else 0
    n = _rows(action, n_items, where)
    shown = item_numbers(action, n=n, n_items=n_items, where=where)
    shares = item_distribution(evaluation, n=n, n_items=n_items, name="evaluation", where=where)
    items = item_block(item_features, n_items, where)
    if n_drawn < 1:
        raise InputError(f"n_drawn is {n_drawn}", where=where, mend="Pass 1 or more.")
    pages = Pages.of(n=n, context=context, slot=slot, sessions=sessions, n_folds=n_folds, where=where)
    columns = () if shares.ndim == 1 else tuple(shares.T)
    order = steady_order(pages, sessions, shown, *columns)
    # Drawn in the steady order: the same items for the same rows, however they came.
    drawn = np.empty((n, n_drawn), np.intp)
    drawn[order] = _draw(shares if shares.ndim == 1 else shares[order], n, n_drawn, seed)
    weights = np.empty(n)
    for number, rows in fold_rows(pages, order):
        before = pages.features[pages.index[rows]]
        features = np.concatenate(
            [_pairs(before, items[shown[rows]])]
            + [_pairs(before, items[drawn[rows, j]]) for j in range(n_drawn)]
        )
        label = np.repeat([0, 1], [rows.size, rows.size * n_drawn])
        made: Any = fitted(_classifier(model), features, label)
        mine = np.flatnonzero(pages.row_fold == number)
        chance = np.asarray(
            made.predict_proba(_pairs(pages.features[pages.index[mine]], items[shown[mine]])), np.float64
        )
        weights[mine] = chance[:, 1] / np.maximum(chance[:, 0], np.finfo(np.float64).tiny) / n_drawn
        certain = ~(chance[:, 0] > 1e-12)
        if certain.any():
            raise InputError(
                f"the classifier is certain that {int(certain.sum())} logged rows were not logged",
                where=f"{where}, row {int(mine[int(np.argmax(certain))])}",
                mend="Penalise or calibrate it: its odds are the weights.",
            )
    return weights


def item_posterior(
    *,
    action: ArrayLike,
    embedding: ArrayLike,
    logging: ArrayLike,
    sessions: ArrayLike,
    context: ArrayLike | None = None,
    slot: ArrayLike | None = None,
    model: Predictor | None = None,
    n_folds: int = 5,
) -> NDArray[np.float64]:
    """Probability (n, A) that each row's item was a, given page and embedding, in the log.

    Args:
        action: (n,) number of the item shown, 0 to A - 1.
        embedding: (n, E) what is seen of the item shown in each row; categories as 0/1 columns.
        logging: (n, A) the logging policy's probability of every item, or (A,); items that it never shows get 0.
        sessions: (n,) label of each row's session.
        context: (n, D) numbers that describe the page.
        slot: (n,) position of each impression.
        model: A classifier of scikit-learn's kind, well calibrated, not fitted; None: logistic regression.
        n_folds: Number of folds, at least 2.

    Raises:
        InputError: Shapes that do not go together, or a row for which no possible item is left.
    """
    where = "item_posterior"
    n_items = int(np.shape(logging)[-1]) if np.ndim(logging) in (1, 2) else 0
    n = _rows(action, n_items, where)
    shown = item_numbers(action, n=n, n_items=n_items, where=where)
    shares = item_distribution(logging, n=n, n_items=n_items, name="logging", where=where)
    z = check_finite(embedding, name="embedding", ndim=2, where=where, mend="Pass numbers or 0/1 columns.")
    if z.shape[0] != n:
        raise InputError(
            f"{z.shape[0]} embeddings for {n} rows", where=where, mend="Pass one row per logged row."
        )
    pages = Pages.of(n=n, context=context, slot=slot, sessions=sessions, n_folds=n_folds, where=where)
    features = np.concatenate([pages.features[pages.index], z], axis=1)
    found = np.zeros((n, n_items))
    for number, rows in fold_rows(pages, steady_order(pages, sessions, shown, *z.T)):
        mine = np.flatnonzero(pages.row_fold == number)
        if np.ptp(shown[rows]) == 0:
            found[mine, shown[rows[0]]] = 1.0
            continue
        made: Any = fitted(_classifier(model), features[rows], shown[rows])
        found[np.ix_(mine, np.asarray(made.classes_, np.intp))] = made.predict_proba(features[mine])
    found = np.where(shares > 0, found, 0.0)
    total = found.sum(axis=1)
    if not (total > 0).all():
        raise InputError(
            "no item is left that the model thinks possible and the logging policy shows",
            where=f"{where}, row {int(np.argmin(total))}",
            mend="Correct `logging`, or bring a longer log: some items occur in one fold alone.",
        )
    return np.asarray(found / total[:, None], np.float64)


def _rows(action: ArrayLike, n_items: int, where: str) -> int:
    if n_items < 2 or np.ndim(action) != 1:
        raise InputError(
            f"`action` has shape {np.shape(action)}, for {n_items} items",
            where=where,
            mend="Pass (n,) item numbers and probabilities (n, A) or (A,) of 2 or more items.",
        )
    return int(np.shape(action)[0])


def _pairs(pages: NDArray[np.float64], items: NDArray[np.float64]) -> NDArray[np.float64]:
    """(m, D + F + D F): page, item, and their products."""
    products = (pages[:, :, None] * items[:, None, :]).reshape(pages.shape[0], -1)
    return np.concatenate([pages, items, products], axis=1)


def _draw(shares: NDArray[np.float64], n: int, n_drawn: int, seed: int) -> NDArray[np.intp]:
    """(n, n_drawn) items by `shares`, (A,) or (n, A)."""
    u = np.random.default_rng(seed).random((n, n_drawn))
    below = np.cumsum(shares, axis=-1)
    below /= below[..., -1:]
    if below.ndim == 1:
        return np.searchsorted(below, u, side="right").astype(np.intp)
    drawn = np.empty((n, n_drawn), np.intp)
    for j in range(n_drawn):
        drawn[:, j] = (below <= u[:, j, None]).sum(axis=1)
    return drawn


def _classifier(model: Predictor | None) -> Predictor:
    if model is not None:
        return model
    from sklearn.linear_model import LogisticRegression

    made: Predictor = LogisticRegression(C=1.0, max_iter=1000)
    return made
