"""How the linear bandits learn: while serving users of a world, or from the pages of a log."""

from __future__ import annotations

import numpy as np
from tqdm import tqdm

from agents.bandits.config import BanditConfig
from agents.bandits.policies import LinearThompsonPolicy, LinUCBPolicy
from agents.bandits.statistics import LinearStatistics
from agents.base import Draw
from agents.item_columns import ItemColumns
from agents.offline.transitions import LogTransitions
from agents.worth import Worth
from behavior.errors import InputError
from encoders.features import FeatureTables
from envs.core import SlateCore
from envs.world import TaskConfig, World

__all__ = ["learn_bandit", "learn_from_log", "no_statistics"]

BanditPolicy = LinUCBPolicy | LinearThompsonPolicy


def learn_bandit(
    config: BanditConfig,
    world: World,
    task: TaskConfig,
    *,
    total_steps: int,
    seed: int = 0,
    first_user: int = 0,
    statistics: LinearStatistics | None = None,
    progress: bool = True,
) -> BanditPolicy:
    """Serve users for about `total_steps` user-steps, learning after each step; give the policy as it then stands.

    Feedback of a step is learned from before the next one; users served side by side are served by the same weights.

    Args:
        config: Which bandit.
        world: Where it serves.
        task: Sizes and the score whose immediate part is learned.
        total_steps: User-steps; whole steps of all users, at least one.
        seed: Key of the users' chance and of the bandit's draws.
        first_user: User of slot 0 in its first session.
        statistics: What is known already (from a log, say), and goes on growing.
        progress: Whether to show a bar.
    """
    columns = _columns(config, world.features, task, int(world.simulator.context_size))
    known = statistics or no_statistics(config, world, task)
    worth = Worth.of_task(task, world.features, world.features.n_items)
    core = SlateCore(world, task, n_users=config.n_envs, seed=seed, first_user=first_user)
    observation = core.reset(seed=seed)
    policy = _policy(config, columns, known)
    rounds = max(1, total_steps // config.n_envs)
    bar = tqdm(
        total=rounds * config.n_envs,
        desc=config.kind,
        unit="step",
        leave=False,
        disable=None if progress else True,
    )
    with bar:
        for n in range(rounds):
            draw = Draw(seed=seed, user=core.state.user.copy(), step=core.state.step.copy())
            x = columns(observation)  # (B, N, C)
            result = core.step(policy.rank_columns(x, observation, draw, slate_size=task.slate_size))
            shown = np.take_along_axis(x, result.positions[:, :, None], axis=1)  # (B, K, C)
            feedback = result.feedback
            gained = (
                worth.click * feedback.click + worth.purchase[result.slates] * feedback.purchase
            )  # (B, K)
            known.add(shown, gained, np.ones(gained.shape, np.bool_))
            observation = result.observation
            if (n + 1) % config.fit_every == 0 or n + 1 == rounds:
                policy = _policy(config, columns, known)
            bar.update(config.n_envs)
    return policy


def no_statistics(config: BanditConfig, world: World, task: TaskConfig) -> LinearStatistics:
    """What is known before anything was served; `learn_bandit` lets it grow, over as many calls as one likes."""
    columns = _columns(config, world.features, task, int(world.simulator.context_size))
    return LinearStatistics(len(columns.names), task.slate_size, ridge=config.ridge)


def learn_from_log(
    config: BanditConfig,
    log: LogTransitions,
    features: FeatureTables,
    task: TaskConfig,
    *,
    statistics: LinearStatistics | None = None,
) -> BanditPolicy:
    """Learn from logged pages; every position whose item is known counts.

    Args:
        config: Which bandit.
        log: The pages.
        features: The public tables.
        task: Sizes and the score whose immediate part is learned.
        statistics: What is known already, and goes on growing.

    Raises:
        InputError: The log has no page with a known item.
    """
    columns = _columns(config, features, task, log.observation.context.shape[1])
    known = statistics or LinearStatistics(len(columns.names), task.slate_size, ridge=config.ridge)
    there = log.actions >= 0
    if not there.any():
        raise InputError(
            "no page of the log shows an item that was among its candidates",
            where=config.kind,
            mend="give the log's candidates, or let the bandit learn in a world",
        )
    worth = Worth.of_task(task, features, features.n_items)
    for start in range(0, log.n_steps, 4096):
        rows = np.arange(start, min(start + 4096, log.n_steps))
        observation, actions = log.observation.take(rows), log.actions[rows]
        x = columns(observation)
        shown = np.take_along_axis(x, np.maximum(actions, 0)[:, :, None], axis=1)  # (B, K, C)
        items = np.take_along_axis(observation.candidates, np.maximum(actions, 0), axis=1)
        gained = worth.click * log.click[rows] + worth.purchase[items] * log.purchase[rows]
        known.add(shown, gained, there[rows])
    return _policy(config, columns, known)


def _columns(config: BanditConfig, features: FeatureTables, task: TaskConfig, context: int) -> ItemColumns:
    return ItemColumns(
        features,
        context_size=context,
        history=config.history,
        memory=task.memory * task.slate_size,
        crosses=True,
        constant=True,
    )


def _policy(config: BanditConfig, columns: ItemColumns, known: LinearStatistics) -> BanditPolicy:
    kind = LinUCBPolicy if config.kind == "linucb" else LinearThompsonPolicy
    return kind(columns, known.fit(), exploration=config.exploration)
