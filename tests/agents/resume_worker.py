"""A training to be killed: `python resume_worker.py AGENT FOLDER SLOWLY`; it goes on where there is a checkpoint."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import torch
from stable_baselines3.common.callbacks import BaseCallback

from agents.base import Draw, Policy
from agents.building import Learner
from agents.checkpoint import LearnerConfig
from agents.dqn.config import DQNConfig
from agents.learning import TrainingOptions, train_agent
from agents.ppo.config import PPOConfig
from agents.ranks import Ranks
from envs.core import SlateCore
from envs.toy import toy_world
from envs.world import TaskConfig

TASK = TaskConfig(slate_size=4, n_candidates=12, max_steps=5)
WORLD = toy_world(n_items=60, n_queries=6, n_candidates=12, width=8)
CONFIGS: dict[str, LearnerConfig] = {
    "ppo": PPOConfig(n_envs=16, n_steps=4, batch_size=32, n_epochs=2),
    "dqn": DQNConfig(
        n_envs=16, batch_size=32, buffer_size=400, learning_starts=64, train_freq=1, target_update_interval=96
    ),
}
STEPS = 1536
EVERY = 192


class Slowly(BaseCallback):
    """Leaves time for a kill; what is learned is the same."""

    def _on_step(self) -> bool:
        time.sleep(0.01)
        return True


class StoppedError(Exception):
    """Raised by `StopAt`."""


class StopAt(BaseCallback):
    """Breaks off in the middle of things."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.step = step

    def _on_step(self) -> bool:
        if self.num_timesteps >= self.step:
            raise StoppedError
        return True


def judge(policy: Policy) -> dict[str, float]:
    """Score per session of a few held-out users."""
    core = SlateCore(WORLD, TASK, n_users=32, seed=5, first_user=10**6)
    observation, score = core.reset(), 0.0
    for step in range(TASK.max_steps):
        draw = Draw(7, np.arange(32), np.full(32, step, np.int32))
        result = core.step(policy.rank(observation, draw, slate_size=TASK.slate_size))
        score += float(result.score.sum())
        observation = result.observation
    return {"score": score / 32}


def go(
    agent: str,
    folder: Path,
    *,
    slowly: bool = False,
    stop_at: int | None = None,
    steps: int = STEPS,
    ranks: Ranks | None = None,
) -> Learner:
    """Begin, or go on from the last checkpoint."""
    callbacks: list[BaseCallback] = [Slowly()] if slowly else []
    if stop_at is not None:
        callbacks.append(StopAt(stop_at))
    last = folder / "last_model.zip"
    options = TrainingOptions(
        folder=folder,
        checkpoint_every=EVERY,
        evaluate=judge,
        evaluate_every=2 * EVERY,
        tensorboard=folder,
        log_every=100,
        progress=False,
    )
    return train_agent(
        CONFIGS[agent],
        WORLD,
        TASK,
        total_steps=steps,
        seed=3,
        options=options,
        callbacks=callbacks,
        ranks=ranks,
        resume_from=last if last.exists() else None,
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    go(sys.argv[1], Path(sys.argv[2]), slowly=True)
