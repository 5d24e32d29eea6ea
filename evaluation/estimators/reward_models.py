"""Cross-fitted models of the reward of single impressions, for DM, DR and their kin.

A model that has seen a row's reward foretells it too well, which biases DR through `r - q`; each row is
therefore predicted by a model fitted to other sessions (Chernozhukov et al., Double/debiased machine learning,
Econometrics Journal 2018). Items enter as 0/1 columns or embeddings, never as numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from behavior.errors import InputError
from evaluation.estimators.checks import check_reward
from evaluation.estimators.cross_fitting import (
    Pages,
    Predictor,
    expected_value,
    fitted,
    fold_rows,
    item_block,
    steady_order,
)
from evaluation.estimators.doubly_robust import item_distribution, item_numbers

__all__ = ["RewardTable", "cross_fit_rewards", "default_reward_model"]

_CELLS = 4_000_000  # features of (page, item) pairs held at once


@dataclass(frozen=True)
class RewardTable:
    """Predicted rewards of every item on every page, pages that are alike kept once."""

    values: NDArray[np.float64]
    """(U, A) predicted reward of each item on each distinct page."""
    index: NDArray[np.intp]
    """(n,) the page of each logged row."""

    def rows(self) -> NDArray[np.float64]:
        """(n, A), the whole table: n times A numbers."""
        return self.values[self.index]

    def pair(
        self, *, action: ArrayLike, distribution: ArrayLike
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """`q_logged` and `q_policy`, (n,) each, without making the whole table.

        Args:
            action: (n,) number of the item shown.
            distribution: (n, A) the policy's probability of each item on each row's page, or (A,).

        Raises:
            InputError: As for `doubly_robust.model_values`.
        """
        n, n_items = self.index.shape[0], self.values.shape[1]
        shown = item_numbers(action, n=n, n_items=n_items, where="RewardTable")
        shares = item_distribution(
            distribution, n=n, n_items=n_items, name="distribution", where="RewardTable"
        )
        logged = self.values[self.index, shown]
        if shares.ndim == 1:
            return logged, (self.values @ shares)[self.index]
        policy = np.empty(n)
        step = max(1, _CELLS // n_items)
        for start in range(0, n, step):
            rows = slice(start, start + step)
            policy[rows] = np.einsum("na,na->n", self.values[self.index[rows]], shares[rows])
        return logged, policy


def default_reward_model(reward: ArrayLike) -> Predictor:
    """Logistic regression where all rewards are 0 or 1, else ridge regression; both lightly penalised."""
    from sklearn.linear_model import LogisticRegression, Ridge

    values = np.asarray(reward, np.float64)
    made: Predictor = (
        LogisticRegression(C=1.0, max_iter=1000)
        if bool(np.isin(values, (0.0, 1.0)).all())
        else Ridge(alpha=1.0)
    )
    return made


def cross_fit_rewards(
    *,
    reward: ArrayLike,
    action: ArrayLike,
    sessions: ArrayLike,
    n_items: int,
    context: ArrayLike | None = None,
    slot: ArrayLike | None = None,
    item_features: ArrayLike | None = None,
    model: Predictor | None = None,
    n_folds: int = 5,
) -> RewardTable:
    """Predicts the reward of every item on every logged page by models fitted to other sessions.

    A model sees one row of features a (page, item): context, 0/1 columns of the slot, and the item's 0/1 column or
    features. Additive models (the defaults) therefore give all pages the same order of items; plug in trees, or
    a pipeline with products, where tastes differ.

    Args:
        reward: (n,) reward of each impression.
        action: (n,) number of the item shown, 0 to A - 1.
        sessions: (n,) label of each row's session (of the user, where users come back).
        n_items: A, items that a policy may show; those that were never shown are predicted by their features, or
            where there are none by the intercept alone.
        context: (n, D) numbers that describe the page and its user; categories as 0/1 columns (`one_hot`). An item id
            among them (such as the last one seen) is a category.
        slot: (n,) position of each impression.
        item_features: (A, F) embeddings or 0/1 categories; None: a column for each item.
        model: Any classifier (`predict_proba`, whose mean is taken) or regressor (`predict`) of scikit-learn's
            kind, not fitted; None: `default_reward_model`. Give it a fixed seed if it has chance.
        n_folds: Number of folds, at least 2.

    Returns:
        The predictions; the same, to the bit, for rows in any order, if the model is a function of its data.

    Raises:
        InputError: Shapes that do not go together, numbers that are not finite, a log of a single item or session,
            features that number the items, or a model whose predictions cannot be used.
    """
    where = "cross_fit_rewards"
    r = check_reward(reward, ndim=1, where=where)
    n = r.shape[0]
    if n_items < 2:
        raise InputError(
            f"{n_items} items",
            where=where,
            mend="Pass the number of items that a policy may show: 2 or more.",
        )
    shown = item_numbers(action, n=n, n_items=n_items, where=where)
    items = item_block(item_features, n_items, where)  # (A, F)
    pages = Pages.of(n=n, context=context, slot=slot, sessions=sessions, n_folds=n_folds, where=where)
    chosen = default_reward_model(r) if model is None else model
    values = np.empty((pages.features.shape[0], n_items))
    for number, rows in fold_rows(pages, steady_order(pages, sessions, r, shown)):
        known = np.concatenate([pages.features[pages.index[rows]], items[shown[rows]]], axis=1)
        mine = np.flatnonzero(pages.fold == number)
        if np.ptp(r[rows]) == 0:
            values[mine] = r[rows[0]]  # classifiers refuse to learn a single class
            continue
        made = _fit(chosen, known, r[rows], where)
        values[mine] = _predicted(made, pages.features[mine], items, where)
    return RewardTable(values, pages.index)


def _fit(
    model: Predictor, features: NDArray[np.float64], reward: NDArray[np.float64], where: str
) -> Predictor:
    try:
        return fitted(model, features, reward)
    except (TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{type(model).__name__} cannot be fitted to {features.shape} features: {error}",
            where=where,
            mend="Plug in a regressor, or a classifier where rewards are classes, of scikit-learn's kind.",
        ) from error


def _predicted(
    model: Any, pages: NDArray[np.float64], items: NDArray[np.float64], where: str
) -> NDArray[np.float64]:
    """(u, A) predictions of all items on pages (u, D)."""
    n_items, width = items.shape[0], pages.shape[1] + items.shape[1]
    found = np.empty((pages.shape[0], n_items))
    step = max(1, _CELLS // (n_items * width))
    for start in range(0, pages.shape[0], step):
        some = pages[start : start + step]  # (m, D)
        features = np.concatenate(
            [np.repeat(some, n_items, axis=0), np.tile(items, (some.shape[0], 1))], axis=1
        )  # (m A, D + F)
        found[start : start + step] = expected_value(model, features, where).reshape(-1, n_items)
    return found
