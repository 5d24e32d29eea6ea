"""Trainings that go astray stop by themselves, and leave the last good checkpoint."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from agents.checkpoint import LearnerConfig, read_checkpoint, write_checkpoint
from agents.divergence import TrainingDiverged, refuse_divergence
from agents.dqn.config import DQNConfig
from agents.learning import TrainingOptions, train_agent
from agents.ppo.config import PPOConfig
from agents.ranks import Ranks
from behavior.errors import InputError
from envs.toy import toy_world
from envs.world import RewardMix, TaskConfig

TASK = TaskConfig(slate_size=4, n_candidates=12, max_steps=5)
WORLD = toy_world(n_items=60, n_queries=6, n_candidates=12, width=8)
BOTH = pytest.mark.parametrize(
    "config",
    [
        PPOConfig(n_envs=16, n_steps=4, batch_size=32, n_epochs=1),
        DQNConfig(n_envs=16, batch_size=32, buffer_size=640, learning_starts=64, train_freq=1),
    ],
    ids=["ppo", "dqn"],
)


@BOTH
def test_a_wild_learning_rate_stops_and_keeps_the_last_good_checkpoint(
    config: LearnerConfig, tmp_path: Path
) -> None:
    options = TrainingOptions(folder=tmp_path, checkpoint_every=64, progress=False)
    train_agent(config, WORLD, TASK, total_steps=256, options=options)
    last = tmp_path / "last_model.zip"
    wild = replace(config, learning_rate=1e9)
    with pytest.raises(TrainingDiverged, match="training has diverged") as error:
        train_agent(wild, WORLD, TASK, total_steps=20_000, options=options, resume_from=last)
    assert str(last) in error.value.where
    assert "lower learning rate" in error.value.mend
    # What is kept is finite, and training goes on from it at a sane rate: the rate may change on a resume.
    before = read_checkpoint(last).num_timesteps
    assert before >= 256
    if before == 256:
        model = train_agent(config, WORLD, TASK, total_steps=512, options=options, resume_from=last)
        assert all(bool(torch.isfinite(weight).all()) for weight in model.policy.state_dict().values())


@BOTH
@pytest.mark.parametrize("part", ["relevance", "diversity", "stay"])
def test_rewards_beyond_all_measure_stop_and_are_named(
    config: LearnerConfig, part: str, tmp_path: Path
) -> None:
    task = replace(TASK, reward=RewardMix(**{part: 1e30}))
    options = TrainingOptions(folder=tmp_path, progress=False)
    with pytest.raises(TrainingDiverged, match=r"after a reward of \d\S*e\+(29|30) for one page") as error:
        train_agent(config, WORLD, task, total_steps=512, options=options)
    assert "scale down the weights of the reward's parts" in error.value.mend
    assert "no checkpoint had been written yet" in error.value.where
    assert list(tmp_path.glob("*_model.zip")) == []


@BOTH
def test_rewards_that_are_large_throughout_train(config: LearnerConfig) -> None:
    # Learners count in units of a usual click, so there is nothing to refuse.
    task = replace(TASK, reward=RewardMix(click=1e30, purchase=1e30))
    model = train_agent(config, WORLD, task, total_steps=256, options=TrainingOptions(progress=False))
    assert model.largest_reward >= 1e30
    assert all(bool(torch.isfinite(weight).all()) for weight in model.policy.state_dict().values())


@BOTH
def test_weights_that_are_not_finite_replace_no_checkpoint(config: LearnerConfig, tmp_path: Path) -> None:
    options = TrainingOptions(folder=tmp_path, progress=False)
    model = train_agent(config, WORLD, TASK, total_steps=64, options=options)
    last = tmp_path / "last_model.zip"
    kept = last.read_bytes()
    with torch.no_grad():
        next(iter(model.policy.parameters())).view(-1)[0] = float("nan")
    with pytest.raises(TrainingDiverged, match="infinite or undefined"):
        write_checkpoint(model, last, read_checkpoint(last))
    assert last.read_bytes() == kept


@pytest.mark.parametrize(
    ("figures", "error", "stops"),
    [
        ({"loss": float("nan")}, 0.0, True),
        ({"loss": 1.0, "grad_norm": float("inf")}, 0.0, True),
        ({"loss": 1.0}, 1001.0 * 2.0 / (1 - 0.9), True),  # no return is beyond 2 / (1 - 0.9)
        ({"loss": 1.0}, 999.0 * 2.0 / (1 - 0.9), False),
        ({"loss": 1e30}, 0.0, False),
    ],
)
def test_what_counts_as_diverged(figures: dict[str, float], error: float, stops: bool) -> None:
    def look() -> None:
        refuse_divergence(figures, error=error, largest_reward=2.0, gamma=0.9, ranks=Ranks.alone())

    if not stops:
        look()
        return
    with pytest.raises(TrainingDiverged) as raised:
        look()
    assert isinstance(raised.value, InputError)


def test_without_a_reward_yet_no_scale_is_judged() -> None:
    refuse_divergence({"loss": 1.0}, error=1e9, largest_reward=0.0, gamma=0.9, ranks=Ranks.alone())
