"""What would have come later, had another page been shown: sessions played on in copies of the simulator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.base import Draw, Policy
from agents.planning import stream_seed
from envs.core import SlateCore
from envs.observation import Observation
from envs.world import TaskConfig, World

__all__ = ["Continuations", "play_on", "swapped", "take_rows"]

_STREAM = 11  # of `stream_seed`: none of the planners' own


@dataclass(frozen=True)
class Continuations:
    """Rewards of `P` pages, each shown and played on from `R` times; column p of each row r shares its chance."""

    now: NDArray[np.float64]  # (R, P) reward of the page itself
    later: NDArray[np.float64]  # (R, P) discounted reward of all pages after it, seen from the page

    def later_than(
        self, pages: NDArray[np.int64], others: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and standard error (M,) of how much more comes later after `pages` (M,) than after `others` (M,).

        Differences are paired: both pages met the same chance.
        """
        gain = self.later[:, pages] - self.later[:, others]  # (R, M)
        n = gain.shape[0]
        return gain.mean(axis=0), gain.std(axis=0) / np.sqrt(max(n - 1, 1))


def play_on(
    policy: Policy,
    world: World,
    task: TaskConfig,
    saved: Mapping[str, NDArray[Any]],
    pages: NDArray[np.int64],
    *,
    rollouts: int,
    gamma: float,
    seed: int = 0,
) -> Continuations:
    """Show `pages`, let `policy` rank all that follows, and add up what is earned until the sessions end.

    The chance is a stream of the planner's own (`stream_seed`): a copy keyed like the environment would tell what
    did happen, not what was to be expected. All pages of a rollout share its key, so the same user meets two pages
    with the same chance, and only their difference shows. Sessions end as they do in the environment; what would lie
    beyond the step limit does not count.

    Args:
        policy: Who ranks the later pages.
        world: Users to play with; they need not be the ones the policy was trained with.
        task: Sizes, horizon and reward.
        saved: State of `P` users before a page, as `SlateCore.save_state` gives it; see `take_rows`.
        pages: (P, K) candidate positions.
        rollouts: R.
        gamma: Discount per page.
        seed: Key of the planner's streams.
    """
    n_pages, k = pages.shape
    now, later = np.zeros((rollouts, n_pages)), np.zeros((rollouts, n_pages))
    for r in range(rollouts):
        key = stream_seed(seed, _STREAM, r)
        core, observation = _core(world, task, saved, key)
        rows = slots = np.arange(n_pages)  # who is still there: row of `saved`, slot of the core
        result, discount = core.step(pages), 1.0
        now[r] = result.reward
        while True:
            on = ~(result.terminated | result.truncated)[slots]
            rows, slots, observation = rows[on], slots[on], result.observation
            if not rows.shape[0]:
                break
            if (
                2 * rows.shape[0] < core.n_users
            ):  # the slots of the gone hold others, who are simulated for nothing
                core, observation = _core(world, task, take_rows(core.save_state(), slots), key)
                slots = np.arange(rows.shape[0])
            state = core.state.take(slots)
            actions = np.tile(np.arange(k, dtype=np.int64), (core.n_users, 1))
            actions[slots] = policy.rank(
                observation.take(slots),
                Draw(seed=key ^ 1, user=state.user, step=state.step),
                slate_size=k,
                state=state if policy.privileged else None,
            )
            result = core.step(actions)
            discount *= gamma
            later[r, rows] += discount * result.reward[slots]
    return Continuations(now=now, later=later)


def take_rows(saved: Mapping[str, NDArray[Any]], rows: NDArray[np.integer[Any]]) -> dict[str, NDArray[Any]]:
    """The users at `rows` of a saved state; a row may be asked for many times."""
    return {name: array if name == "seed" else array[rows] for name, array in saved.items()}


def swapped(slate: NDArray[np.int64], slot: int, candidate: int) -> NDArray[np.int64]:
    """The slate (K,) with `candidate` in `slot`."""
    page = slate.copy()
    page[slot] = candidate
    return page


def _core(
    world: World, task: TaskConfig, saved: Mapping[str, NDArray[Any]], key: int
) -> tuple[SlateCore, Observation]:
    core = SlateCore(world, task, n_users=saved["user"].shape[0])
    keyed = {**saved, "seed": np.array([key], np.uint64)}
    return core, core.restore_state(keyed)
