"""Paired evaluation in simulated users: every policy serves the same users, each for one session."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from agents.base import Draw
from behavior.errors import InputError
from envs.core import SlateCore
from envs.world import TaskConfig, World
from evaluation.outcomes import OnlineResult, PolicyOutcome
from evaluation.ranking import ideal_dcg, ndcg

if TYPE_CHECKING:
    from agents.base import Policy

__all__ = ["evaluate_online", "evaluate_policy", "policy_seed"]

_MASK = 2**64 - 1


def policy_seed(seed: int) -> int:
    """The seed of a policy's own chance: never the environment's, or a planner would see the future."""
    return (seed * 0x9E3779B97F4A7C15 + 0xD1B54A32D192ED03) & _MASK


def evaluate_online(
    policies: Mapping[str, Policy],
    world: World,
    task: TaskConfig | None = None,
    *,
    n_users: int = 1000,
    seed: int = 0,
    first_user: int = 0,
    batch: int = 256,
    limits: Mapping[str, int] | None = None,
    relevance: NDArray[np.float32] | None = None,
    depth: int = 10,
    progress: bool = True,
) -> OnlineResult:
    """Serves the users `first_user .. first_user + n_users - 1` with each policy, one session each.

    The same user meets every policy with the same chance (same seed and user index), so differences are paired.

    Args:
        policies: Policies by the name they are to have in tables.
        world: Users, candidates and tables.
        task: Sizes, horizon and score.
        n_users: Users that each policy serves.
        seed: Key of the users' chance; the policies draw from `policy_seed(seed)`.
        first_user: The first user; choose users that no training and no model choice has seen.
        batch: Users served side by side; results do not depend on it.
        limits: Fewer users for some policies by name (costly planners); they serve the first of them.
        relevance: (Q, I) true relevance for NDCG at `depth`; None where unknown. The ideal ranks the whole catalogue.
        depth: Positions that count in NDCG.
        progress: Whether to show a progress bar.

    Raises:
        InputError: No users, a limit for a policy that is not there, or relevance of a wrong shape.
    """
    task = task or TaskConfig()
    limits = limits or {}
    unknown = [name for name in limits if name not in policies]
    wrong = [name for name, limit in limits.items() if limit < 1]
    if n_users < 1 or batch < 1 or unknown or wrong:
        raise InputError(
            f"n_users {n_users}, batch {batch}, limits {dict(limits)}",
            where="online evaluation",
            mend=f"Serve at least one user at a time; limits may name {', '.join(policies)}.",
        )
    outcomes = {
        name: evaluate_policy(
            policy,
            world,
            task,
            n_users=min(n_users, limits.get(name, n_users)),
            seed=seed,
            first_user=first_user,
            batch=batch,
            relevance=relevance,
            depth=depth,
            name=name,
            progress=progress,
        )
        for name, policy in policies.items()
    }
    return OnlineResult(
        outcomes=outcomes, seed=seed, first_user=first_user, purchase_weight=task.purchase_weight
    )


def evaluate_policy(
    policy: Policy,
    world: World,
    task: TaskConfig,
    *,
    n_users: int,
    seed: int,
    first_user: int = 0,
    batch: int = 256,
    relevance: NDArray[np.float32] | None = None,
    depth: int = 10,
    name: str | None = None,
    progress: bool = True,
) -> PolicyOutcome:
    """One policy on its users; arguments as for `evaluate_online`."""
    started = time.perf_counter()
    name = name or policy.name
    # What a learner is held back by is no part of what a policy is worth, and the true store has no members.
    task = dataclasses.replace(task, pessimism=0.0)
    n_slots, k = min(batch, n_users), task.slate_size
    depth = min(depth, k)
    ideal = _ideal(world, relevance, depth)
    core = SlateCore(world, task, n_users=n_slots, seed=seed, first_user=first_user)
    observation = core.reset(seed=seed)
    tally = _Tally(n_users, k, world.features.n_items)
    key = policy_seed(seed)
    bar = tqdm(
        total=n_users, desc=f"{name:>12}", unit="user", leave=False, disable=None if progress else True
    )
    with bar:
        while True:
            index = (
                core.state.user - first_user
            )  # (B,) which of our users; the slot's surplus users lie beyond
            rows = np.flatnonzero(index < n_users)
            if rows.size == 0:
                break
            # Slots whose last user is through show their first candidates; nobody looks at the result.
            actions = np.tile(np.arange(k, dtype=np.int64), (n_slots, 1))
            seen = observation if rows.size == n_slots else observation.take(rows)
            state = core.state.take(rows)
            query = state.query.copy()
            actions[rows] = policy.rank(
                seen,
                Draw(seed=key, user=state.user, step=state.step),
                slate_size=k,
                state=state if policy.privileged else None,
            )
            result = core.step(actions)
            quality = (
                ndcg(relevance, ideal, query, result.slates[rows], depth=depth)
                if relevance is not None
                else np.full(rows.size, np.nan)
            )
            tally.pages(
                index[rows],
                result.feedback.click[rows],
                result.feedback.purchase[rows],
                result.slates[rows],
                quality,
                result.reward_parts.diversity[rows],
            )
            ours = result.episodes.user - first_user < n_users
            done = (result.episodes.user - first_user)[ours]
            tally.score[done] = result.episodes.score[ours]
            tally.reward[done] = result.episodes.reward[ours]
            tally.clicks[done] = result.episodes.clicks[ours]
            tally.purchases[done] = result.episodes.purchases[ours]
            tally.revenue[done] = result.episodes.revenue[ours]
            tally.length[done] = result.episodes.length[ours]
            tally.left[done] = result.episodes.left[ours]
            bar.update(done.size)
            observation = result.observation
    return tally.outcome(name, time.perf_counter() - started)


def _ideal(world: World, relevance: NDArray[np.float32] | None, depth: int) -> NDArray[np.float64]:
    if relevance is None:
        return np.empty(0)
    wanted = (world.features.n_queries, world.features.n_items)
    if relevance.shape != wanted:
        raise InputError(
            f"true relevance of shape {relevance.shape}, expected {wanted} (queries, items)",
            where="online evaluation",
            mend="Pass the true relevance of the same catalogue and queries.",
        )
    return ideal_dcg(relevance, depth)


class _Tally:
    """Sums over the sessions of `U` users."""

    def __init__(self, n_users: int, n_positions: int, n_items: int) -> None:
        self.score, self.clicks, self.purchases = np.zeros(n_users), np.zeros(n_users), np.zeros(n_users)
        self.revenue, self.length, self.reward = (np.zeros(n_users) for _ in range(3))
        self.left = np.zeros(n_users, np.bool_)
        self._ndcg, self._judged, self._diversity = np.zeros(n_users), np.zeros(n_users), np.zeros(n_users)
        self._click, self._purchase = np.zeros((n_users, n_positions)), np.zeros((n_users, n_positions))
        self._shown = np.zeros(n_items, np.bool_)

    def pages(
        self,
        users: NDArray[np.int64],
        click: NDArray[np.uint8],
        purchase: NDArray[np.uint8],
        slates: NDArray[np.int32],
        quality: NDArray[np.float64],
        diversity: NDArray[np.float64],
    ) -> None:
        """One page of each of `users`, who are distinct."""
        self._click[users] += click
        self._purchase[users] += purchase
        judged = ~np.isnan(quality)
        self._ndcg[users] += np.where(judged, quality, 0.0)
        self._judged[users] += judged
        self._diversity[users] += diversity
        self._shown[slates[slates >= 0]] = True

    def outcome(self, name: str, seconds: float) -> PolicyOutcome:
        """The sums as means."""
        pages = self.length.sum()
        nothing = np.full_like(self._ndcg, np.nan)
        return PolicyOutcome(
            name=name,
            score=self.score,
            reward=self.reward,
            clicks=self.clicks,
            purchases=self.purchases,
            revenue=self.revenue,
            length=self.length,
            left=self.left,
            ndcg=np.divide(self._ndcg, self._judged, out=nothing, where=self._judged > 0),
            diversity=self._diversity / self.length,
            click_by_position=self._click.sum(axis=0) / pages,
            purchase_by_position=self._purchase.sum(axis=0) / pages,
            coverage=float(self._shown.mean()),
            seconds=seconds,
        )
