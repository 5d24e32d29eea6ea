"""From a configuration to an SB3 model over an environment, or to a bare policy."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray

from agents.checkpoint import LearnerConfig
from agents.clock import Stopwatch
from agents.dqn.config import form_of, options_of
from agents.dqn.learner import SlateDQN
from agents.dqn.policy import SlateQPolicy
from agents.ppo.config import PPOConfig
from agents.ppo.learner import SlatePPO
from agents.ppo.policy import PlackettLucePolicy
from agents.ranks import Ranks
from encoders.features import FeatureTables
from envs.sb3 import SlateVecEnv
from envs.world import RewardMix, TaskConfig, World

__all__ = ["Learner", "TrainingEnv", "build_learner", "build_policy", "settle_threads"]

Learner = SlatePPO | SlateDQN

_SEEDS_APART = 1_000_003
"""Between the seeds of two ranks' exploration: so far apart that no two runs of neighbouring seeds share one."""


class TrainingEnv(SlateVecEnv):
    """The environment of one rank: users of its own, and a stopwatch.

    Together the ranks serve the users that one environment of `n_envs * size` users would serve: slot b of rank r
    lives through those of its slot `r * n_envs + b`.

    Args:
        n_envs: Users B of this rank.
        world: Where they live.
        task: Sizes, horizon and reward.
        seed: Key of all chance, the same on every rank.
        ranks: The group.
    """

    stopwatch: Stopwatch | None = None

    def __init__(self, n_envs: int, world: World, task: TaskConfig, *, seed: int, ranks: Ranks) -> None:
        super().__init__(n_envs, world, task, seed=seed, first_user=ranks.rank * n_envs)
        self.core.stride = n_envs * ranks.size

    def step_wait(
        self,
    ) -> tuple[dict[str, NDArray[Any]], NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
        """As in `SlateVecEnv`; tells the stopwatch how long it took."""
        start = time.perf_counter()
        result = super().step_wait()
        if self.stopwatch is not None:
            self.stopwatch.add(simulator=time.perf_counter() - start, steps=self.num_envs)
        return result


def settle_threads() -> None:
    """Launch numba's threads now, and leave torch its own number of them.

    Both count their threads in the one OpenMP runtime, and numba's first launch sets that number anew: a training
    would change the order of torch's sums, and with it their last bits, at the first parallel kernel it meets.
    """
    import simulators.kernels  # noqa: F401  (sets up the kernel cache before numba loads)

    import numba  # isort: skip

    threads = torch.get_num_threads()
    numba.get_num_threads()  # launches them
    torch.set_num_threads(threads)


def build_policy(
    config: LearnerConfig,
    tables: FeatureTables,
    observations: spaces.Dict,
    actions: spaces.MultiDiscrete,
    reward: RewardMix,
) -> PlackettLucePolicy | SlateQPolicy:
    """A policy without a learner, its weights fresh, for an environment with this `reward`."""
    sizes: dict[str, Any] = {"tables": tables, "network": config.network}
    if isinstance(config, PPOConfig):
        return PlackettLucePolicy(observations, actions, lambda _: 0.0, **sizes, reward=reward)
    return SlateQPolicy(observations, actions, lambda _: 0.0, **sizes, reward=reward, form=form_of(config))


def build_learner(
    config: LearnerConfig, env: TrainingEnv, task: TaskConfig, *, seed: int, device: str, ranks: Ranks
) -> Learner:
    """A learner with fresh weights, the same on every rank, and exploration of each rank's own."""
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
    model: Learner
    if isinstance(config, PPOConfig):
        model = SlatePPO(
            PlackettLucePolicy,
            env,
            policy_kwargs={
                "tables": tables,
                "network": network,
                "reward": task.reward,
                "actor_rate": config.actor_rate,
                "sample_seed": seed + _SEEDS_APART * ranks.rank,
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
            **shared,
        )
    else:
        model = SlateDQN(
            SlateQPolicy,
            env,
            policy_kwargs={
                "tables": tables,
                "network": network,
                "reward": task.reward,
                "form": form_of(config),
                "item_rate": config.item_rate,
            },
            **options_of(config),
            **shared,
        )
        if ranks.size > 1:
            model.generator = np.random.default_rng((seed, ranks.rank))
    model.ranks = ranks
    env.stopwatch = model.stopwatch
    return model


def _minibatch(pages: int, wanted: int) -> int:
    """The largest minibatch up to `wanted` that divides the `pages` of an update."""
    parts = -(-pages // wanted)
    while pages % parts:
        parts += 1
    return pages // parts
