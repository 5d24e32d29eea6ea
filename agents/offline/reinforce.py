"""REINFORCE on a log, corrected for who made it and for pages of `K` items."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agents.checkpoint import task_of
from agents.offline.actor import actor_of, slot_returns
from agents.offline.cloning import CloningConfig, clone_behaviour
from agents.offline.fitting import FittingConfig, LogBatch, Losses, OfflineResult, fit_to_log, fresh_learner
from agents.offline.transitions import LogTransitions
from agents.ppo.config import PPOConfig
from agents.settings import ABOVE_ZERO, check_numbers
from envs.world import TaskConfig, World

__all__ = ["ReinforceConfig", "single_draw", "top_k_multiplier", "train_reinforce"]

_MANY = 4096


@dataclass(frozen=True, kw_only=True)
class ReinforceConfig(FittingConfig):
    """Top-K off-policy REINFORCE.

    Chen, Beutel, Covington, Jain, Belletti, Chi, "Top-K off-policy correction for a REINFORCE recommender system",
    WSDM 2019, equation 7: over logged pages and their items, the gradient of

        -sum min(pi(i | s) / beta(i | s), cap) lambda_K(i) (R - b) log pi(i | s),
        lambda_K(i) = K (1 - pi(i | s))^(K - 1),

    where pi and beta are the chances of an item in a single draw, pi a softmax over the candidates, and all factors
    but the last are constants. R is the item's own reward and what follows the page, b what the critic expects of it.
    """

    gamma: float = 0.97
    """Discount per page."""
    cap: float = 10.0
    """The largest importance weight: bounds the variance, at the price of a bias towards the behaviour policy."""
    top_k: bool = True
    """Whether to multiply by lambda_K; without it the policy is made for pages of one item."""
    baseline: bool = True
    """Whether to subtract the critic's expectation (the paper does not)."""
    critic_coef: float = 0.02
    """Weight of the critic's squared error."""
    behaviour: CloningConfig = field(default_factory=CloningConfig)
    """How the behaviour policy is cloned, where the log does not give (all of) its propensities."""
    learner: PPOConfig = field(default_factory=PPOConfig)
    """Sizes of the network, and what a checkpoint says it is."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_numbers(self, integers={}, reals={"gamma": (0.0, 1.0), "cap": (ABOVE_ZERO, math.inf)})


def top_k_multiplier(probability: Tensor, k: int) -> Tensor:
    """`K (1 - pi)^(K - 1)`: how the chance that an item is among K draws grows with its chance in one.

    It is the derivative of `1 - (1 - pi)^K`: K for an item that is never drawn, 0 for one that always is.
    """
    return k * (1.0 - probability) ** (k - 1)


def single_draw(choice: NDArray[np.float64]) -> NDArray[np.float64]:
    """Chances (M, K) of logged items in a single draw, from those of each choice given the ones above it.

    For draws without replacement from a softmax beta, `choice_k = beta_k / (1 - beta_1 - ... - beta_{k-1})`, and so
    `beta_k = choice_k (1 - beta_1 - ... - beta_{k-1})`. Unknown (nan) from the first unknown choice on.
    """
    out = np.empty_like(choice)
    left = np.ones(choice.shape[0])
    for k in range(choice.shape[1]):
        out[:, k] = choice[:, k] * left
        left = left - out[:, k]
    return out


def train_reinforce(
    config: ReinforceConfig,
    log: LogTransitions,
    world: World,
    task: TaskConfig,
    *,
    seed: int = 0,
    device: str = "cpu",
    progress: bool = True,
) -> OfflineResult:
    """Train a policy on logged pages alone.

    The behaviour's chances are the logged ones where the log has cascade propensities that leave a choice, else those
    of a clone. Held-out figures: `loss`; `weight`, the mean importance weight; `gain`, its product with R - b, above
    0 where the policy shows more of what turned out well.

    Args:
        config: Passes, steps, corrections and sizes.
        log: The pages.
        world: For the tables and sizes; nobody is served in it.
        task: The task, whose reward is learned.
        seed: Of the weights and of the order of pages.
        device: 'cpu' or 'cuda'.
        progress: Whether to show a bar.

    Raises:
        InputError: No page is a slate of the task.
    """
    behaviour = _behaviour(config, log, world, task, seed=seed, device=device, progress=progress)
    model = fresh_learner(config.learner, world, task, seed=seed, device=device)
    policy = actor_of(model)
    K = task.slate_size
    own, rest = slot_returns(policy, log, config.gamma)

    def loss(batch: LogBatch) -> Losses:
        page = policy.page(batch.observations)
        log_pi = torch.log_softmax(policy.law_scores(page), dim=1).gather(1, batch.slates)  # (B, K)
        values = policy.slot_values(page)  # (B, K + 1)
        targets = torch.cat((batch.extra["own"], batch.extra["rest"].unsqueeze(1)), dim=1)
        gain = targets[:, :-1] + targets[:, -1:]
        if config.baseline:
            gain = gain - (values[:, :-1] + values[:, -1:]).detach()
        pi = log_pi.detach().exp()
        weight = (pi / batch.extra["beta"]).clamp_max(config.cap)
        multiplier = top_k_multiplier(pi, K) if config.top_k else torch.ones_like(pi)
        objective = (weight * multiplier * gain * log_pi).sum(1).mean()
        critic = (values - targets).square().sum(1).mean()
        return {
            "loss": config.critic_coef * critic - objective,
            "weight": weight.mean(),
            "gain": (weight * gain).mean(),
            "critic": critic,
        }

    return fit_to_log(
        model,
        config.learner,
        log,
        loss,
        config,
        name="reinforce",
        bound=task_of(world, task),
        extra={"own": own, "rest": rest, "beta": behaviour},
        seed=seed,
        device=device,
        label="reinforce",
        keep_best=False,  # the loss is a means to its gradient: lower is not better
        progress=progress,
    )


def _behaviour(
    config: ReinforceConfig,
    log: LogTransitions,
    world: World,
    task: TaskConfig,
    *,
    seed: int,
    device: str,
    progress: bool,
) -> NDArray[np.float32]:
    """The behaviour's chance (M, K) of each shown item in a single draw."""
    beta = single_draw(log.choice_propensity)
    # A deterministic page says nothing of what else might have been shown.
    known = ((beta > 0) & (log.choice_propensity < 1 - 1e-9)).all(axis=1) | ~log.whole
    if not known.all():
        clone = clone_behaviour(
            config.behaviour, log, world, task, seed=seed, device=device, progress=progress
        )
        policy = actor_of(clone.model)
        for at in np.array_split(np.flatnonzero(~known), max(1, -(-int((~known).sum()) // _MANY))):
            seen = {
                name: torch.as_tensor(array, device=device)
                for name, array in log.observation.take(at).as_dict().items()
            }
            with torch.no_grad():
                chance = torch.softmax(policy.scores(seen), dim=1)
            slates = torch.as_tensor(log.actions[at], device=device)
            beta[at] = chance.gather(1, slates).double().cpu().numpy()
    result: NDArray[np.float32] = np.maximum(np.nan_to_num(beta, nan=1.0), 1e-8).astype(np.float32)
    return result
