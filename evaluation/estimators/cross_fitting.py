"""Models that predict each logged row without having seen its session, the same in whatever order the rows come.

Folds go by a hash of the session's label, and the rows of a fold are put into an order of their own before a model is
fitted: sums of floating numbers depend on their order, and so would a fit.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from behavior.errors import InputError
from evaluation.estimators.checks import check_finite
from evaluation.fqe.folds import session_folds

__all__ = [
    "Pages",
    "Predictor",
    "expected_value",
    "fitted",
    "fold_rows",
    "item_block",
    "one_hot",
    "steady_order",
]

_MEND_CONTEXT = "Fill in or leave out what is unknown of a page, knowingly; encode categories as 0/1 columns."


class Predictor(Protocol):
    """Anything with scikit-learn's `fit(X, y)`, and `predict_proba(X)` or `predict(X)`."""

    def fit(self, X: Any, y: Any) -> Any:
        """Learns from features (m, D) and targets (m,)."""
        ...


@dataclass(frozen=True)
class Pages:
    """What is known of each logged page, whatever item it shows; pages that are alike are kept once."""

    features: NDArray[np.float64]
    """(U, D) context and slot of each distinct page of a fold."""
    fold: NDArray[np.int64]
    """(U,) fold of each."""
    index: NDArray[np.intp]
    """(n,) page of each logged row."""

    @classmethod
    def of(
        cls,
        *,
        n: int,
        context: ArrayLike | None,
        slot: ArrayLike | None,
        sessions: ArrayLike,
        n_folds: int,
        where: str,
    ) -> Pages:
        """Pages of a log of `n` rows.

        Args:
            n: Number of rows.
            context: (n, D) features of each page, or None.
            slot: (n,) position of each impression, any labels, or None; made 0/1 columns.
            sessions: (n,) label of each row's session.
            n_folds: Number of folds, at least 2.
            where: Named by errors.
        """
        import pandas as pd

        columns = []
        if context is not None:
            columns.append(check_finite(context, name="context", ndim=2, where=where, mend=_MEND_CONTEXT))
        if slot is not None:
            columns.append(one_hot(np.asarray(slot)))
        for array in columns:
            if array.shape[0] != n:
                raise InputError(
                    f"{array.shape[0]} rows of context or slots for {n} rewards",
                    where=where,
                    mend="Pass one entry per logged row to each.",
                )
        features = np.concatenate(columns, axis=1) if columns else np.zeros((n, 0))
        fold = _folds(np.asarray(sessions), n=n, n_folds=n_folds, where=where)
        frame = pd.DataFrame(np.column_stack([fold, features]))
        index = frame.groupby(list(frame.columns), sort=True, dropna=False).ngroup().to_numpy()
        first = np.empty(int(index.max()) + 1, np.intp)
        first[index[::-1]] = np.arange(n)[::-1]  # the first row of each page
        return cls(features[first], fold[first], index.astype(np.intp))

    @property
    def row_fold(self) -> NDArray[np.int64]:
        """(n,) fold of each row."""
        return self.fold[self.index]


def fold_rows(pages: Pages, order: NDArray[np.intp]) -> Iterator[tuple[int, NDArray[np.intp]]]:
    """Each fold that holds rows, and the rows of all *other* folds in `order`."""
    fold = pages.row_fold[order]
    for number in np.unique(fold):
        yield int(number), order[fold != number]


def steady_order(pages: Pages, sessions: ArrayLike, *columns: NDArray[Any]) -> NDArray[np.intp]:
    """An order (n,) of the rows that depends on what they hold, not on how they came.

    Rows that tie are equal in their page, session and `columns`, hence can stand for each other.
    """
    _, session = np.unique(np.asarray(sessions), return_inverse=True)
    return np.lexsort((*columns, session, pages.index))


def fitted(model: Predictor, features: NDArray[np.float64], target: NDArray[Any]) -> Predictor:
    """A copy of `model`, fitted; the given one stays as it is."""
    made = copy.deepcopy(model)
    made.fit(features, target)
    return made


def expected_value(model: Any, features: NDArray[np.float64], where: str) -> NDArray[np.float64]:
    """(m,) expected target: of a classifier the mean of its classes by their probabilities, else its prediction."""
    if hasattr(model, "predict_proba"):
        found = np.asarray(model.predict_proba(features), np.float64) @ np.asarray(model.classes_, np.float64)
    else:
        found = np.asarray(model.predict(features), np.float64)
    if found.shape != (features.shape[0],) or not np.isfinite(found).all():
        raise InputError(
            f"{type(model).__name__} predicts an array of shape {found.shape} for {features.shape[0]} rows"
            if found.shape != (features.shape[0],)
            else f"{type(model).__name__} predicts numbers that are not finite",
            where=where,
            mend="Plug in a model whose `predict` gives one finite number a row.",
        )
    return found


def one_hot(labels: NDArray[Any]) -> NDArray[np.float64]:
    """0/1 columns of categories: (m,) labels, or (m, C) with one label a column, become (m, all categories)."""
    table = labels[:, None] if labels.ndim == 1 else labels
    blocks = []
    for column in range(table.shape[1]):
        values, number = np.unique(table[:, column], return_inverse=True)
        blocks.append(np.eye(values.size)[number])
    return np.concatenate(blocks, axis=1)


def item_block(item_features: ArrayLike | None, n_items: int, where: str) -> NDArray[np.float64]:
    """(A, F) features of every item: 0/1 columns of its own where none are given.

    Raises:
        InputError: Not one row per item, or a column that merely numbers the items: a model would take item 7 for
            something between 6 and 8.
    """
    if item_features is None:
        return np.eye(n_items)
    block = check_finite(
        item_features,
        name="item_features",
        ndim=2,
        where=where,
        mend="Pass embeddings (items, F), or categories through `one_hot`.",
    )
    if block.shape[0] != n_items:
        raise InputError(
            f"`item_features` has {block.shape[0]} rows for {n_items} items",
            where=where,
            mend="Pass one row per item.",
        )
    if n_items > 2:
        order = np.sort(block, axis=0)
        numbers = (np.diff(order, axis=0) == 1).all(axis=0)
        if numbers.any():
            raise InputError(
                f"column {int(np.argmax(numbers))} of `item_features` merely numbers the items",
                where=where,
                mend="Leave it out: item ids are no quantities. Without features each item has a column of its own.",
            )
    return block


def _folds(sessions: NDArray[Any], *, n: int, n_folds: int, where: str) -> NDArray[np.int64]:
    if sessions.shape != (n,):
        raise InputError(
            f"`sessions` has shape {sessions.shape}, expected ({n},)",
            where=where,
            mend="Pass the label of each row's session; rows that are independent have labels of their own.",
        )
    if n_folds < 2:
        raise InputError(
            f"{n_folds} folds",
            where=where,
            mend="Pass 2 or more: a model that has seen a row's reward must not predict it.",
        )
    labels, session = np.unique(sessions, return_inverse=True)
    fold = session_folds(labels, n_folds)[session]
    if np.unique(fold).size < 2:
        raise InputError(
            f"all rows fall into one of {n_folds} folds ({labels.size} sessions)",
            where=where,
            mend="Bring a log of more sessions, or pass more folds.",
        )
    return fold
