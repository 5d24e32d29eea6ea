"""What a log says for the judgement of one policy: all that estimators are made of, in one named place.

Estimators are pure functions of arrays; `Evidence` holds the arrays, and `evaluation.estimators.registry` knows which
estimator takes which.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError
from behavior.steps import LoggedSteps
from evaluation.logged_actions import LoggedSlates, logged_slates
from evaluation.relevance_need import NO_RELEVANCE, needs_missing_relevance
from evaluation.support import rows_with_propensities

if TYPE_CHECKING:
    from agents.base import Policy
    from encoders.features import FeatureTables
    from envs.observation import Observation
    from envs.world import TaskConfig
    from evaluation.estimators.impressions import ModelValues

__all__ = ["Evidence", "gather_evidence"]


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """One policy on `M` logged pages (or impressions) whose propensities are known."""

    steps: LoggedSteps
    """The pages."""
    observation: Observation
    """What the policy would have seen there."""
    slates: LoggedSlates
    """Rewards, logged and evaluation propensities."""
    policy: Policy
    """The policy judged."""
    left_out: int = 0
    """Pages of the log that state no propensity."""
    shop: tuple[FeatureTables, TaskConfig] | None = None
    """Tables of items and queries, and the task that sets sizes and horizon, for estimators that fit values to what is
    observed; None where there is nothing but the log."""

    @property
    def single(self) -> bool:
        """Whether a row is one impression whose page is unknown."""
        return self.steps.single_impressions

    @property
    def reward(self) -> NDArray[np.float64]:
        """(M, K), or (M,) for single impressions."""
        return self.slates.reward

    @cached_property
    def total(self) -> NDArray[np.float64]:
        """(M,) reward of the page."""
        return np.asarray(self.reward.reshape(self.reward.shape[0], -1).sum(axis=1))

    @property
    def users(self) -> NDArray[np.int64]:
        """(M,) whose rows depend on each other."""
        return self.steps.user

    @property
    def item(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Logged and evaluation probability of each item at its position, (M, K) or (M,)."""
        return self.slates.logging, self.slates.evaluation

    @property
    def cascade(self) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        """The same of the page down to each position, (M, K); None where the log or the policy cannot say."""
        logged, judged = self.slates.cascade_logging, self.slates.cascade_evaluation
        return None if logged is None or judged is None else (logged, judged)

    @property
    def slate(self) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        """The same of the whole page, (M,); None where the log or the policy cannot say."""
        known = self.cascade
        # A position that is empty holds 1, and a cascade falls down the page: the smallest is the whole page's.
        return None if known is None else (known[0].min(axis=1), known[1].min(axis=1))

    @cached_property
    def model_values(self) -> ModelValues:
        """What a reward model, fitted to other users, says of single impressions; fitted when first asked for."""
        from evaluation.estimators.impressions import model_values_of

        return model_values_of(self)

    def notes(self) -> tuple[str, ...]:
        """What a reader must know of the rows behind a figure."""
        lines = []
        shown = self.steps.item >= 0  # (M, K)
        room = (self.observation.candidates >= 0).sum(axis=1)  # (M,)
        if self.left_out:
            whole = self.left_out + self.steps.n_steps
            lines.append(
                f"{self.left_out} of {whole} logged {'impressions' if self.single else 'pages'} state no propensity "
                "and are left out; the figures speak for the others only."
            )
        if self.cascade is None and not self.single:
            unknown = int((shown & np.isnan(self.steps.cascade_propensity)).any(axis=1).sum())
            if unknown:
                lines.append(
                    f"{unknown} of {self.steps.n_steps} pages state no cascade_propensity (that of the page down to "
                    "each position), so nothing tests what SNIIPS assumes, and RIPS, SIPS and their like are left "
                    "out: complete the column, or leave out the pages that lack it."
                )
        short = int((shown.sum(axis=1) < np.minimum(room, shown.shape[1])).sum())
        if short and not self.single:
            lines.append(
                f"{short} of {self.steps.n_steps} pages show fewer items than they have room and candidates for: the "
                "positions left empty are taken to stay empty under the policies judged, and earn nothing."
            )
        if self.slates.outside:
            lines.append(
                f"{self.slates.outside} logged items are not among the candidates that the policy was given; it could "
                "not show them."
            )
        return tuple(lines)


def gather_evidence(
    policy: Policy,
    steps: LoggedSteps,
    observation: Observation,
    *,
    purchase_weight: float = 5.0,
    batch: int = 2048,
    name: str = "",
    shop: tuple[FeatureTables, TaskConfig] | None = None,
    progress: bool = True,
) -> Evidence | str:
    """Asks the policy for its propensities of all that the log showed; a text says why there is nothing to judge by.

    Args:
        policy: The policy judged.
        steps: Logged pages, held out from everything that the policy was fitted to.
        observation: What the policy would have seen at each of them (`envs.replay.observe_log`).
        purchase_weight: The reward is clicks + purchase_weight x purchases.
        batch: Pages given to the policy at once.
        name: For messages; the policy's own if empty.
        shop: Tables and task, where they are known.
        progress: Whether to show a bar.

    Raises:
        InputError: `observation` does not match `steps`.
    """
    if steps.n_steps != observation.candidates.shape[0]:
        raise InputError(
            f"{steps.n_steps} logged steps and {observation.candidates.shape[0]} observations",
            where=f"off-policy evaluation of {name or policy.name}",
            mend="Make the observations from the same steps with envs.replay.observe_log.",
        )
    known = rows_with_propensities(steps)
    if known.sum() < 2:
        return "the log states no propensities"
    left_out = int((~known).sum())
    if left_out:
        rows = np.flatnonzero(known)
        steps, observation = steps.take(rows), observation.take(rows)
    if needs_missing_relevance(policy, observation, slate_size=steps.slate_size):
        return NO_RELEVANCE
    slates = logged_slates(
        policy, steps, observation, purchase_weight=purchase_weight, batch=batch, progress=progress
    )
    if slates is None:
        return "the policy cannot state its propensities"
    return Evidence(
        steps=steps, observation=observation, slates=slates, policy=policy, left_out=left_out, shop=shop
    )
