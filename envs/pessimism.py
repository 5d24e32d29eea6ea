"""What is taken off the reward of a page about which the members of an ensemble disagree.

    reward' = reward - pessimism * s

where s is the standard deviation over the members of what each expects of the page, by the weights of the reward:
sum_k P_m(click at k) * (w_click + P_m(purchase | click) * (w_purchase + w_revenue * price + w_margin * profit)).
The users still answer as their own member does, so the mean over users is the mean over members.

The sum of s over a session's pages is at least the standard deviation of the members' sums over the same pages (the
triangle inequality; equal where members that hope for much on one page do so on all), so a policy trained on it is
paid at most the mean minus `pessimism` standard deviations of what the members make of its pages.

Source: Yu, Thomas, Yu, Ermon, Zou, Levine, Finn, Ma, "MOPO: Model-based offline policy optimization", NeurIPS 2020,
equation 2, with the ensemble's standard deviation as the estimate of the model's error.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError
from envs.tables import StepTables
from envs.world import TaskConfig, World
from simulators.base import SessionState, UncertainSimulator

__all__ = ["PagePenalty", "check_pessimism", "penalty_of"]

_CLICK, _PURCHASE, _REVENUE, _MARGIN = 0, 2, 3, 4
"""Places of these weights among `StepTables.weights`."""


def check_pessimism(world: World, task: TaskConfig) -> None:
    """Raise InputError where disagreement is to be punished, and the simulator has no members that could disagree."""
    if task.pessimism < 0.0:
        raise InputError(
            f"pessimism is {task.pessimism:g}",
            where="TaskConfig.pessimism",
            mend="0 for none, 1 for one standard deviation between members; less than 0 would reward ignorance",
        )
    if task.pessimism > 0.0 and not isinstance(world.simulator, UncertainSimulator):
        kind = type(world.simulator).__name__
        raise InputError(
            f"pessimism is {task.pessimism:g}, but a {kind} has no members that could disagree",
            where="TaskConfig.pessimism",
            mend="train in an ensemble (--simulator ensemble, simulators.fit_ensemble), or set it to 0",
        )


def penalty_of(world: World, task: TaskConfig, tables: StepTables) -> PagePenalty | None:
    """What computes the penalty of this task; None where it has none."""
    simulator = world.simulator
    if task.pessimism == 0.0 or not isinstance(simulator, UncertainSimulator):
        return None
    return PagePenalty(simulator, task.pessimism, tables)


class PagePenalty:
    """Computes `pessimism` times the standard deviation over the members.

    Args:
        simulator: Whose members.
        pessimism: In standard deviations.
        tables: Weights of the reward, prices and profits.
    """

    def __init__(self, simulator: UncertainSimulator, pessimism: float, tables: StepTables) -> None:
        weights = tables.weights
        self.simulator = simulator
        self.pessimism = pessimism
        self.click = float(weights[_CLICK])
        self.purchase = np.asarray(
            weights[_PURCHASE] + weights[_REVENUE] * tables.price + weights[_MARGIN] * tables.profit,
            np.float64,
        )

    def __call__(self, state: SessionState, slates: NDArray[np.int32]) -> NDArray[np.float64]:
        """(R,) for users who are about to see `slates` (R, K)."""
        values = self.simulator.page_values(state, slates, click=self.click, purchase=self.purchase)  # (R, M)
        n_members = values.shape[1]
        mean, square = np.zeros(len(values)), np.zeros(len(values))
        for m in range(n_members):  # member by member: the same bits in any batch
            mean += values[:, m] / n_members
        for m in range(n_members):
            square += (values[:, m] - mean) ** 2
        return np.asarray(self.pessimism * np.sqrt(square / (n_members - 1)))
