"""Two ranks on loopback: one update equals that of a single process on the joint pages, and trainings resume."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3.common.logger import Logger

from agents.checkpoint import read_checkpoint, read_training_state

sys.path.insert(0, str(Path(__file__).parent))

from ranks_worker import CONFIGS, TASK, WORLD, plain_steps
from test_ranks import run_ranks

from agents.building import Learner, TrainingEnv, build_learner
from agents.dqn.replay import Blocks
from agents.ranks import Ranks


def fresh(agent: str) -> Learner:
    """A single process that serves twice the users of a rank, in minibatches twice as large."""
    config = CONFIGS[agent]
    config = dataclasses.replace(config, n_envs=2 * config.n_envs, batch_size=2 * config.batch_size)
    env = TrainingEnv(config.n_envs, WORLD, TASK, seed=3, ranks=Ranks.alone())
    model = build_learner(config, env, TASK, seed=3, device="cpu", ranks=Ranks.alone())
    model.set_logger(Logger(folder=None, output_formats=[]))
    model._setup_learn(10_000)
    return model


def joined(parts: list[Any]) -> Any:
    """Batches of both ranks as one: tensors behind each other, in nested named tuples."""
    if isinstance(parts[0], torch.Tensor):
        return torch.cat(parts) if parts[0].dim() else parts[0]
    return type(parts[0])(*(joined(list(entries)) for entries in zip(*parts, strict=True)))


def joined_blocks(parts: list[Blocks]) -> Blocks:
    """Blocks of both ranks side by side; rows of observations are renumbered."""
    length, width = parts[0].slates.shape[:2]
    pages, last = (length + 1) * width, 0
    successors = []
    for r, part in enumerate(parts):
        inside = part.successor < pages
        row = part.successor // width * 2 * width + part.successor % width + r * width
        beyond = 2 * pages + part.successor - pages + last
        successors.append(torch.where(inside, row, beyond))
        last += next(iter(part.observations.values())).shape[0] - pages
    observations = {}
    for name in parts[0].observations:
        both = [part.observations[name] for part in parts]
        side = torch.cat([x[:pages].unflatten(0, (length + 1, width)) for x in both], dim=1).flatten(0, 1)
        observations[name] = torch.cat([side, *(x[pages:] for x in both)])
    rest = {
        name: torch.cat([getattr(part, name) for part in parts], dim=1)
        for name in Blocks._fields
        if name not in ("observations", "successor")
    }
    return Blocks(observations=observations, successor=torch.cat(successors, dim=1), **rest)


@pytest.fixture(scope="module")
def ranks_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the two ranks left of one update each."""
    folder = tmp_path_factory.mktemp("ranks")
    assert run_ranks("updates", folder) == [0, 0]
    return folder


def assert_update_equals(model: Learner, found: list[dict[str, Any]], before: dict[str, Any]) -> None:
    single, moved = model.policy.state_dict(), 0.0
    for name, weight in single.items():
        assert torch.equal(found[0]["weights"][name], found[1]["weights"][name]), name
        torch.testing.assert_close(
            found[0]["weights"][name],
            weight,
            rtol=1e-3,
            atol=2e-5,
            msg=lambda said, name=name: f"{name}: {said}",
        )
        moved = max(moved, float((weight.double() - before[name].double()).abs().max()))
    assert moved > 1e-3  # a hundred times the tolerance


def test_one_update_of_ppo(ranks_folder: Path) -> None:
    found = [torch.load(ranks_folder / f"ppo{r}.pt", weights_only=False) for r in (0, 1)]
    model = fresh("ppo")
    before = {name: weight.clone() for name, weight in model.policy.state_dict().items()}
    buffer = model.rollout_buffer  # type: ignore[union-attr]
    buffer.slot_advantages = torch.cat([entry["advantages"] for entry in found], dim=1)
    epochs = iter(
        [
            [joined(list(pair)) for pair in zip(*two, strict=True)]
            for two in zip(*(f["read"] for f in found), strict=True)
        ]
    )
    buffer.values = buffer.returns = np.zeros(2)  # for a figure that is logged
    buffer.batches = lambda *_: iter(next(epochs))
    model.train()  # type: ignore[call-arg]
    assert not torch.equal(found[0]["read"][0][0].slates, found[1]["read"][0][0].slates)
    assert found[0]["steps"] == 2 * CONFIGS["ppo"].n_envs * CONFIGS["ppo"].n_steps  # type: ignore[union-attr]
    assert_update_equals(model, found, before)


def test_one_round_of_dqn(ranks_folder: Path) -> None:
    found = [torch.load(ranks_folder / f"dqn{r}.pt", weights_only=False) for r in (0, 1)]
    assert not set(found[0]["users"].tolist()) & set(found[1]["users"].tolist())
    model = fresh("dqn")
    before = {name: weight.clone() for name, weight in model.policy.state_dict().items()}
    rounds = iter([joined_blocks(list(pair)) for pair in zip(*(f["read"] for f in found), strict=True)])
    model.replay_buffer.sample = lambda *_: next(rounds)  # type: ignore[union-attr, method-assign]
    model.replay_buffer.pos = 2  # an empty replay is not asked at all
    model._update_current_progress_remaining(found[0]["steps"], 10_000)  # the learning rate of that step
    plain_steps(model)
    model.train(3, batch_size=model.batch_size)
    assert_update_equals(model, found, before)


def test_two_ranks_train_and_resume(tmp_path: Path) -> None:
    assert run_ranks("train", tmp_path) == [0, 0]
    for agent in CONFIGS:
        half, whole = (tmp_path / f"{agent}-{kind}" / "last_model.zip" for kind in ("half", "whole"))
        assert read_checkpoint(half).num_timesteps == read_checkpoint(whole).num_timesteps == 768
        one, other = read_training_state(half), read_training_state(whole)
        assert {name.split("/")[0] for name in one} == {"rank0", "rank1"}
        assert one.keys() == other.keys()
        assert all((one[name] == other[name]).all() for name in one)
        assert not (one["rank0/learner/env/user"] == one["rank1/learner/env/user"]).any()
