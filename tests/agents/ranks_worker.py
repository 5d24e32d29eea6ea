"""What each of several ranks does in the tests: `python ranks_worker.py NAME FOLDER` under torchrun's variables."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import torch
from resume_worker import CONFIGS, TASK, WORLD, StoppedError, go
from stable_baselines3.common.logger import Logger

from agents.building import Learner, TrainingEnv, build_learner
from agents.dqn.replay import BlockReplay
from agents.ppo.learner import SlatePPO
from agents.ranks import Ranks

VALUES = np.random.default_rng(0).normal(3.0, 2.0, (2, 5, 4)).astype(np.float32)  # (rank, B, K)


def collectives(ranks: Ranks, folder: Path) -> None:
    """Every method once."""
    with_gradient = torch.nn.Parameter(torch.zeros(2, 3))
    with_gradient.grad = torch.full((2, 3), float(ranks.rank + 1))
    other = torch.nn.Parameter(torch.zeros(2))
    other.grad = torch.tensor([10.0 * ranks.rank, 4.0])
    without = torch.nn.Parameter(torch.zeros(1))
    ranks.average_gradients([with_gradient, without, other])
    assert without.grad is None
    values = torch.from_numpy(VALUES[ranks.rank])
    mean, std = ranks.moments(values)
    means, stds = ranks.moments(values, 0)
    gathered = ranks.gather({"rank": np.array([ranks.rank])})
    assert [int(entry["rank"][0]) for entry in gathered] == ([0, 1] if ranks.first else [])
    np.savez(
        folder / f"{ranks.rank}.npz",
        gradient=with_gradient.grad.numpy(),
        other=other.grad.numpy(),
        mean=mean.numpy(),
        std=std.numpy(),
        means=means.numpy(),
        stds=stds.numpy(),
        any=[ranks.any(False), ranks.any(ranks.rank == 1), ranks.any(True)],
        number=ranks.mean(float(ranks.rank)),
        shared=ranks.share(41 + ranks.rank),
    )
    ranks.barrier()


def one_dies(ranks: Ranks, folder: Path) -> None:
    """Rank 1 ends without a word while rank 0 waits for it."""
    if ranks.rank == 1:
        os._exit(7)
    try:
        ranks.barrier()
    except Exception as error:
        (folder / "message.txt").write_text(f"{type(error).__name__}: {error}")
        os._exit(0)


def learner_with_pages(agent: str, ranks: Ranks) -> Learner:
    """A fresh learner of this rank, after its first rollout (PPO) or a few of them (DQN)."""
    config = CONFIGS[agent]
    env = TrainingEnv(config.n_envs, WORLD, TASK, seed=3, ranks=ranks)
    model = build_learner(config, env, TASK, seed=3, device="cpu", ranks=ranks)
    model.set_logger(Logger(folder=None, output_formats=[]))
    _, callback = model._setup_learn(10_000)
    for _ in range(1 if isinstance(model, SlatePPO) else 12):
        if isinstance(model, SlatePPO):
            model.collect_rollouts(env, callback, model.rollout_buffer, model.n_steps)
        else:
            model.collect_rollouts(env, callback, model.train_freq, model.replay_buffer, None, 10_000)  # type: ignore[arg-type]
    return model


def plain_steps(model: Learner) -> None:
    """Steps along the gradient itself: Adam's would blow up the rounding of gradients that are nothing at first."""
    groups = [
        {"params": group["params"], "factor": group.get("factor", 1.0)}
        for group in model.policy.optimizer.param_groups
    ]
    model.policy.optimizer = torch.optim.SGD(groups, lr=1.0)


def update(ranks: Ranks, folder: Path, agent: str) -> None:
    """One update on pages of this rank's own; leaves behind what it read and what it became."""
    model = learner_with_pages(agent, ranks)
    read = []
    if isinstance(model, SlatePPO):
        batches = model.rollout_buffer.batches

        def note_batches(*args):  # type: ignore[no-untyped-def]
            read.append(list(batches(*args)))
            return iter(read[-1])

        model.rollout_buffer.batches = note_batches  # type: ignore[method-assign]
        model.train()
        extra = {"advantages": model.rollout_buffer.slot_advantages}
    else:
        sample = BlockReplay.sample

        def note_blocks(*args):  # type: ignore[no-untyped-def]
            read.append(sample(*args))
            return read[-1]

        BlockReplay.sample = note_blocks  # type: ignore[method-assign]
        plain_steps(model)
        model.train(3, batch_size=model.batch_size)
        extra = {"users": torch.from_numpy(model.get_env().users)}  # type: ignore[union-attr]
    weights = model.policy.state_dict()
    kept = {"read": read, "weights": weights, "steps": model.num_timesteps, **extra}
    torch.save(kept, folder / f"{agent}{ranks.rank}.pt")


def updates(ranks: Ranks, folder: Path) -> None:
    """Of both learners."""
    for agent in CONFIGS:
        update(ranks, folder, agent)


def train(ranks: Ranks, folder: Path) -> None:
    """A whole training of both learners, stopped halfway and gone on with."""
    for agent in CONFIGS:
        half, whole = folder / f"{agent}-half", folder / f"{agent}-whole"
        try:
            go(agent, half, steps=768, stop_at=450, ranks=ranks)
        except StoppedError:
            ranks.barrier()
        go(agent, half, steps=768, ranks=ranks)
        go(agent, whole, steps=768, ranks=ranks)


TASKS = {"collectives": collectives, "one_dies": one_dies, "updates": updates, "train": train}

if __name__ == "__main__":
    torch.set_num_threads(1)
    group = Ranks.from_environment()
    TASKS[sys.argv[1]](group, Path(sys.argv[2]))
    group.close()
