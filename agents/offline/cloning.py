"""Behaviour cloning: the policy under which the logged slates are most probable."""

from __future__ import annotations

from dataclasses import dataclass, field

from agents.checkpoint import task_of
from agents.offline.actor import actor_of
from agents.offline.fitting import FittingConfig, LogBatch, Losses, OfflineResult, fit_to_log, fresh_learner
from agents.offline.transitions import LogTransitions
from agents.ppo.config import PPOConfig
from agents.ppo.distribution import slot_log_prob
from envs.world import TaskConfig, World

__all__ = ["CloningConfig", "clone_behaviour"]


@dataclass(frozen=True, kw_only=True)
class CloningConfig(FittingConfig):
    """Maximum likelihood of the logged slates under a Plackett-Luce law.

    Loss: the mean over pages of -log pi(A | s) = -sum_k log pi(i_k | s, i_1 .. i_{k-1}).
    """

    learner: PPOConfig = field(default_factory=PPOConfig)
    """Sizes of the network, and what a checkpoint of the clone says it is."""


def clone_behaviour(
    config: CloningConfig,
    log: LogTransitions,
    world: World,
    task: TaskConfig,
    *,
    seed: int = 0,
    device: str = "cpu",
    progress: bool = True,
) -> OfflineResult:
    """A Plackett-Luce policy that ranks like whoever made the log.

    Its greedy slates are the behaviour's most usual ones; its law at temperature 1 stands for unlogged propensities.
    The held-out figure is `loss`, the negative log-likelihood of a page in nats.

    Args:
        config: Passes, steps and sizes.
        log: The pages.
        world: For the tables and sizes; nobody is served in it.
        task: The task.
        seed: Of the weights and of the order of pages.
        device: 'cpu' or 'cuda'.
        progress: Whether to show a bar.

    Raises:
        InputError: No page is a slate of the task.
    """
    model = fresh_learner(config.learner, world, task, seed=seed, device=device)
    policy = actor_of(model)

    def loss(batch: LogBatch) -> Losses:
        return {"loss": -slot_log_prob(policy.scores(batch.observations), batch.slates).sum(1).mean()}

    return fit_to_log(
        model,
        config.learner,
        log,
        loss,
        config,
        name="cloning",
        bound=task_of(world, task),
        seed=seed,
        device=device,
        label="cloning",
        progress=progress,
    )
