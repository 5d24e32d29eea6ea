"""Values of parts: of groups of rows or sessions, of positions, of steps, each with its interval.

An estimate that is a sum of ratios of sums has the same form on a part of its rows, or of its columns: the figure of a
group is what the estimator says of the group's rows alone, and its weights are normalised within the group.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from behavior.errors import InputError
from evaluation.estimators.result import Estimate, effective_sample_size, ratio_estimate
from evaluation.intervals.interval import Interval, check_level, cluster_index, cluster_sums
from evaluation.intervals.means import estimate_interval

__all__ = ["PartValue", "column_values", "group_values"]


@dataclass(frozen=True, kw_only=True)
class PartValue:
    """What a part is worth."""

    label: Any
    """The group, position or step."""
    estimate: Estimate
    """The estimator on this part alone."""
    interval: Interval
    """Its value, over clusters."""
    n_rows: int
    """Rows of the part."""
    ess: float
    """Effective number of clusters, the smallest over its columns."""
    warning: str
    """Why the figure cannot be believed; empty where it can."""


def group_values(
    estimate: Estimate,
    groups: ArrayLike,
    *,
    clusters: ArrayLike | None = None,
    level: float = 0.95,
    simultaneous: bool = False,
    min_ess: float = 50.0,
) -> tuple[PartValue, ...]:
    """The value in each group.

    For estimators whose terms are of their own row and its column's sums: IPS forms, DR, PDIS and their weighted forms.
    (Not for marginalised ones, whose shares of states mix the groups: estimate each group's sessions apart.)

    Args:
        estimate: Of all rows.
        groups: (n,) label of each row of the estimate (of each session, for estimators of sessions).
        clusters: (n,) label of each row's session or user; None: every row for itself.
        level: Confidence level of each interval, or of all of them at once.
        simultaneous: Whether the level is that of all groups at once (Bonferroni): for asking which groups stand out.
        min_ess: Least effective number of clusters without a warning.

    Returns:
        The groups in the order of their labels.

    Raises:
        InputError: Not one label for each row, or missing labels.
    """
    labels = np.asarray(groups)
    n = estimate.numerator.shape[0]
    if labels.shape != (n,):
        raise InputError(
            f"{labels.shape} group labels for {n} rows of {estimate.name}",
            where="group values",
            mend="Pass one label per row of the estimate: per session, sorted by label, for estimators of sessions.",
        )
    if labels.dtype.kind == "f" and np.isnan(labels).any():
        raise InputError(
            "a missing label",
            where=f"group values, row {int(np.flatnonzero(np.isnan(labels))[0])}",
            mend="Give rows of no known group a label of their own.",
        )
    names, code = np.unique(labels, return_inverse=True)
    each = 1 - (1 - level) / names.shape[0] if simultaneous else level
    dense, _ = cluster_index(None if clusters is None else np.asarray(clusters), n)
    parts = []
    for g, label in enumerate(names.tolist()):
        rows = np.flatnonzero(code.reshape(-1) == g)
        arrays = estimate.weights[rows], estimate.numerator[rows], estimate.denominator[rows]
        parts.append(_part(estimate.name, label, *arrays, dense[rows], each, min_ess))
    return tuple(parts)


def column_values(
    estimate: Estimate,
    labels: ArrayLike | None = None,
    *,
    clusters: ArrayLike | None = None,
    level: float = 0.95,
    min_ess: float = 50.0,
) -> tuple[PartValue, ...]:
    """The share of the value that each column brings: each position of the page, or each step of the session.

    Args:
        estimate: Whose columns are positions (IIPS, RIPS and their forms) or steps by positions (PDIS and its forms:
            column t * P + p).
        labels: (P,) label of each column; columns of one label are added. None: the column's number.
        clusters: (n,) label of each row's session or user; None: every row for itself.
        level: Confidence level of each interval.
        min_ess: Least effective number of clusters without a warning.

    Returns:
        The parts in the order of their labels; their values add up to the estimate's.

    Raises:
        InputError: Not one label for each column.
    """
    n, P = estimate.numerator.shape
    given = np.arange(P) if labels is None else np.asarray(labels)
    if given.shape != (P,):
        raise InputError(
            f"{given.shape} labels for {P} columns of {estimate.name}",
            where="column values",
            mend="Pass one label per column of `numerator`.",
        )
    dense, _ = cluster_index(None if clusters is None else np.asarray(clusters), n)
    weights = (
        np.broadcast_to(estimate.weights, (n, P)) if estimate.weights.shape[1] == 1 else estimate.weights
    )
    if weights.shape[1] != P:
        weights = estimate.denominator  # where columns have no weights of their own
    names, code = np.unique(given, return_inverse=True)
    parts = []
    for c, label in enumerate(names.tolist()):
        columns = np.flatnonzero(code.reshape(-1) == c)
        arrays = weights[:, columns], estimate.numerator[:, columns], estimate.denominator[:, columns]
        parts.append(_part(estimate.name, label, *arrays, dense, level, min_ess))
    return tuple(parts)


def _part(
    name: str,
    label: Any,
    weights: NDArray[np.float64],
    numerator: NDArray[np.float64],
    denominator: NDArray[np.float64],
    clusters: NDArray[np.intp],
    level: float,
    min_ess: float,
) -> PartValue:
    check_level(level)
    made = ratio_estimate(name, weights=weights, numerator=numerator, denominator=denominator)
    _, code = np.unique(clusters, return_inverse=True)
    count = int(code.max()) + 1
    ess = float(effective_sample_size(cluster_sums(weights, code, count)).min())
    warning = ""
    if not np.isfinite(made.value):
        warning = "the log never shows what the policy would show here"
    elif ess < min_ess:
        warning = f"effective number of clusters {ess:.1f}, below {min_ess:g}"
    return PartValue(
        label=label,
        estimate=made,
        interval=estimate_interval(made, clusters=clusters, level=level),
        n_rows=int(numerator.shape[0]),
        ess=ess,
        warning=warning,
    )
