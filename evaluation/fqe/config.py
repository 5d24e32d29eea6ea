"""Settings of fitted Q evaluation, and what it returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError
from evaluation.intervals.interval import Interval, check_level

__all__ = ["FqeConfig", "FqeNotConverged", "FqeResult", "Regressor"]


class Regressor(Protocol):
    """A regressor as scikit-learn has them."""

    def fit(
        self, features: NDArray[np.float64], target: NDArray[np.float64], sample_weight: Any = None
    ) -> Any:
        """Learn `target` (m,) from `features` (m, D)."""

    def predict(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n,) of `features` (n, D)."""


class FqeNotConverged(UserWarning):
    """The values had not settled, or had left the range of the rewards: the figure means nothing yet."""


@dataclass(frozen=True, kw_only=True)
class FqeConfig:
    """How values are fitted."""

    gamma: float = 1.0
    """Discount per page."""
    regressor: Literal["linear", "boosted", "network"] | Callable[[], Regressor] = "linear"
    """'linear': ridge, solved exactly, with an interval that counts the fit's own error; 'boosted': scikit-learn's
    histogram gradient boosting; 'network': two layers in torch; or what makes a regressor of one's own, whose `fit`
    takes `sample_weight`."""
    ridge: float = 1e-2
    """Penalty of the linear form, per row and squared standardised weight."""
    iterations: int = 0
    """Most rounds of fitting; 0: 1,000 for the linear form, 60 for others."""
    tolerance: float = 0.0
    """Converged when the values of the observations change by less than this share of their root mean square, and no
    more than this share is still to come by how the changes shrink (`evaluation.fqe.convergence`); 0: 1e-9 for the
    linear form, 0.01 for others, whose fits jitter."""
    n_folds: int = 2
    """Sessions are judged by values fitted to the sessions of the other folds; 1: by values fitted to all."""
    n_refits: int = 0
    """Forms other than linear: refits to resampled sessions, for the interval. 0: the interval leaves out the error of
    the fit, and says so."""
    level: float = 0.95
    """Confidence level."""
    seed: int = 0
    """Of regressors, resampling and the policy's draws."""

    def __post_init__(self) -> None:
        """Refuses values that make no sense.

        Raises:
            InputError: One does not.
        """
        check_level(self.level)
        for name, ok, mend in (
            ("gamma", 0 <= self.gamma <= 1, "Pass a discount between 0 and 1."),
            ("ridge", self.ridge >= 0, "Pass 0 or more."),
            ("iterations", self.iterations >= 0, "Pass a number of rounds, or 0."),
            ("tolerance", self.tolerance >= 0, "Pass a small share, or 0."),
            ("n_folds", self.n_folds >= 1, "Pass 1 or more."),
            ("n_refits", self.n_refits == 0 or self.n_refits >= 2, "Pass 0, or at least 2."),
        ):
            if not ok:
                raise InputError(f"{name} is {getattr(self, name)}", where="FqeConfig", mend=mend)
        if isinstance(self.regressor, str) and self.regressor not in ("linear", "boosted", "network"):
            raise InputError(
                f"there is no regressor {self.regressor!r}",
                where="FqeConfig",
                mend="Choose linear, boosted or network, or pass a function that makes one.",
            )

    @property
    def linear(self) -> bool:
        """Whether it is the linear form."""
        return self.regressor == "linear"

    @property
    def most_rounds(self) -> int:
        """Rounds of fitting at most."""
        return self.iterations or (1000 if self.linear else 60)

    @property
    def enough(self) -> float:
        """Relative change below which it has converged."""
        return self.tolerance or (1e-9 if self.linear else 1e-2)


@dataclass(frozen=True, kw_only=True)
class FqeResult:
    """The value of sessions under the policy judged."""

    value: float
    """Expected discounted reward of a session."""
    interval: Interval
    """Over sessions; its method says whether the fit's own error is in it."""
    terms: NDArray[np.float64]
    """(S,) one term a session, sorted by label, with mean `value`."""
    q: NDArray[np.float64]
    """(M,) value of each logged page, by values fitted without its session: the `q` of doubly robust estimators."""
    v: NDArray[np.float64]
    """(M,) value of the policy's own page there: their `v`."""
    converged: bool
    """Whether the values of every fold have settled, inside the range that the rewards allow."""
    rounds: int
    """Rounds of the slowest fold."""
    changes: tuple[float, ...]
    """Relative change of the values in each round of that fold."""
    n_sessions: int
    """Sessions `S`."""
    warnings: tuple[str, ...]
    """What a reader must know beside the figure; also raised as `FqeNotConverged` where it has not converged."""
