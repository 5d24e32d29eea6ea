"""Estimates from blocks of rows that fit into the processor's cache, with sums that do not depend on their order.

An estimator says how weights, numerators and denominators of some rows come from its inputs (`Rows`); here they
are summed block by block, so that nothing as large as the log is made besides it. Sums of blocks are added with
their rounding errors kept (Knuth's two-sum; Ogita, Rump, Oishi, SIAM J. Sci. Comput. 2005, algorithm 4.3).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError
from evaluation.estimators.result import Estimate

__all__ = [
    "Block",
    "Given",
    "Rows",
    "Total",
    "estimate_rows",
    "linear_terms",
    "row_blocks",
    "whole",
]

_CELLS = 32_768  # numbers of one array in a block: a handful of such arrays fits into a core's own cache


class Block(NamedTuple):
    """What an estimator makes of `m` rows."""

    weights: NDArray[np.float64]
    """(m, P) importance weights."""
    numerator: NDArray[np.float64]
    """(m, Q)."""
    denominator: NDArray[np.float64] | None
    """(m, Q); None stands for ones: a plain average."""


class Rows(Protocol):
    """The logged rows as an estimator sees them."""

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        ...

    @property
    def width(self) -> int:
        """Numbers read per row, of the widest input."""
        ...

    def block(self, rows: slice) -> Block:
        """Weights, numerators and denominators of some rows; bad input raises InputError."""
        ...


@dataclass(frozen=True)
class Given:
    """Rows whose weights, numerators and denominators are there already."""

    weights: NDArray[np.float64]
    """(n, P)."""
    numerator: NDArray[np.float64]
    """(n, Q)."""
    denominator: NDArray[np.float64] | None
    """(n, Q), or None for ones."""

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return int(self.numerator.shape[0])

    @property
    def width(self) -> int:
        """Columns."""
        return int(self.numerator.shape[1])

    def block(self, rows: slice) -> Block:
        """The rows themselves."""
        bottom = None if self.denominator is None else self.denominator[rows]
        return Block(self.weights[rows], self.numerator[rows], bottom)


class Total:
    """A running sum of arrays of one shape that keeps what rounding would lose."""

    def __init__(self) -> None:
        self._high: NDArray[np.float64] | None = None
        self._low: NDArray[np.float64] | float = 0.0

    def add(self, part: NDArray[np.float64]) -> None:
        """Add one array."""
        if self._high is None:
            self._high = part.copy()
            return
        total = self._high + part
        back = total - self._high
        self._low = self._low + ((self._high - (total - back)) + (part - back))
        self._high = total

    @property
    def value(self) -> NDArray[np.float64]:
        """The sum."""
        assert self._high is not None, "nothing was added"
        return self._high + self._low


def row_blocks(n_rows: int, width: int) -> Iterator[slice]:
    """Slices over the rows, of a size that suits the cache for rows of `width` numbers."""
    step = max(64, _CELLS // max(1, width))
    for start in range(0, n_rows, step):
        yield slice(start, min(start + step, n_rows))


def whole(
    rows: Rows,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Weights, numerators and denominators of all rows; denominators of ones take no memory."""
    made: tuple[NDArray[np.float64], ...] = ()
    for part in row_blocks(rows.n_rows, rows.width):
        block = rows.block(part)
        if not made:
            shapes = [(rows.n_rows, array.shape[1]) for array in block if array is not None]
            made = tuple(np.empty(shape) for shape in shapes)
        for array, found in zip(made, (found for found in block if found is not None), strict=True):
            array[part] = found
    weights, numerator, *rest = made
    return weights, numerator, rest[0] if rest else np.broadcast_to(np.float64(1.0), numerator.shape)


def linear_terms(
    value: float, numerator: NDArray[np.float64], denominator: NDArray[np.float64]
) -> NDArray[np.float64]:
    """One term a row, (n,), with mean `value`: see `result.ratio_estimate`."""
    n = numerator.shape[0]
    if not np.isfinite(value):
        return np.full(n, np.nan)
    if denominator.strides[0] == 0 and np.all(denominator[:1] == 1.0):  # ones that take no memory
        return _row_sums(numerator)
    part, scale = _parts(_sums(numerator), _sums(denominator), n)
    terms = np.empty(n)
    for rows in row_blocks(*numerator.shape):
        terms[rows] = value + (numerator[rows] - part * denominator[rows]) @ scale
    return terms


def estimate_rows(name: str, rows: Rows, *, caveat: str = "") -> Estimate:
    """The estimate of all rows; its arrays are made when they are asked for. `caveat`: why it is to be doubted.

    Plain averages take one pass over the rows. Ratios take two, because a row's influence depends on the value.
    """
    n = rows.n_rows
    weight, square, top, bottom = Total(), Total(), Total(), Total()
    largest, averaged, moments = -np.inf, True, _Moments()
    for part in row_blocks(n, rows.width):
        w, numerator, denominator = rows.block(part)
        weight.add(_sums(w))
        square.add(_sums(np.square(w)))
        peak = float(w.max())
        if not math.isfinite(peak):
            row = part.start + int((~np.isfinite(w)).any(axis=1).argmax())
            raise InputError(
                "an importance weight is beyond the range of numbers: a logged propensity next to 0",
                where=f"{name}, row {row}",
                mend="Correct the log: what was shown cannot have been that unlikely. For long pages use weights of "
                "items (IIPS), not of whole pages.",
            )
        largest = max(largest, peak)
        top.add(_sums(numerator))
        if denominator is None:
            moments.add(_row_sums(numerator))
        else:
            averaged = False
            bottom.add(_sums(denominator))
    value = standard_error = float("nan")
    if averaged:
        value, standard_error = float(top.value.sum()) / n, moments.standard_error
    elif np.all(bottom.value > 0):
        ratios, scale = _parts(top.value, bottom.value, n)
        value = float(ratios.sum())
        moments = _Moments()
        for part in row_blocks(n, rows.width):
            _, numerator, denominator = rows.block(part)
            assert denominator is not None
            moments.add((numerator - ratios * denominator) @ scale)
        standard_error = moments.standard_error
    total, squares = weight.value, square.value
    ess = np.divide(np.square(total), squares, out=np.zeros_like(total), where=squares > 0)
    return Estimate.lazily(
        rows,
        name=name,
        value=value,
        standard_error=standard_error,
        ess=float(ess.min()),
        max_weight=largest,
        mean_weight=float(total.min()) / n,
        caveat=caveat,
    )


class _Moments:
    """Mean and spread of terms that come in blocks (Chan, Golub, LeVeque: American Statistician 1983)."""

    def __init__(self) -> None:
        self.n, self.mean, self.squares = 0, 0.0, 0.0

    def add(self, terms: NDArray[np.float64]) -> None:
        m = terms.shape[0]
        mean = float(terms.mean())
        apart = terms - mean
        step, n = mean - self.mean, self.n + m
        self.squares += float(apart @ apart) + step * step * (self.n * m / n)
        self.mean += step * (m / n)
        self.n = n

    @property
    def standard_error(self) -> float:
        if self.n < 2:
            return float("nan")
        return float(np.sqrt(self.squares / (self.n - 1) / self.n))


def _parts(
    top: NDArray[np.float64], bottom: NDArray[np.float64], n: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return top / bottom, n / bottom


def _sums(array: NDArray[np.float64]) -> NDArray[np.float64]:
    """Column sums (P,) of (m, P), in blocks: a matrix product is several times faster than `sum(axis=0)`."""
    total = Total()
    for rows in row_blocks(*array.shape):
        part = array[rows]
        total.add(np.ones(part.shape[0]) @ part)
    return total.value


def _row_sums(array: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) of (n, P); for the narrow arrays of slates several times faster than `sum(axis=1)`."""
    sums: NDArray[np.float64] = array @ np.ones(array.shape[1])
    return sums
