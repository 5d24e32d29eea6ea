"""What pages and sessions of policies are worth where the users are known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from agents.base import Policy
    from envs.world import TaskConfig, World

__all__ = ["Truth", "page_truth"]


@dataclass(frozen=True)
class Truth:
    """Values of the policies in the true store, by name; rows are users, the same for all."""

    page: dict[str, NDArray[np.float64]]  # (U,) reward of a user's pages, summed
    pages: NDArray[np.float64]  # (U,) pages behind each sum
    session: dict[str, NDArray[np.float64]]  # (U,) score of a session

    def page_terms(self, name: str) -> tuple[float, NDArray[np.float64]]:
        """Value per page, and its influence by user (delta method)."""
        value = float(self.page[name].sum() / self.pages.sum())
        return value, (self.page[name] - value * self.pages) / self.pages.mean()

    def value(self, name: str, per: str) -> tuple[float, float]:
        """Value a page or a session, and its standard error."""
        if per == "session":
            scores = self.session[name]
            return float(scores.mean()), float(scores.std(ddof=1) / np.sqrt(len(scores)))
        value, terms = self.page_terms(name)
        return value, float(terms.std(ddof=1) / np.sqrt(len(terms)))

    def values(self, names: list[str], per: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Values (P,) and the covariance (P, P) of their errors: all policies met the same users."""
        if per == "session":
            terms = np.stack([self.session[name] for name in names])
            value = terms.mean(axis=1)
        else:
            pairs = [self.page_terms(name) for name in names]
            value, terms = np.array([v for v, _ in pairs]), np.stack([t for _, t in pairs])
        return value, np.atleast_2d(np.cov(terms)) / terms.shape[1]


def page_truth(
    policies: Mapping[str, Policy],
    world: World,
    task: TaskConfig,
    *,
    n_users: int,
    first_user: int = 30_000_000,
) -> Truth:
    """What pages and sessions of the policies are worth in `world`; the first policy leads from page to page.

    Args:
        policies: By name; the first is the policy that made the log.
        world: The true store.
        task: Sizes and score.
        n_users: Users.
        first_user: The first of them.
    """
    from agents.base import Draw
    from envs.core import SlateCore
    from evaluation.online import evaluate_policy, policy_seed

    seed, batch = 5, 256
    leader = next(iter(policies.values()))
    page = {name: np.zeros(n_users) for name in policies}
    pages = np.zeros(n_users)
    core = SlateCore(world, task, n_users=min(batch, n_users), seed=seed, first_user=first_user)
    observation = core.reset(seed=seed)
    while True:
        state = core.state
        index = state.user - first_user
        rows = np.flatnonzero(index < n_users)
        if rows.size == 0:
            break
        draw = Draw(seed=policy_seed(seed), user=state.user.copy(), step=state.step.copy())
        for name, policy in policies.items():
            actions = policy.rank(observation, draw, slate_size=task.slate_size)
            slates = np.take_along_axis(observation.candidates, actions, axis=1)
            answer = world.simulator.respond(state.copy(), slates, seed=seed)
            reward = (answer.click + task.purchase_weight * answer.purchase).sum(axis=1)
            page[name][index[rows]] += reward[rows]
        pages[index[rows]] += 1
        actions = leader.rank(observation, draw, slate_size=task.slate_size)
        observation = core.step(actions).observation
    session = {
        name: evaluate_policy(
            policy, world, task, n_users=n_users, seed=seed, first_user=first_user, progress=False
        ).score
        for name, policy in policies.items()
    }
    return Truth(page, pages, session)
