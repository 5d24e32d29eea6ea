"""What an off-policy estimator returns: the value, how it came about, and how far it can be trusted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from evaluation.estimators.blocks import Rows

__all__ = ["Estimate", "effective_sample_size", "ratio_estimate"]

_ARRAYS = ("terms", "weights", "numerator", "denominator")


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """An estimated policy value, per logged row (impression or slate).

    Every estimator here is a sum of `P` ratios of sums, `value = sum_p sum_i numerator[i, p] /
    sum_i denominator[i, p]`: a plain average has one ratio and a denominator of ones; a self-normalised
    estimator has the weights below. A bootstrap needs no more than these two arrays.

    The four arrays of an estimate made by `lazily` are computed when first asked for, from the arrays that the
    estimator was given: do not write into those while the estimate is in use. An array may be read-only.
    """

    name: str
    """Name of the estimator, such as `SNIIPS`."""
    value: float
    """The estimate; nan where a self-normalised estimator has no weight at all (no overlap)."""
    terms: NDArray[np.float64]
    """(n,) one term a row with mean `value`; for self-normalised forms the linearised terms (delta method)."""
    standard_error: float
    """`sd(terms, ddof=1) / sqrt(n)`, for independent rows; see `evaluation.intervals` for clusters."""
    ess: float
    """Effective sample size `(sum w)^2 / sum w^2`, the smallest over the positions."""
    max_weight: float
    """The largest importance weight."""
    mean_weight: float
    """Mean weight, the smallest over the positions; near 1 where the log supports all the policy would do."""
    weights: NDArray[np.float64]
    """(n, P) importance weights; P is 1 or the number of positions."""
    numerator: NDArray[np.float64]
    """(n, P) sufficient statistics of the value."""
    denominator: NDArray[np.float64]
    """(n, P) sufficient statistics of the value."""
    caveat: str = ""
    """Why it is to be doubted whatever its weights are like, such as a model that nothing corrects; empty: nothing."""

    @classmethod
    def lazily(
        cls,
        rows: Rows,
        *,
        name: str,
        value: float,
        standard_error: float,
        ess: float,
        max_weight: float,
        mean_weight: float,
        caveat: str = "",
    ) -> Estimate:
        """An estimate whose arrays are made from `rows` when they are asked for: many callers never do."""
        made = object.__new__(cls)
        made.__dict__.update(
            name=name,
            value=value,
            standard_error=standard_error,
            ess=ess,
            max_weight=max_weight,
            mean_weight=mean_weight,
            caveat=caveat,
            _rows=rows,
        )
        return made

    if not TYPE_CHECKING:  # for a type checker the fields are simply there

        def __getattr__(self, field: str) -> Any:
            # Reached only while the field is not in `__dict__`.
            rows = self.__dict__.get("_rows")
            if rows is None or field not in _ARRAYS:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {field!r}")
            from evaluation.estimators.blocks import linear_terms, whole

            if field == "terms":
                self.__dict__[field] = linear_terms(self.value, self.numerator, self.denominator)
            else:
                weights, numerator, denominator = whole(rows)
                self.__dict__.update(weights=weights, numerator=numerator, denominator=denominator)
            return self.__dict__[field]


def effective_sample_size(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Kish's effective sample size of `weights` (n, P), shape (P,); 0 where all weights are 0."""
    total, squares = weights.sum(axis=0), np.square(weights).sum(axis=0)
    ess: NDArray[np.float64] = np.divide(
        np.square(total), squares, out=np.zeros_like(total), where=squares > 0
    )
    return ess


def ratio_estimate(
    name: str,
    *,
    weights: NDArray[np.float64],
    numerator: NDArray[np.float64],
    denominator: NDArray[np.float64],
) -> Estimate:
    """The sum over columns of `sum(numerator) / sum(denominator)`, with linearised terms.

    Args:
        name: Name of the estimator.
        weights: Importance weights (n, P).
        numerator: (n, P).
        denominator: (n, P), its sums above 0; else the value is nan.

    Returns:
        The estimate. The term of row i is `value + sum_p (numerator_ip - value_p denominator_ip) /
        mean(denominator_p)`: the first-order influence of the row, exact where the denominator is constant.
    """
    from evaluation.estimators.blocks import Given, estimate_rows

    return estimate_rows(name, Given(weights, numerator, denominator))
