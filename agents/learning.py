"""Train PPO or DQN in a world, go on from a checkpoint, and use what was learned as a `Policy`."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.callbacks import BaseCallback, CallbackList
from stable_baselines3.common.logger import KVWriter, Logger, TensorBoardOutputFormat
from torch.utils.tensorboard import SummaryWriter

from agents.building import Learner, TrainingEnv, build_learner, build_policy, settle_threads
from agents.callbacks import CheckpointCallback, EvaluationCallback, MetricsCallback
from agents.checkpoint import (
    TABLES,
    Checkpoint,
    LearnerConfig,
    read_checkpoint,
    read_meta,
    read_parameters,
    task_differences,
    task_of,
    write_checkpoint,
)
from agents.divergence import TrainingDiverged
from agents.interrupts import Interrupts
from agents.learned_policy import LearnedPolicy
from agents.options import TrainingOptions
from agents.ppo.config import PPOConfig
from agents.ppo.learner import SlatePPO
from agents.ranks import Ranks
from agents.resuming import SIZES, begin_with, best_so_far, go_on_from, training_state
from agents.score_policy import ScorePolicy
from agents.value_watch import ValueCallback
from behavior.errors import InputError
from envs.spaces import action_space, observation_space
from envs.world import RewardMix, TaskConfig, World

__all__ = ["Learner", "TrainingOptions", "load_policy", "policy_of", "train_agent"]

_NEVER = 2**62  # SB3's own log points: it counts in iterations or episodes; `MetricsCallback` in user-steps


def train_agent(
    config: LearnerConfig,
    world: World,
    task: TaskConfig,
    *,
    total_steps: int,
    seed: int = 0,
    device: str = "cpu",
    options: TrainingOptions | None = None,
    callbacks: Sequence[BaseCallback] = (),
    resume_from: Path | None = None,
    start_from: Path | None = None,
    ranks: Ranks | None = None,
) -> Learner:
    """Train a learner until it has made `total_steps` user-steps, those before a resume included.

    A training that is stopped, however suddenly, and resumed from its last checkpoint ends (on a CPU) with the same
    weights, to the bit, as one that was never stopped. Schedules run over `total_steps`: a resume with more of them
    goes on as a longer training would at that step.

    Args:
        config: `PPOConfig` or `DQNConfig`; `n_envs` and `batch_size` are those of each rank.
        world: Where it learns.
        task: Sizes, horizon and reward.
        total_steps: User-steps, of all ranks together.
        seed: Of the networks, the exploration and the users.
        device: 'cpu' or 'cuda'; the simulator stays on the CPU.
        options: Checkpoints, evaluation, logging.
        callbacks: Further SB3 callbacks. Their own state is not kept in checkpoints.
        resume_from: A `last_model.zip` of the same configuration, task and seed to go on from.
        start_from: A checkpoint whose weights, with the optimiser's moments, to begin with; schedules and counters are
            fresh. Not used on a resume.
        ranks: The processes that train together; None: this one alone.

    Returns:
        The trained SB3 model; `policy_of` makes a `Policy` of it.

    Raises:
        InputError: A checkpoint does not fit, or cannot be written.
        TrainingDiverged: Losses or weights exploded; the checkpoints hold what was before.
        KeyboardInterrupt: After Ctrl-C (or SIGTERM, where that raises it), once `last_model.zip` has been written.
    """
    options, ranks = options or TrainingOptions(), ranks or Ranks.alone()
    settle_threads()
    bound = task_of(world, task)
    env = TrainingEnv(config.n_envs, world, task, seed=seed, ranks=ranks)
    model = build_learner(config, env, task, seed=seed, device=device, ranks=ranks)
    if resume_from is not None:
        go_on_from(resume_from, model, config, bound, ranks)
    elif start_from is not None:
        begin_with(start_from, model, config, bound)
    resumed = resume_from is not None
    best = None if options.folder is None else options.folder / "best_model.zip"
    last = None if options.folder is None else options.folder / "last_model.zip"
    about = _Describe(model, config, bound)
    watching: list[BaseCallback] = []
    events: list[KVWriter] = []

    def save_best(metrics: Mapping[str, float]) -> None:
        if best is not None:
            write_checkpoint(model, best, about(metrics))

    def save() -> None:
        for part in watching:
            if isinstance(part, MetricsCallback):
                part.flush()
        if last is not None:
            state = training_state(model, ranks)
            if ranks.first:
                write_checkpoint(model, last, about({}), state)

    if ranks.first:
        if options.tensorboard is not None:
            events = [_Events(options.tensorboard, model.num_timesteps if resumed else None)]
        watching = [MetricsCallback(options.log_every, total_steps, progress=options.progress)]
        if options.tensorboard is not None:
            watching.append(
                ValueCallback(
                    lambda: policy_of(model),
                    options.evaluate_every,
                    gamma=config.gamma,
                    bootstrap=config.bootstrap_at_limit,
                )
            )
        if options.evaluate is not None:
            watching.append(
                EvaluationCallback(
                    options.evaluate,
                    lambda: policy_of(model),
                    every=options.evaluate_every,
                    best_by=options.best_by,
                    best_so_far=best_so_far(best, options.best_by) if resumed else -np.inf,
                    save_best=save_best,
                    reference_scores=options.reference_scores,
                    picture=options.picture,
                    at_start=not resumed,
                )
            )
    model.set_logger(Logger(folder=None, output_formats=events))
    interrupts = Interrupts()
    checkpoints = CheckpointCallback(
        save,
        options.checkpoint_every if last is not None else sys.maxsize,
        stop=lambda: ranks.any(interrupts.asked()),
    )
    parts = CallbackList([*watching, checkpoints, *callbacks])
    remaining = total_steps - model.num_timesteps
    try:
        if remaining > 0:
            with interrupts.deferred():
                model.learn(remaining, callback=parts, log_interval=_NEVER, reset_num_timesteps=not resumed)
        if remaining > 0 or last != resume_from:
            save()
    except TrainingDiverged as error:
        raise _with_checkpoint(error, last, model.num_timesteps) from error
    finally:
        for part in watching:
            if isinstance(part, MetricsCallback):
                part.close()
        model.logger.close()
    if interrupts.asked():  # in the last update: what was asked for comes after the last checkpoint
        raise KeyboardInterrupt
    return model


def policy_of(model: Learner, *, temperature: float = 0.0) -> LearnedPolicy:
    """The learned policy: greedy at temperature 0; PPO's own law at temperature 1."""
    name = "ppo" if isinstance(model, SlatePPO) else "dqn"
    return LearnedPolicy(model.policy, name=name, temperature=temperature)


def load_policy(
    path: Path, world: World, task: TaskConfig, *, temperature: float = 0.0, device: str = "cpu"
) -> ScorePolicy:
    """The policy in a checkpoint, a direction agent's too, over the tables of `world`: those it was trained with.

    Raises:
        InputError: No checkpoint, or one for other sizes, columns or tables.
    """
    if read_meta(path).get("agent") in ("sac", "td3"):
        from agents.directions.saving import load_direction

        return load_direction(path, world, task, temperature=temperature, device=device)
    about = read_checkpoint(path)
    bound = task_of(world, task)
    wrong = task_differences(about.task, bound, (*SIZES, *TABLES))
    if wrong:
        raise InputError(
            "this policy was trained for another task: " + "; ".join(wrong),
            where=str(path),
            mend="load it with the task and features it was trained with, or train one for this task",
        )
    space = observation_space(world, task)
    reward = RewardMix(**about.task["reward"])
    policy = build_policy(about.config, world.features, space, action_space(task), reward)
    policy = policy.to(torch.device(device))
    policy.load_state_dict(read_parameters(path, device)["policy"])
    kind = "ppo" if isinstance(about.config, PPOConfig) else "dqn"
    return LearnedPolicy(policy, name=kind, temperature=temperature)


def _with_checkpoint(error: TrainingDiverged, last: Path | None, steps: int) -> TrainingDiverged:
    kept = last is not None and last.exists()
    where = f"{last}: the last good checkpoint" if kept else "no checkpoint had been written yet"
    return TrainingDiverged(error.what, where=f"{where}; stopped at {steps:,} user-steps", mend=error.mend)


class _Events(TensorBoardOutputFormat):
    """TensorBoard events; after a resume, those that were written after the checkpoint are taken back.

    Args:
        folder: Where the event files go.
        after: User-steps at the resume; None where this is no resume.
    """

    def __init__(self, folder: Path, after: int | None) -> None:
        if after is not None:
            _wait_for_the_next_second(folder)
        self.writer = SummaryWriter(log_dir=str(folder), purge_step=None if after is None else after + 1)
        self._is_closed = False


def _wait_for_the_next_second(folder: Path) -> None:
    """Return when the clock has passed the second in the name of the newest event file.

    Files of one second are read in no order of time, and then the events taken back are those that should stay.
    """
    seconds = [path.name.split(".")[3] for path in folder.glob("events.out.tfevents.*")]
    newest = max((int(second) for second in seconds if second.isdigit()), default=0)
    while 0 <= newest - int(time.time()) <= 1:
        time.sleep(0.05)


@dataclass(frozen=True)
class _Describe:
    model: Learner
    config: LearnerConfig
    bound: Mapping[str, Any]

    def __call__(self, metrics: Mapping[str, float]) -> Checkpoint:
        return Checkpoint(
            config=self.config,
            task=self.bound,
            num_timesteps=self.model.num_timesteps,
            n_updates=self.model._n_updates,
            metrics=metrics,
        )
