"""Training, checkpoints, resuming and the policies that come out of it, in a small toy world."""

from __future__ import annotations

import errno
import json
import signal
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback

from agents.base import Draw, Policy
from agents.baselines import PopularityPolicy, RelevancePolicy
from agents.checkpoint import LearnerConfig, read_checkpoint
from agents.contract import check_policy
from agents.dqn.config import DQNConfig
from agents.learning import TrainingOptions, load_policy, policy_of, train_agent
from agents.ppo.config import PPOConfig
from agents.ppo.policy import PlackettLucePolicy
from agents.registry import AgentInputs, agent_names, learner_config, make_agent
from behavior.errors import InputError
from envs.core import SlateCore
from envs.observation import Observation
from envs.sb3 import SlateVecEnv
from envs.toy import toy_world
from envs.world import TaskConfig, World
from simulators.base import Feedback, SessionState

TASK = TaskConfig(slate_size=4, n_candidates=12, max_steps=5)
WORLD = toy_world(n_items=60, n_queries=6, n_candidates=12, width=8)
PPO_SMALL = PPOConfig(n_envs=16, n_steps=4, batch_size=32, n_epochs=1)
DQN_SMALL = DQNConfig(n_envs=16, batch_size=32, buffer_size=640, learning_starts=64, train_freq=1)
BOTH = pytest.mark.parametrize("config", [PPO_SMALL, DQN_SMALL], ids=["ppo", "dqn"])


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def play(policy: Policy, world: World, task: TaskConfig, n: int, seed: int = 99) -> np.ndarray:
    """Score of each of `n` sessions."""
    core = SlateCore(world, task, n_users=n, seed=seed, first_user=10**6)
    observation, score, over = core.reset(), np.zeros(n), np.zeros(n, np.bool_)
    for step in range(task.max_steps):
        draw = Draw(7, np.arange(n), np.full(n, step, np.int32))
        result = core.step(policy.rank(observation, draw, slate_size=task.slate_size))
        score += np.where(over, 0.0, result.score)
        over |= result.terminated | result.truncated
        observation = result.observation
    return score


def figures(policy: Policy) -> Mapping[str, float]:
    return {"score": float(play(policy, WORLD, TASK, 64).mean())}


def some_pages() -> Observation:
    core = SlateCore(WORLD, TASK, n_users=130, seed=3)
    core.reset()
    return core.step(np.tile(np.arange(4), (130, 1))).observation


@BOTH
def test_training_writes_what_it_promises(config: LearnerConfig, tmp_path: Path) -> None:
    options = TrainingOptions(
        folder=tmp_path,
        checkpoint_every=128,
        evaluate=figures,
        evaluate_every=256,
        tensorboard=tmp_path / "events",
        reference_scores={"random": 1.0, "oracle": 3.0},
        picture=lambda policy: np.zeros((8, 8, 3), np.uint8),
        log_every=128,
        progress=False,
    )
    model = train_agent(config, WORLD, TASK, total_steps=512, options=options)
    about = read_checkpoint(tmp_path / "last_model.zip")
    assert about.config == config
    assert about.num_timesteps == model.num_timesteps >= 512
    assert read_checkpoint(tmp_path / "best_model.zip").metrics["score"] > 0
    assert not list(tmp_path.glob(".*tmp"))
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path / "events"))
    events.Reload()
    scalars = set(events.Tags()["scalars"])
    assert {"eval/score", "eval/share_of_gap", "rollout/ep_rew_mean", "rollout/ep_len_mean"} <= scalars
    assert {"time/fps", "time/simulator_share", "time/update_share", "slate/clicks_at/04"} <= scalars
    assert {"train/click_loss", "train/purchase_loss"} <= scalars
    assert set(events.Tags()["images"]) == {"slate/first_pages", "slate/value_calibration"}
    share = events.Scalars("eval/share_of_gap")[-1].value
    assert share == pytest.approx((events.Scalars("eval/score")[-1].value - 1.0) / 2.0, rel=1e-5)

    pages = some_pages()
    loaded = load_policy(tmp_path / "last_model.zip", WORLD, TASK)
    np.testing.assert_array_equal(loaded.scores(pages), policy_of(model).scores(pages))


@BOTH
def test_equal_seeds_give_equal_weights(config: LearnerConfig) -> None:
    quiet = TrainingOptions(progress=False)
    one, two, other = (
        train_agent(config, WORLD, TASK, total_steps=256, seed=seed, options=quiet).policy.state_dict()
        for seed in (4, 4, 5)
    )
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


@BOTH
def test_scores_do_not_depend_on_the_batch(config: LearnerConfig) -> None:
    model = train_agent(config, WORLD, TASK, total_steps=256, options=TrainingOptions(progress=False))
    policy, pages = policy_of(model), some_pages()
    together = policy.scores(pages)
    for rows in ([0], [129], [5, 77, 3], list(range(70))):
        np.testing.assert_array_equal(policy.scores(pages.take(np.array(rows))), together[rows])


@BOTH
def test_a_policy_trained_without_context_passes_over_it(config: LearnerConfig, tmp_path: Path) -> None:
    policy = load_policy(_saved(config, _silent_world(), tmp_path), _silent_world(), TASK)
    page = some_pages()
    assert page.context.shape[1] > 0
    blind = replace(page, context=page.context[:, :0])
    np.testing.assert_array_equal(policy.scores(page), policy.scores(blind))


def _saved(config: LearnerConfig, world: World, folder: Path) -> Path:
    options = TrainingOptions(folder=folder, progress=False)
    train_agent(config, world, TASK, total_steps=64, options=options)
    return folder / "last_model.zip"


def _silent_world() -> World:
    """The toy world, whose users tell nothing of themselves."""
    talkative = WORLD.simulator

    class Silent:
        n_items, n_queries, slate_size = talkative.n_items, talkative.n_queries, talkative.slate_size
        context_size = 0

        def begin(self, users: NDArray[np.int64], *, seed: int) -> SessionState:
            state = talkative.begin(users, seed=seed)
            return replace(state, context=state.context[:, :0])

        def respond(self, state: SessionState, slates: NDArray[np.int32], *, seed: int) -> Feedback:
            return talkative.respond(state, slates, seed=seed)

    return replace(WORLD, simulator=Silent())


def test_ppo_propensities_are_the_law_it_samples_from() -> None:
    model = train_agent(PPO_SMALL, WORLD, TASK, total_steps=64, options=TrainingOptions(progress=False))
    policy, pages = policy_of(model, temperature=1.0), some_pages()
    draw = Draw(1, np.arange(130), np.zeros(130, np.int32))
    slates = policy.rank(pages, draw, slate_size=4)
    observation = {name: torch.as_tensor(array) for name, array in pages.as_dict().items()}
    with torch.no_grad():
        log_prob = model.policy.get_distribution(observation).log_prob(torch.as_tensor(slates))  # type: ignore[operator]
    np.testing.assert_allclose(policy.propensity(pages, slates).slate, log_prob.exp().numpy(), rtol=1e-4)


def test_plain_sb3_ppo_takes_the_policy() -> None:
    env = SlateVecEnv(16, WORLD, TASK)
    model = PPO(
        PlackettLucePolicy,
        env,
        n_steps=4,
        batch_size=32,
        n_epochs=1,
        ent_coef=0.01,
        device="cpu",
        policy_kwargs={"tables": WORLD.features},
    )
    model.learn(64)
    slates, _ = model.predict(env.reset(), deterministic=True)
    assert slates.shape == (16, 4)
    assert all(len(set(slate)) == 4 for slate in slates.tolist())


class Interrupt(BaseCallback):
    """Ctrl-C after some steps."""

    def _on_step(self) -> bool:
        if 200 <= self.num_timesteps < 216:
            signal.raise_signal(signal.SIGINT)
        return True


@BOTH
def test_ctrl_c_leaves_a_checkpoint_to_go_on_from(config: LearnerConfig, tmp_path: Path) -> None:
    options = TrainingOptions(folder=tmp_path, progress=False)
    with pytest.raises(KeyboardInterrupt):
        train_agent(config, WORLD, TASK, total_steps=512, options=options, callbacks=[Interrupt()])
    last = tmp_path / "last_model.zip"
    before = read_checkpoint(last)
    # It waits for the end of the rollout and its update, of which a half could not be gone on from.
    assert before.num_timesteps == (256 if isinstance(config, PPOConfig) else 208)
    model = train_agent(config, WORLD, TASK, total_steps=512, options=options, resume_from=last)
    assert 512 <= model.num_timesteps < 512 + 64
    assert read_checkpoint(last).num_timesteps == model.num_timesteps


@BOTH
def test_resuming_restores_weights_and_optimiser(config: LearnerConfig, tmp_path: Path) -> None:
    options = TrainingOptions(folder=tmp_path, progress=False)
    model = train_agent(config, WORLD, TASK, total_steps=256, options=options)
    last = tmp_path / "last_model.zip"
    same = train_agent(config, WORLD, TASK, total_steps=256, options=options, resume_from=last)
    for name, tensor in model.policy.state_dict().items():
        assert torch.equal(tensor, same.policy.state_dict()[name])
    mine, theirs = (m.policy.optimizer.state_dict()["state"] for m in (model, same))
    assert mine
    assert all(torch.equal(mine[i]["exp_avg"], theirs[i]["exp_avg"]) for i in mine)


@BOTH
def test_a_warm_start_takes_the_weights_and_their_moments_alone(
    config: LearnerConfig, tmp_path: Path
) -> None:
    options = TrainingOptions(folder=tmp_path, progress=False)
    teacher = train_agent(config, WORLD, TASK, total_steps=256, seed=1, options=options)
    last, quiet = tmp_path / "last_model.zip", TrainingOptions(progress=False)
    slower = replace(config, learning_rate=config.learning_rate / 2)
    pupil = train_agent(slower, WORLD, TASK, total_steps=0, seed=2, options=quiet, start_from=last)
    for name, tensor in teacher.policy.state_dict().items():
        assert torch.equal(tensor, pupil.policy.state_dict()[name])
    assert pupil.num_timesteps == 0
    mine, theirs = (m.policy.optimizer.state_dict() for m in (teacher, pupil))
    assert mine["state"]
    for i, moments in mine["state"].items():
        assert all(torch.equal(moments[key], theirs["state"][i][key]) for key in ("exp_avg", "exp_avg_sq"))
    assert theirs["param_groups"][0]["lr"] != mine["param_groups"][0]["lr"]
    other = replace(TASK, slate_size=3)
    with pytest.raises(InputError, match="slate_size is 4 there and 3 here"):
        train_agent(config, WORLD, other, total_steps=64, options=quiet, start_from=last)


def test_a_policy_alone_is_not_gone_on_from(tmp_path: Path) -> None:
    options = TrainingOptions(folder=tmp_path, evaluate=figures, progress=False)
    train_agent(PPO_SMALL, WORLD, TASK, total_steps=64, options=options)
    best = tmp_path / "best_model.zip"
    with pytest.raises(InputError, match="not the state of its training"):
        train_agent(PPO_SMALL, WORLD, TASK, total_steps=128, resume_from=best)
    with zipfile.ZipFile(tmp_path / "last_model.zip") as archive:
        meta = json.loads(archive.read("slategym.json")) | {"format": 1}
    with zipfile.ZipFile(tmp_path / "old.zip", "w") as archive:
        archive.writestr("slategym.json", json.dumps(meta))
    with pytest.raises(InputError, match="of an earlier version"):
        read_checkpoint(tmp_path / "old.zip")


def test_another_configuration_is_refused(tmp_path: Path) -> None:
    options = TrainingOptions(folder=tmp_path, progress=False)
    train_agent(PPO_SMALL, WORLD, TASK, total_steps=64, options=options)
    last = tmp_path / "last_model.zip"
    cases: list[tuple[LearnerConfig, TaskConfig, str]] = [
        (DQN_SMALL, TASK, "agent is PPOConfig there and DQNConfig here"),
        (PPOConfig(n_envs=16, n_steps=4, batch_size=32, n_epochs=1, gamma=0.5), TASK, "gamma is 0.97 there"),
        (PPO_SMALL, TaskConfig(slate_size=3, n_candidates=12, max_steps=5), "slate_size is 4 there"),
    ]
    bytes_before = last.read_bytes()
    for config, task, message in cases:
        with pytest.raises(InputError, match=message):
            train_agent(config, WORLD, task, total_steps=128, options=options, resume_from=last)
    with pytest.raises(InputError, match="n_candidates is 12 there and 10 here"):
        load_policy(last, WORLD, TaskConfig(slate_size=4, n_candidates=10, max_steps=5))
    other = toy_world(n_items=60, n_queries=6, n_candidates=12, width=8, seed=1)
    with pytest.raises(InputError, match="tables is"):
        train_agent(PPO_SMALL, other, TASK, total_steps=128, options=options, resume_from=last)
    assert last.read_bytes() == bytes_before


def test_changed_relevance_prices_or_margins_are_refused(tmp_path: Path) -> None:
    last = _saved(PPO_SMALL, WORLD, tmp_path)
    features = WORLD.features
    relevance = replace(features.relevance, purchase_bias=features.relevance.purchase_bias + 0.5)
    quiet = TrainingOptions(progress=False)
    for part, changed in (
        ("relevance", replace(features, relevance=relevance)),
        ("prices", replace(features, price=features.price * np.float32(2))),
        ("prices", replace(features, margin=np.full(60, 0.3, np.float32))),
    ):
        world = replace(WORLD, features=changed)
        with pytest.raises(InputError, match=f"{part} is"):
            load_policy(last, world, TASK)
        for how in ({"resume_from": last}, {"start_from": last}):
            with pytest.raises(InputError, match=f"{part} is"):
                train_agent(PPO_SMALL, world, TASK, total_steps=128, options=quiet, **how)


def test_checkpoints_that_do_not_name_prices_still_load(tmp_path: Path) -> None:
    last, old = _saved(PPO_SMALL, WORLD, tmp_path), tmp_path / "old.zip"
    with zipfile.ZipFile(last) as archive, zipfile.ZipFile(old, "w") as rewritten:
        for name in archive.namelist():
            data = archive.read(name)
            if name == "slategym.json":
                meta = json.loads(data)
                del meta["task"]["prices"], meta["task"]["relevance"]
                data = json.dumps(meta).encode()
            rewritten.writestr(name, data)
    page = some_pages()
    np.testing.assert_array_equal(
        load_policy(old, WORLD, TASK).scores(page), load_policy(last, WORLD, TASK).scores(page)
    )
    quiet = TrainingOptions(progress=False)
    train_agent(PPO_SMALL, WORLD, TASK, total_steps=128, options=quiet, resume_from=old)


def test_broken_checkpoints_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such checkpoint"):
        read_checkpoint(tmp_path / "none.zip")
    (tmp_path / "torn.zip").write_bytes(b"PK\x03\x04 torn")
    with pytest.raises(InputError, match="not a checkpoint"):
        read_checkpoint(tmp_path / "torn.zip")
    train_agent(
        PPO_SMALL, WORLD, TASK, total_steps=64, options=TrainingOptions(folder=tmp_path, progress=False)
    )
    with zipfile.ZipFile(tmp_path / "last_model.zip") as archive:
        meta = json.loads(archive.read("slategym.json"))
    meta["config"]["unknown"] = 1
    with zipfile.ZipFile(tmp_path / "later.zip", "w") as archive:
        archive.writestr("slategym.json", json.dumps(meta))
    with pytest.raises(InputError, match="not ours"):
        read_checkpoint(tmp_path / "later.zip")


def test_a_full_disk_is_one_message_and_keeps_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = TrainingOptions(folder=tmp_path, progress=False)
    train_agent(PPO_SMALL, WORLD, TASK, total_steps=64, options=options)
    before = (tmp_path / "last_model.zip").read_bytes()

    def full(fd: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(InputError, match="no room left"):
        train_agent(PPO_SMALL, WORLD, TASK, total_steps=64, options=options)
    assert (tmp_path / "last_model.zip").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["last_model.zip"]


@pytest.mark.parametrize(("n_envs", "expected"), [(16, 32), (12, 24), (7, 28), (100, 25), (13, 26)])
def test_minibatches_divide_the_rollout(n_envs: int, expected: int) -> None:
    config = PPOConfig(n_envs=n_envs, n_steps=4, batch_size=32, n_epochs=1)
    options = TrainingOptions(progress=False)
    model = train_agent(config, WORLD, TASK, total_steps=n_envs, options=options)
    assert model.batch_size == expected


def test_registry_knows_its_agents() -> None:
    inputs = AgentInputs(features=WORLD.features)
    assert agent_names()[:2] == ("ppo", "dqn")
    for name in ("random", "popularity", "relevance", "mmr"):
        draw = Draw(0, np.arange(130), np.zeros(130, np.int32))
        assert make_agent(name, inputs).rank(some_pages(), draw, slate_size=4).shape == (130, 4)
    with pytest.raises(InputError, match="unknown agent 'popularty'") as error:
        make_agent("popularty", inputs)
    assert "did you mean 'popularity'" in error.value.mend
    with pytest.raises(InputError, match="has to be trained"):
        make_agent("ppo", inputs)
    with pytest.raises(InputError, match="fitted to a log"):
        make_agent("click-greedy", inputs)
    with pytest.raises(InputError, match="no setting 'learning_rte'"):
        learner_config("dqn", learning_rte=1.0)
    assert learner_config("dqn", gamma=0.5, n_envs=None) == DQNConfig(gamma=0.5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ppo", "dqn"])
def test_learners_beat_relevance_and_popularity(name: str) -> None:
    """Paired over the same 1,000 users; the difference exceeds four standard errors."""
    world, task = toy_world(), TaskConfig()
    model = train_agent(
        learner_config(name), world, task, total_steps=60_000, options=TrainingOptions(progress=False)
    )
    learned = play(policy_of(model), world, task, 1000)
    for rival in (RelevancePolicy(), PopularityPolicy(world.features)):
        difference = learned - play(rival, world, task, 1000)
        assert difference.mean() > 4 * difference.std() / np.sqrt(1000)


@BOTH
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_learned_policies_keep_the_contract(config: LearnerConfig, temperature: float) -> None:
    model = train_agent(config, WORLD, TASK, total_steps=128, options=TrainingOptions(progress=False))
    policy = policy_of(model, temperature=temperature)
    assert len(check_policy(policy, some_pages().take(np.arange(20)), slate_size=4)) == 8
