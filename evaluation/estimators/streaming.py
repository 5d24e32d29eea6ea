"""Estimates of logs that do not fit into memory: chunks become sums by groups of clusters, and sums add up.

    stream = Stream()
    for chunk in chunks:
        stream.add(sniips(chunk.reward, chunk.logging, chunk.evaluation), clusters=chunk.session)
    found = stream.estimate()

Every estimator here is a sum of ratios of sums, so its numerators and denominators, summed, are all that the value
needs. Their uncertainty needs them by cluster (session, user). Clusters are gathered in a fixed number of groups by
a hash of their label: groups of independent clusters are as independent as the clusters, and memory stays the same
however long the log.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError
from evaluation.estimators.blocks import Total
from evaluation.estimators.result import Estimate, ratio_estimate

__all__ = ["Stream"]


class Stream:
    """Adds up estimates of chunks of one log into the estimate of all of it.

    Valid for every estimator that treats rows one by one: all weighting, doubly robust and direct ones. Not for those
    whose rows depend on the whole log: pseudo-inverse control variates `single` and `slots` (their coefficients),
    tuned ones (tune first, on a part).

    Args:
        n_groups: Groups of clusters. More groups are closer to an interval by single clusters, of which they need
            0.5 kB each for slates of ten; 65,536 are as good as any number.
    """

    def __init__(self, n_groups: int = 65_536) -> None:
        if n_groups < 2:
            raise InputError(
                f"{n_groups} groups", where="Stream", mend="Use at least two, thousands where memory allows."
            )
        self.n_groups = n_groups
        self.n_rows = 0
        self._name: str | None = None
        self._caveat = ""
        self._rows = np.zeros(n_groups, np.int64)
        self._top = self._bottom = np.zeros((0, n_groups))
        self._weight = np.zeros((0, n_groups))
        self._weights, self._squares = Total(), Total()
        self._largest = -np.inf

    def add(self, estimate: Estimate, *, clusters: NDArray[Any] | None = None) -> None:
        """Adds a chunk.

        Args:
            estimate: The chunk's own estimate; its value may be nan (a chunk without weight).
            clusters: (m,) label of each row's session or user, whole numbers or strings; a cluster may go on in
                another chunk. None: every row for itself.

        Raises:
            InputError: Another estimator or another number of positions than before, or labels that do not fit.
        """
        weights, top, bottom = estimate.weights, estimate.numerator, estimate.denominator
        m = top.shape[0]
        if self._name is None:
            self._name, self._caveat = estimate.name, estimate.caveat
            self._top, self._bottom = (np.zeros((top.shape[1], self.n_groups)) for _ in range(2))
            self._weight = np.zeros((weights.shape[1], self.n_groups))
        shapes = (top.shape[1], weights.shape[1])
        if estimate.name != self._name or shapes != (self._top.shape[0], self._weight.shape[0]):
            raise InputError(
                f"{estimate.name} with {shapes[0]} columns after {self._name} with {self._top.shape[0]}",
                where="Stream",
                mend="Use one stream for each estimator, with slates of one length (see `shown`).",
            )
        if clusters is not None and clusters.shape != (m,):
            raise InputError(
                f"{clusters.shape} cluster labels for {m} rows",
                where="Stream",
                mend="Pass one label per row.",
            )
        labels = np.arange(self.n_rows, self.n_rows + m) if clusters is None else clusters
        group = _groups(labels, self.n_groups)
        counts = np.bincount(group, minlength=self.n_groups)
        self._rows += counts
        _add_by_group(self._top, top, group)
        if bottom.strides[0] == 0 and np.all(bottom[:1] == 1.0):
            self._bottom += counts  # ones: no need to look at each
        else:
            _add_by_group(self._bottom, bottom, group)
        _add_by_group(self._weight, weights, group)
        self._weights.add(weights.sum(axis=0))
        self._squares.add(np.square(weights).sum(axis=0))
        self._largest = max(self._largest, estimate.max_weight)
        self.n_rows += m

    def merge(self, other: Stream) -> None:
        """Adds what another stream has seen: of other rows, perhaps by another process.

        Raises:
            InputError: Another estimator, or another number of groups.
        """
        if other._name is None:
            return
        if self._name is None:
            self._name, self._caveat = other._name, other._caveat
            self._top, self._bottom = np.zeros_like(other._top), np.zeros_like(other._bottom)
            self._weight = np.zeros_like(other._weight)
        if (self._name, self.n_groups, self._top.shape) != (other._name, other.n_groups, other._top.shape):
            raise InputError(
                f"{other._name} in {other.n_groups:,} groups, {self._name} in {self.n_groups:,}",
                where="Stream",
                mend="Merge streams of one estimator, made with the same number of groups.",
            )
        self._rows += other._rows
        self._top += other._top
        self._bottom += other._bottom
        self._weight += other._weight
        self._weights.add(other._weights.value)
        self._squares.add(other._squares.value)
        self._largest = max(self._largest, other._largest)
        self.n_rows += other.n_rows

    def estimate(self) -> Estimate:
        """The estimate of all that was added.

        Its value, `ess`, `max_weight` and `mean_weight` are those of the rows, as if all had been there at once. The
        rows of its arrays are groups of clusters: sums of numerators, denominators and weights, and terms that
        already count dependence within clusters, so that `standard_error` does too. Intervals and bootstraps take it
        without `clusters`.

        Raises:
            InputError: Fewer than two groups hold rows.
        """
        filled = self._rows > 0
        if filled.sum() < 2 or self._name is None:
            raise InputError(
                f"{int(filled.sum())} groups of clusters with rows, expected at least 2",
                where="Stream",
                mend="Add chunks of at least two sessions.",
            )
        top, bottom, weight = (
            np.ascontiguousarray(array[:, filled].T) for array in (self._top, self._bottom, self._weight)
        )
        grouped = ratio_estimate(self._name, weights=weight, numerator=top, denominator=bottom)
        total, squares = self._weights.value, self._squares.value
        ess = np.divide(np.square(total), squares, out=np.zeros_like(total), where=squares > 0)
        return Estimate(
            name=self._name,
            value=grouped.value,
            terms=grouped.terms,
            standard_error=grouped.standard_error,
            ess=float(ess.min()),
            max_weight=self._largest,
            mean_weight=float(total.min()) / self.n_rows,
            weights=weight,
            numerator=top,
            denominator=bottom,
            caveat=self._caveat,
        )


def _groups(labels: NDArray[Any], n_groups: int) -> NDArray[np.intp]:
    import pandas as pd

    keys = pd.util.hash_array(np.asarray(labels))
    return (keys % np.uint64(n_groups)).astype(np.intp)


def _add_by_group(sums: NDArray[np.float64], values: NDArray[np.float64], group: NDArray[np.intp]) -> None:
    """Adds `values` (m, P) into `sums` (P, groups)."""
    for column in range(values.shape[1]):
        sums[column] += np.bincount(group, weights=values[:, column], minlength=sums.shape[1])
