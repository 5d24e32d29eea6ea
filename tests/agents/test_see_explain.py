"""What networks expect of candidates, against their own parts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from agents.checkpoint import LearnerConfig
from agents.dqn.config import DQNConfig
from agents.dqn.values import ChoiceValues
from agents.explain import _picked, explain, page_values
from agents.learned_policy import LearnedPolicy
from agents.learning import TrainingOptions, policy_of, train_agent
from agents.ppo.config import PPOConfig
from agents.ppo.policy import PlackettLucePolicy
from agents.response import Response
from envs.core import SlateCore
from envs.observation import Observation
from envs.toy import toy_world
from envs.world import RewardMix, TaskConfig

TASK = TaskConfig(slate_size=4, n_candidates=12, max_steps=5, reward=RewardMix(click=2.0, purchase=3.0))
WORLD = toy_world(n_items=60, n_queries=6, n_candidates=12, width=8)
PPO_SMALL = PPOConfig(n_envs=16, n_steps=4, batch_size=32, n_epochs=1)
DQN_SMALL = DQNConfig(n_envs=16, batch_size=32, buffer_size=640, learning_starts=64, train_freq=1)


def trained(config: LearnerConfig, task: TaskConfig = TASK) -> LearnedPolicy:
    torch.set_num_threads(1)
    return policy_of(
        train_agent(config, WORLD, task, total_steps=256, options=TrainingOptions(progress=False))
    )


def pages(n: int = 30) -> Observation:
    core = SlateCore(WORLD, TASK, n_users=n, seed=3)
    core.reset()
    seen = core.step(np.tile(np.arange(4), (n, 1))).observation
    seen.candidates[5, 9:] = -1
    seen.scores[5, 9:] = 0.0
    return seen


def tensors(seen: Observation) -> dict[str, Tensor]:
    return {name: torch.as_tensor(array) for name, array in seen.as_dict().items()}


@pytest.mark.parametrize("config", [PPO_SMALL, DQN_SMALL], ids=["ppo", "dqn"])
def test_now_is_the_response_models(config: LearnerConfig) -> None:
    policy, seen = trained(config), pages()
    found = explain(policy, seen, WORLD.features, TASK.reward)
    with torch.no_grad():
        if isinstance(config, PPOConfig):
            response = policy.network.response(policy.network.page(tensors(seen)))  # type: ignore[operator, union-attr]
        else:
            response = policy.network.q_net(tensors(seen)).response  # type: ignore[union-attr]
        places = torch.sigmoid(response.attraction.unsqueeze(2) + response.position)  # (B, N, K)
        click = places.double().mean(2).numpy()
        buy = torch.sigmoid(response.conversion).double().numpy()
    valid = seen.candidates >= 0
    np.testing.assert_allclose(found.click[valid], click[valid], rtol=1e-5)
    np.testing.assert_allclose(found.purchase[valid], buy[valid], rtol=1e-5)
    np.testing.assert_allclose(found.now[valid], (click * (2.0 + 3.0 * buy))[valid], rtol=1e-5)
    assert np.isnan(found.now[~valid]).all()
    assert (~valid).sum() == 3
    np.testing.assert_allclose(found.score[valid], policy.scores(seen)[valid], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.value, page_values(policy, seen), rtol=1e-5)


def test_later_is_what_item_values_hold_beyond_now() -> None:
    policy, seen = trained(DQN_SMALL), pages()
    found = explain(policy, seen, WORLD.features, TASK.reward)
    with torch.no_grad():
        items = policy.network.q_net(tensors(seen)).item_values().double().numpy()  # type: ignore[union-attr]
    valid = seen.candidates >= 0
    np.testing.assert_allclose((found.now + found.later)[valid], items[valid], rtol=1e-4, atol=1e-5)


def test_later_of_an_actor_is_the_mean_over_feedback_of_what_its_outlook_learns() -> None:
    """Every candidate shown alone and nothing, a click, or a click and a purchase happening, in units of reward."""
    policy, seen = trained(PPO_SMALL), pages()
    network = policy.network
    assert isinstance(network, PlackettLucePolicy)
    torch.nn.init.normal_(network.outlook.scorer.head.bias)  # 256 pages teach little
    found = explain(policy, seen, WORLD.features, TASK.reward)
    with torch.no_grad():
        page = network.page(tensors(seen))
        state, zero, one = network.critic(page), torch.zeros(30, 1), torch.ones(30, 1)
        bias = network.outlook.bias(state).squeeze(1)
        for n in range(12):
            shown = page.shown(torch.full((30, 1), n))
            nothing, click, purchase = (
                (network.unit * (network.outlook.realised(shown, state, *done) - bias)).double().numpy()
                for done in ((zero, zero), (one, zero), (one, one))
            )
            p, q = found.click[:, n], found.purchase[:, n]
            expected = (1 - p) * nothing + p * (1 - q) * click + p * q * purchase
            valid = seen.candidates[:, n] >= 0
            np.testing.assert_allclose(found.later[valid, n], expected[valid], rtol=1e-4, atol=1e-5)
            assert np.isnan(found.later[~valid, n]).all()
    assert np.nanstd(found.later) > 0.01


def test_values_are_in_units_of_reward() -> None:
    """A critic counts in clicks' worth: twice the reward, twice the value, from the same weights."""
    policy, seen = trained(PPO_SMALL), pages()
    with torch.no_grad():
        counted = policy.network.predict_values(tensors(seen)).flatten().double().numpy()  # type: ignore[operator, union-attr]
    unit = policy.network.unit  # type: ignore[union-attr]
    assert unit == 2.0  # the larger of a click's 2 and a fifth of a purchase's 3
    np.testing.assert_allclose(page_values(policy, seen), 2.0 * counted, rtol=1e-5)


def test_one_choice_a_page_by_hand() -> None:
    """Odds 1, 2, 4 and places worth 1 and 1/2: chances on the slate (2, 0), and of 1 in the last place."""
    page = ChoiceValues(
        untouched=torch.zeros(1),
        clicked=torch.ones(1, 3),
        purchased=torch.zeros(1, 3),
        response=Response(
            torch.log(torch.tensor([[1.0, 2.0, 4.0]])),
            torch.zeros(1, 3),
            torch.log(torch.tensor([1.0, 0.5])),
        ),
        valid=torch.ones(1, 3, dtype=torch.bool),
    )
    found = _picked(page, torch.tensor([[2, 0]]))
    # On the slate: 4 and 1 x 0.5 against the null choice's 1; in place of 0: 2 x 0.5.
    np.testing.assert_allclose(found.numpy(), [[0.5 / 5.5, 1.0 / 6.0, 4.0 / 5.5]], rtol=1e-6)
