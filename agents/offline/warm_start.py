"""Warm starts: what a log can teach PPO and DQN before they serve anybody."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.utils import polyak_update
from tqdm import tqdm

from agents.checkpoint import LearnerConfig, task_of
from agents.dqn.config import DQNConfig
from agents.dqn.learner import SlateDQN
from agents.offline.actor import actor_of, response_losses, slot_returns, surprises
from agents.offline.fitting import FittingConfig, LogBatch, Losses, OfflineResult, fit_to_log, fresh_learner
from agents.offline.lanes import fill_replay
from agents.offline.transitions import LogTransitions
from agents.ppo.config import PPOConfig
from agents.ppo.distribution import slot_log_prob
from agents.settings import ABOVE_ZERO, check_choices, check_numbers
from envs.world import TaskConfig, World

__all__ = ["WarmStartConfig", "warm_start"]


@dataclass(frozen=True, kw_only=True)
class WarmStartConfig(FittingConfig):
    """How much is learned from the log, and by which losses.

    PPO: log losses of the response model on every shown position, the critic's squared error against the returns that
    followed, and, where asked for, the negative log-likelihood of the logged slates. DQN: fitted Q-iteration (Ernst,
    Geurts, Wehenkel, JMLR 2005), its own loss on a replay filled with the log.
    """

    actor: Literal["keep", "clone"] = "keep"
    """PPO: leave the actor's own part as it is, so that it ranks by what the response model has learned; or clone the
    behaviour, which is worth it only where the behaviour ranks better than that."""
    clone_coef: float = 0.1
    """Weight of the negative log-likelihood, where the behaviour is cloned."""
    critic_coef: float = 0.02
    """Weight of the critic's squared error."""
    q_updates: int = 2_000
    """DQN: minibatches of fitted Q-iteration, at most."""
    q_passes: float = 100.0
    """DQN: how often each page is drawn, at most, in the mean: a small log takes fewer minibatches."""
    q_target_every: int = 100
    """DQN: minibatches between two moves of the target network, that is, in an iteration; fewer where there would
    be less than ten iterations."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_numbers(
            self,
            integers={"q_updates": 1, "q_target_every": 1},
            reals={"clone_coef": (0.0, 1e6), "critic_coef": (0.0, 1e6), "q_passes": (ABOVE_ZERO, 1e9)},
        )
        check_choices(self, {"actor": ("keep", "clone")})


def warm_start(
    config: WarmStartConfig,
    learner: LearnerConfig,
    log: LogTransitions,
    world: World,
    task: TaskConfig,
    *,
    seed: int = 0,
    device: str = "cpu",
    progress: bool = True,
) -> OfflineResult:
    """Teach a fresh learner from a log; `result.save(path)` writes what `train_agent(start_from=path)` begins with.

    Args:
        config: Passes, steps and losses.
        learner: Settings of the PPO or DQN that will go on.
        log: The pages.
        world: For the tables and sizes; nobody is served in it.
        task: The task.
        seed: Of the weights and of the order of pages.
        device: 'cpu' or 'cuda'.
        progress: Whether to show a bar.

    Raises:
        InputError: No page is a slate of the task.
    """
    if isinstance(learner, DQNConfig):
        return _warm_dqn(config, learner, log, world, task, seed=seed, device=device, progress=progress)
    return _warm_ppo(config, learner, log, world, task, seed=seed, device=device, progress=progress)


def _warm_ppo(
    config: WarmStartConfig,
    learner: PPOConfig,
    log: LogTransitions,
    world: World,
    task: TaskConfig,
    *,
    seed: int,
    device: str,
    progress: bool,
) -> OfflineResult:
    model = fresh_learner(learner, world, task, seed=seed, device=device)
    policy = actor_of(model)
    own, rest = slot_returns(policy, log, learner.gamma)

    def loss(batch: LogBatch) -> Losses:
        page = policy.page(batch.observations)
        click, purchase = response_losses(policy, page, batch.slates, batch.click, batch.purchase)
        targets = torch.cat((batch.extra["own"], batch.extra["rest"].unsqueeze(1)), dim=1)
        critic = (policy.slot_values(page) - targets).square().sum(1).mean()
        total = click + purchase + config.critic_coef * critic
        found = {"click": click, "purchase": purchase, "critic": critic}
        if config.actor == "clone":
            likeness = -slot_log_prob(policy.law_scores(page), batch.slates).sum(1).mean()
            total, found["clone"] = total + config.clone_coef * likeness, likeness
        return {"loss": total, **found}

    def outlook_loss(batch: LogBatch) -> Losses:
        page = policy.page(batch.observations)
        shown, state = page.shown(batch.slates), policy.critic(page).detach()
        foretold = policy.outlook.realised(shown, state, batch.click, batch.purchase)
        return {"loss": (batch.extra["surprise"] - foretold).square().mean()}

    shared: dict[str, Any] = {
        "name": "ppo",
        "bound": task_of(world, task),
        "seed": seed,
        "device": device,
        "progress": progress,
    }
    taught = fit_to_log(
        model,
        learner,
        log,
        loss,
        config,
        extra={"own": own, "rest": rest},
        label="warm start of ppo",
        **shared,
    )
    # The outlook explains errors of the critic, and so comes after it.
    surprise = surprises(policy, log, learner, own)
    later = fit_to_log(
        model,
        learner,
        log,
        outlook_loss,
        config,
        extra={"surprise": surprise},
        label="outlook of ppo",
        **shared,
    )
    outlook = {name.replace("loss", "outlook"): value for name, value in later.metrics.items()}
    return replace(taught, metrics={**taught.metrics, **outlook})


def _warm_dqn(
    config: WarmStartConfig,
    learner: DQNConfig,
    log: LogTransitions,
    world: World,
    task: TaskConfig,
    *,
    seed: int,
    device: str,
    progress: bool,
) -> OfflineResult:
    model = fresh_learner(
        replace(learner, buffer_size=max(learner.buffer_size, log.n_steps)),
        world,
        task,
        seed=seed,
        device=device,
    )
    assert isinstance(model, SlateDQN)
    fill_replay(model, log)
    model.recent = None  # all of the log is as old as the rest
    model.set_logger(Logger(folder=None, output_formats=[]))
    steps = 10
    most = math.ceil(config.q_passes * log.n_steps / learner.batch_size)
    rounds = -(-min(config.q_updates, most) // steps)
    every = max(1, min(config.q_target_every // steps, rounds // 10))
    with tqdm(
        total=rounds * steps,
        desc="warm start of dqn",
        unit="batch",
        leave=False,
        disable=None if progress else True,
    ) as bar:
        for n in range(rounds):
            model._current_progress_remaining = 1.0 - n / rounds
            model.train(steps, batch_size=learner.batch_size)
            if (n + 1) % every == 0:
                polyak_update(model.q_net.parameters(), model.q_net_target.parameters(), 1.0)
            bar.update(steps)
    model.q_net_target.load_state_dict(model.q_net.state_dict())
    losses = {
        name.removeprefix("train/"): float(value)
        for name, value in model.logger.name_to_value.items()
        if name.startswith("train/")
    }
    return OfflineResult(model, learner, "dqn", task_of(world, task), losses)
