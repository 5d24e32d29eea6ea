"""What fitted Q evaluation learns from: pages as features, rewards, and what could be shown next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError
from evaluation.estimators.sessions_layout import SessionLayout, session_layout

__all__ = ["FqeData"]


@dataclass(frozen=True, kw_only=True)
class FqeData:
    """`M` logged pages of sessions, and `R` pages of the policy judged at each of `O` observations.

    Every observation is there once, and rows point at it: the one a page was chosen at, and the one that followed. A
    terminated session is followed by none (-1); one that was cut off is followed by what its user would have seen
    next, and values bootstrap there (Pardo et al.: Time limits in reinforcement learning, ICML 2018).
    """

    features: NDArray[np.float64]
    """(M, D) of the observation and of the page that was shown."""
    reward: NDArray[np.float64]
    """(M,)"""
    at: NDArray[np.int64]
    """(M,) the observation that the page was chosen at."""
    then: NDArray[np.int64]
    """(M,) the observation after the page; -1 where nothing follows."""
    policy_features: NDArray[np.float64]
    """(O, R, D) of each observation and of pages that the policy judged shows there."""
    policy_weights: NDArray[np.float64] | None = None
    """(O, R) their probabilities where all pages are listed; None: `R` draws of the policy, each as likely."""
    session: NDArray[Any]
    """(M,) session labels."""
    step: NDArray[np.int64]
    """(M,) 0-based steps without gaps."""

    def __post_init__(self) -> None:
        """Checks that the parts fit each other.

        Raises:
            InputError: They do not, or hold what is not finite.
        """
        M, D = self.features.shape
        O, R, _ = self.policy_features.shape  # noqa: E741 -- the number of observations
        shapes = {
            "reward": (self.reward.shape, (M,)),
            "at": (self.at.shape, (M,)),
            "then": (self.then.shape, (M,)),
            "session": (self.session.shape, (M,)),
            "step": (self.step.shape, (M,)),
            "policy_features": (self.policy_features.shape, (O, R, D)),
        }
        if self.policy_weights is not None:
            shapes["policy_weights"] = (self.policy_weights.shape, (O, R))
        for name, (found, wanted) in shapes.items():
            if found != wanted:
                raise InputError(
                    f"`{name}` has shape {found}, expected {wanted}",
                    where="fitted Q evaluation",
                    mend="Pass one entry per logged page, and the same features for logged and for drawn pages.",
                )
        for name in ("features", "reward", "policy_features"):
            values = getattr(self, name)
            finite = np.isfinite(values.reshape(values.shape[0], -1)).all(axis=1)
            if not finite.all():
                raise InputError(
                    f"`{name}` holds values that are not finite",
                    where=f"fitted Q evaluation, row {int(np.flatnonzero(~finite)[0])}",
                    mend="Leave out sessions whose rewards or features are unknown.",
                )
        for name, low in (("at", 0), ("then", -1)):
            values = getattr(self, name)
            if M and (values.min() < low or values.max() >= O):
                raise InputError(
                    f"`{name}` points at an observation that is not there",
                    where=f"fitted Q evaluation, row {int(np.flatnonzero((values < low) | (values >= O))[0])}",
                    mend=f"Number observations 0 .. {O - 1}"
                    + ("; -1 where nothing follows." if low else "."),
                )
        if self.policy_weights is not None and not np.allclose(self.policy_weights.sum(axis=1), 1.0):
            raise InputError(
                "`policy_weights` do not sum to 1",
                where="fitted Q evaluation",
                mend="Pass the probability of every page that is listed.",
            )

    @property
    def n_rows(self) -> int:
        """Logged pages `M`."""
        return int(self.features.shape[0])

    def layout(self) -> SessionLayout:
        """The rows' sessions and steps, checked."""
        return session_layout(self.session, self.step, where="fitted Q evaluation")

    def expected(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Expectation over the policy's pages (O, ...) of `values` (O, R, ...)."""
        if self.policy_weights is None:
            return np.asarray(values.mean(axis=1), np.float64)
        return np.asarray(np.einsum("or,or...->o...", self.policy_weights, values), np.float64)
