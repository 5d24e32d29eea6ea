"""A log made on the spot: pages that a policy serves in a world, as transitions."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from agents.base import Draw, Policy
from agents.offline.transitions import LogTransitions
from envs.core import SlateCore
from envs.observation import Observation
from envs.results import StepResult
from envs.world import TaskConfig, World

__all__ = ["served_transitions"]


def served_transitions(
    world: World,
    task: TaskConfig,
    policy: Policy,
    *,
    n_steps: int,
    seed: int = 0,
    first_user: int = 0,
    n_envs: int = 256,
    progress: bool = True,
) -> LogTransitions:
    """What a log of about `n_steps` pages served by `policy` says, without the way through files.

    Each of `n_envs` users side by side is served the same number of pages; the session a slot is in at the end is cut
    off there. Choices that had to be repaired are logged as repaired, and have no propensity.

    Args:
        world: Where.
        task: The task.
        policy: Who serves; a privileged one is given the hidden state.
        n_steps: Pages; whole steps of all users, at least one.
        seed: Key of the users' chance and of the policy's.
        first_user: User of slot 0 in its first session.
        n_envs: Users side by side (fewer where that is more than `n_steps`).
        progress: Whether to show a bar.
    """
    B = max(1, min(n_envs, n_steps))
    core = SlateCore(world, task, n_users=B, seed=seed, first_user=first_user)
    observation = core.reset(seed=seed)
    rounds = max(1, n_steps // B)
    before: list[Observation] = []
    after: list[Observation] = []
    results: list[StepResult] = []
    choice: list[NDArray[np.float64]] = []
    with tqdm(
        total=rounds * B,
        desc=f"serving by {policy.name}",
        unit="page",
        leave=False,
        disable=None if progress else True,
    ) as bar:
        for _ in range(rounds):
            draw = Draw(seed=seed, user=core.state.user.copy(), step=core.state.step.copy())
            state = core.state.copy() if policy.privileged else None
            actions = policy.rank(observation, draw, slate_size=task.slate_size, state=state)
            known = policy.propensity(observation, actions)
            result = core.step(actions)
            cascade = np.full(actions.shape, np.nan) if known is None else known.cascade.astype(np.float64)
            cascade[result.repairs > 0] = np.nan
            choice.append(cascade / np.concatenate([np.ones((B, 1)), cascade[:, :-1]], axis=1))
            before.append(observation)
            after.append(_after(result))
            results.append(result)
            observation = result.observation
            bar.update(B)

    terminated = _joined([r.terminated for r in results])
    truncated = _joined([r.truncated for r in results])
    cut = np.zeros((B, rounds), np.bool_)
    cut[:, -1] = True
    return LogTransitions(
        observation=_observations(before),
        actions=_joined([r.positions for r in results]),
        click=_joined([r.feedback.click for r in results]).astype(np.float32),
        purchase=_joined([r.feedback.purchase for r in results]).astype(np.float32),
        reward=_joined([r.reward for r in results]).astype(np.float32),
        next_observation=_observations(after),
        terminated=terminated,
        truncated=truncated | (cut.ravel() & ~terminated),
        choice_propensity=_joined(choice),
    )


def _after(result: StepResult) -> Observation:
    """What was seen after the page, the last one of a session included."""
    if not result.finished.size:
        return result.observation
    arrays = {name: array.copy() for name, array in result.observation.as_dict().items()}
    for name, array in result.final_observation.as_dict().items():
        arrays[name][result.finished] = array
    return Observation(**arrays)


def _joined(steps: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """(T) arrays (B, ...) as one (B T, ...), each user's pages one after the other."""
    stacked = np.stack(steps, axis=1)
    return stacked.reshape(stacked.shape[0] * stacked.shape[1], *stacked.shape[2:])


def _observations(steps: list[Observation]) -> Observation:
    names = [field.name for field in dataclasses.fields(Observation)]
    return Observation(**{name: _joined([getattr(step, name) for step in steps]) for name in names})
