"""Train PPO or DQN in a world, go on from a checkpoint, and use what was learned as a `Policy`."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.callbacks import BaseCallback, CallbackList
from stable_baselines3.common.logger import KVWriter, Logger, TensorBoardOutputFormat

from agents.base import Policy
from agents.callbacks import CheckpointCallback, EvaluationCallback, MetricsCallback
from agents.checkpoint import (
    Checkpoint,
    LearnerConfig,
    differences,
    read_checkpoint,
    task_of,
    write_checkpoint,
)
from agents.clock import Stopwatch
from agents.dqn.learner import SlateDQN
from agents.dqn.policy import SlateQPolicy
from agents.learned_policy import LearnedPolicy
from agents.ppo.config import PPOConfig
from agents.ppo.learner import SlatePPO
from agents.ppo.policy import PlackettLucePolicy
from behavior.errors import InputError
from encoders.features import FeatureTables
from envs.sb3 import SlateVecEnv
from envs.spaces import action_space, observation_space
from envs.world import TaskConfig, World

__all__ = ["Learner", "TrainingOptions", "load_policy", "policy_of", "train_agent"]

Learner = SlatePPO | SlateDQN

_NEVER = 2**62  # SB3's own log points: it counts in iterations or episodes; `MetricsCallback` in user-steps


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """What happens beside the learning."""

    folder: Path | None = None
    """Where `best_model.zip` and `last_model.zip` go; None: nothing is written."""
    checkpoint_every: int = 50_000
    """User-steps between checkpoints."""
    evaluate: Callable[[Policy], Mapping[str, float]] | None = None
    """Judges a policy on held-out users; logged under `eval/`."""
    evaluate_every: int = 50_000
    """User-steps between evaluations; there is one before the first step and one after the last."""
    best_by: str = "score"
    """The evaluation's figure by which the best policy is chosen (higher is better)."""
    tensorboard: Path | None = None
    """Folder of TensorBoard events."""
    reference_scores: Mapping[str, float] | None = None
    """Scores of 'random' and of an 'oracle', for the share of the gap between them."""
    picture: Callable[[Policy], np.ndarray] | None = None
    """Draws a slate as an RGB array, logged with every evaluation."""
    log_every: int = 10_000
    """User-steps between points of the curves."""
    progress: bool = True
    """A progress bar on stderr (none where it is not a terminal)."""


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
) -> Learner:
    """Train a learner until it has made `total_steps` user-steps, those before a resume included.

    Args:
        config: `PPOConfig` or `DQNConfig`.
        world: Where it learns.
        task: Sizes, horizon and reward.
        total_steps: User-steps.
        seed: Of the networks, the exploration and the users.
        device: 'cpu' or 'cuda'; the simulator stays on the CPU.
        options: Checkpoints, evaluation, logging.
        callbacks: Further SB3 callbacks.
        resume_from: A checkpoint of the same configuration to go on from. The replay of DQN is not kept: it
            fills again.

    Returns:
        The trained SB3 model; `policy_of` makes a `Policy` of it.

    Raises:
        InputError: The checkpoint is another configuration's, or cannot be written.
        KeyboardInterrupt: After `last_model.zip` has been written.
    """
    options = options or TrainingOptions()
    _check(config)
    bound = task_of(world, task)
    done = 0
    before: Checkpoint | None = None
    if resume_from is not None:
        before = read_checkpoint(resume_from)
        _refuse_another(before, config, bound, resume_from)
        done = before.num_timesteps
    # Users of before a resume are not served again: every session so far took one user at most per user-step.
    env = _TimedVecEnv(
        config.n_envs, world, task, seed=seed, first_user=done + (config.n_envs if done else 0)
    )
    model = _build(config, env, task, seed=seed + done, device=device)
    if before is not None and resume_from is not None:
        _restore(model, resume_from, before)
    env.stopwatch = model.stopwatch
    events: list[KVWriter] = (
        [] if options.tensorboard is None else [TensorBoardOutputFormat(str(options.tensorboard))]
    )
    model.set_logger(Logger(folder=None, output_formats=events))
    about = _Describe(model, config, bound)
    best = None if options.folder is None else options.folder / "best_model.zip"
    last = None if options.folder is None else options.folder / "last_model.zip"

    def save(path: Path | None, metrics: Mapping[str, float]) -> None:
        if path is not None:
            write_checkpoint(model, path, about(metrics))

    parts: list[BaseCallback] = [MetricsCallback(options.log_every, total_steps, progress=options.progress)]
    if options.evaluate is not None:
        parts.append(
            EvaluationCallback(
                options.evaluate,
                lambda: policy_of(model),
                every=options.evaluate_every,
                best_by=options.best_by,
                best_so_far=_best_so_far(best, options.best_by) if before is not None else -np.inf,
                save_best=lambda metrics: save(best, metrics),
                reference_scores=options.reference_scores,
                picture=options.picture,
            )
        )
    if last is not None:
        parts.append(CheckpointCallback(lambda: save(last, {}), options.checkpoint_every))
    parts.extend(callbacks)
    remaining = total_steps - done
    try:
        if remaining > 0:
            model.learn(
                remaining, callback=CallbackList(parts), log_interval=_NEVER, reset_num_timesteps=done == 0
            )
    except KeyboardInterrupt:
        save(last, {})
        raise
    finally:
        model.logger.close()
    save(last, {})
    return model


def policy_of(model: Learner, *, temperature: float = 0.0) -> LearnedPolicy:
    """The learned policy: greedy at temperature 0; PPO's own law at temperature 1."""
    name = "ppo" if isinstance(model, SlatePPO) else "dqn"
    return LearnedPolicy(model.policy, name=name, temperature=temperature)


def load_policy(
    path: Path, world: World, task: TaskConfig, *, temperature: float = 0.0, device: str = "cpu"
) -> LearnedPolicy:
    """The policy in a checkpoint, over the tables of `world` (those it was trained with, or like them).

    Raises:
        InputError: No checkpoint, or one for other sizes or columns.
    """
    about = read_checkpoint(path)
    bound = task_of(world, task)
    sizes = ("slate_size", "n_candidates", "history", "context_size", "vector_size", "numeric_names")
    wrong = differences({k: about.task.get(k) for k in sizes}, {k: bound[k] for k in sizes})
    if wrong:
        raise InputError(
            "this policy was trained for another task: " + "; ".join(wrong),
            where=str(path),
            mend="load it with the task and features it was trained with, or train one for this task",
        )
    space = observation_space(world, task)
    policy = _policy(about.config, world.features, space, action_space(task)).to(torch.device(device))
    policy.load_state_dict(_parameters(path, device)["policy"])
    kind = "ppo" if isinstance(about.config, PPOConfig) else "dqn"
    return LearnedPolicy(policy, name=kind, temperature=temperature)


def _policy(
    config: LearnerConfig,
    tables: FeatureTables,
    observations: spaces.Dict,
    actions: spaces.MultiDiscrete,
) -> PlackettLucePolicy | SlateQPolicy:
    kind = PlackettLucePolicy if isinstance(config, PPOConfig) else SlateQPolicy
    return kind(observations, actions, lambda _: 0.0, tables=tables, network=config.network)


def _build(
    config: LearnerConfig, env: SlateVecEnv, task: TaskConfig, *, seed: int, device: str
) -> SlatePPO | SlateDQN:
    tables, network = env.world.features, config.network

    def rate(left: float) -> float:
        return config.learning_rate * (0.1 + 0.9 * left)

    shared: dict[str, Any] = {
        "learning_rate": rate,
        "gamma": config.gamma,
        "max_grad_norm": config.max_grad_norm,
        "feedback_coef": config.feedback_coef,
        "bootstrap_at_limit": config.bootstrap_at_limit,
        "seed": seed,
        "device": device,
    }
    if isinstance(config, PPOConfig):
        return SlatePPO(
            PlackettLucePolicy,
            env,
            policy_kwargs={
                "tables": tables,
                "network": network,
                "click_reward": task.reward.click,
                "purchase_reward": task.reward.purchase,
                "actor_rate": config.actor_rate,
                "sample_seed": seed,
            },
            batch_size=_minibatch(config.n_envs * config.n_steps, config.batch_size),
            n_steps=config.n_steps,
            n_epochs=config.n_epochs,
            gae_lambda=config.gae_lambda,
            slot_lambda=config.slot_lambda,
            clip_range=config.clip_range,
            ent_coef=config.entropy_coef,
            vf_coef=config.critic_coef,
            target_kl=config.target_kl,
            click_reward=task.reward.click,
            purchase_reward=task.reward.purchase,
            **shared,
        )
    return SlateDQN(
        SlateQPolicy,
        env,
        policy_kwargs={"tables": tables, "network": network},
        batch_size=config.batch_size,
        buffer_size=config.buffer_size,
        learning_starts=config.learning_starts,
        train_freq=config.train_freq,
        gradient_steps=config.gradient_steps,
        target_update_interval=config.target_update_interval,
        exploration_initial_eps=config.exploration_initial_eps,
        exploration_final_eps=config.exploration_final_eps,
        exploration_fraction=config.exploration_fraction,
        exploration_temperature=config.exploration_temperature,
        **shared,
    )


def _check(config: LearnerConfig) -> None:
    """Refuse settings that SB3 would meet with an assertion or a warning."""
    for name in ("n_envs", "batch_size", "learning_rate"):
        if not getattr(config, name) > 0:
            raise InputError(
                f"{name} is {getattr(config, name)}", where=type(config).__name__, mend="give more than 0"
            )
    if not 0 <= config.gamma <= 1:
        raise InputError(
            f"gamma is {config.gamma}", where=type(config).__name__, mend="give a discount from 0 to 1"
        )


def _minibatch(pages: int, wanted: int) -> int:
    """The largest minibatch up to `wanted` that divides the `pages` of an update."""
    parts = -(-pages // wanted)
    while pages % parts:
        parts += 1
    return pages // parts


def _refuse_another(before: Checkpoint, config: LearnerConfig, bound: Mapping[str, Any], path: Path) -> None:
    if type(before.config) is not type(config):
        changed = [f"agent is {type(before.config).__name__} there and {type(config).__name__} here"]
    else:
        changed = differences(dataclasses.asdict(before.config), dataclasses.asdict(config))
    changed += differences(before.task, bound)
    if changed:
        raise InputError(
            "this checkpoint is of another configuration: " + "; ".join(changed),
            where=str(path),
            mend="go on with the configuration it was made with, or start a new run",
        )


def _parameters(path: Path, device: str) -> dict[str, Any]:
    from stable_baselines3.common.save_util import load_from_zip_file

    try:
        _, parameters, _ = load_from_zip_file(path, load_data=False, device=device)
    except (ValueError, RuntimeError, KeyError, OSError) as error:
        raise InputError(
            f"the weights in this checkpoint cannot be read: {error}",
            where=str(path),
            mend="use an intact checkpoint",
        ) from None
    return dict(parameters or {})


def _restore(model: Learner, path: Path, before: Checkpoint) -> None:
    model.set_parameters(_parameters(path, str(model.device)), device=model.device)
    if isinstance(model, SlateDQN):
        # The replay is empty again, and is first filled as it was at the start.
        model.learning_starts += before.num_timesteps
    model.num_timesteps = before.num_timesteps
    model._n_updates = before.n_updates


def _best_so_far(best: Path | None, figure: str) -> float:
    if best is None or not best.exists():
        return -np.inf
    return float(read_checkpoint(best).metrics.get(figure, -np.inf))


class _TimedVecEnv(SlateVecEnv):
    """Tells the learner's stopwatch how long the simulator took."""

    stopwatch: Stopwatch | None = None

    def step_wait(
        self,
    ) -> tuple[dict[str, NDArray[Any]], NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
        start = time.perf_counter()
        result = super().step_wait()
        if self.stopwatch is not None:
            self.stopwatch.add(simulator=time.perf_counter() - start, steps=self.num_envs)
        return result


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
