"""SlateQ where it is exact: a user picks one item or none, and only that moves the state."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from agents.dqn.config import DQNConfig
from agents.dqn.learner import SlateDQN
from agents.dqn.pick_one import PickOne
from agents.dqn.returns import block_returns
from agents.dqn.values import ChoiceValues
from agents.learning import TrainingOptions, train_agent
from agents.network_config import NetworkConfig
from agents.response import Response
from envs.core import SlateCore
from envs.world import RewardMix, TaskConfig

GAMMA = 0.9


def values_of(q: Tensor, task: PickOne, states: Tensor) -> ChoiceValues:
    """Choice values of item-wise values q (S, I + 1), the null choice last, with the true choice model."""
    rows = q[states]
    attraction = torch.from_numpy(np.log(task.odds))[states]
    gain = rows[:, :-1] - rows[:, -1:]
    return ChoiceValues(
        untouched=rows[:, -1],
        clicked=gain,
        purchased=torch.zeros_like(gain),
        response=Response(attraction, torch.zeros_like(gain), torch.from_numpy(np.log(task.looked))),
        valid=torch.ones_like(gain, dtype=torch.bool),
    )


def every_slate(q: Tensor, task: PickOne) -> Tensor:
    """Q(s, A) (S, A) by the decomposition."""
    slates, n_states = torch.from_numpy(task.slates), q.shape[0]
    states = torch.arange(n_states).repeat_interleave(len(slates))
    values = values_of(q, task, states)
    return values.slate_value(slates.repeat(n_states, 1)).view(n_states, -1)


def item_backup(q: Tensor, task: PickOne) -> Tensor:
    """SlateQ's target of every state and choice, (S, I + 1): Ie et al. (2019), eq. 12."""
    values = values_of(q, task, torch.arange(q.shape[0]))
    best = values.slate_value(values.best_slates("exact"))  # (S,)
    after, leave = torch.from_numpy(task.after), torch.from_numpy(task.leave)
    reward = torch.ones_like(q)
    reward[:, -1] = 0.0
    return block_returns(
        reward, best[after], 1.0 - leave, torch.ones_like(after, dtype=torch.bool), gamma=GAMMA, n_steps=1
    )


@pytest.mark.parametrize("seed", range(4))
def test_target_agrees_with_a_brute_force_bellman_backup(seed: int) -> None:
    task = PickOne.drawn(seed, slate_size=3)
    q = torch.randn((3, 6), generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 5.0
    before = every_slate(q, task).numpy()
    after = every_slate(item_backup(q, task), task).numpy()
    # Every slate, every choice, every next slate, by hand.
    expected = np.zeros_like(before)
    for s in range(3):
        for a, slate in enumerate(task.slates):
            weight = np.append(task.odds[s, slate] * task.looked, 1.0)
            for choice, chance in zip([*slate, 5], weight / weight.sum(), strict=True):
                later = (1.0 - task.leave[s, choice]) * before[task.after[s, choice]].max()
                expected[s, a] += chance * (float(choice < 5) + GAMMA * later)
    np.testing.assert_allclose(after, expected, rtol=1e-10)


@pytest.mark.parametrize("seed", range(4))
def test_item_wise_iteration_converges_to_the_exact_values(seed: int) -> None:
    task = PickOne.drawn(seed)
    q = torch.zeros((3, 6), dtype=torch.float64)
    for _ in range(300):
        q = item_backup(q, task)
    np.testing.assert_allclose(every_slate(q, task), task.solve(GAMMA), atol=1e-8)


def test_users_answer_as_the_task_says() -> None:
    task = PickOne.drawn(1)
    n = 60_000
    core = SlateCore(task.world(), TaskConfig(slate_size=2, n_candidates=5, max_steps=50), n_users=n, seed=3)
    core.reset()
    here = core.state.hidden[:, 0].astype(np.int64)
    result = core.step(np.tile([3, 1], (n, 1)))
    chance = task.chances()[:, task.slates.tolist().index([3, 1])]  # (S, K + 1)
    for s in range(3):
        mine = here == s
        picked = result.feedback.click[mine].mean(axis=0)
        error = 4.0 * np.sqrt(0.25 / mine.sum())
        np.testing.assert_allclose(picked, chance[s, :2], atol=error)
        none = mine & ~result.feedback.click.any(axis=1)
        assert abs(result.feedback.left[none].mean() - task.leave[s, 5]) < 4.0 * np.sqrt(0.25 / none.sum())


@pytest.mark.slow
def test_learned_values_converge_to_the_exact_ones() -> None:
    """The network, its learned choice model and the exact optimiser, from sampled sessions alone."""
    torch.set_num_threads(1)
    task = PickOne.drawn(2)
    exact = task.solve(GAMMA)
    config = DQNConfig(
        choice="multinomial",
        optimiser="exact",
        n_envs=64,
        gamma=GAMMA,
        buffer_size=60_000,
        learning_starts=2_000,
        train_freq=1,
        gradient_steps=1,
        batch_size=1_024,
        block=2,
        n_steps=1,
        target_update_interval=1_000,
        exploration_final_eps=0.5,
        exploration_temperature=1.0,
        learning_rate=2e-3,
        item_rate=1.0,
        network=NetworkConfig(value_scale=2.0),
    )
    bound = TaskConfig(slate_size=2, n_candidates=5, max_steps=100, reward=RewardMix(relevance=0.0))
    model = train_agent(
        config, task.world(), bound, total_steps=30_000, seed=1_000, options=TrainingOptions(progress=False)
    )
    core = SlateCore(task.world(), bound, n_users=300, seed=8, first_user=10**6)
    core.reset()
    for page in ([0, 1], [2, 3], [4, 0]):
        later = core.step(np.tile(page, (300, 1))).observation
    states = core.state.hidden[:, 0].astype(np.int64)
    slates = torch.from_numpy(task.slates)
    observation = {name: torch.from_numpy(array) for name, array in later.as_dict().items()}
    assert isinstance(model, SlateDQN)
    with torch.no_grad():
        learned = [
            model.policy.q_net(observation).slate_value(slate.expand(300, -1)).numpy() for slate in slates
        ]
    found = np.stack(learned, axis=1)  # (300, A)
    spread = exact.max() - exact.min()
    error = np.sqrt(np.square(found - exact[states]).mean())
    assert error < 0.1 * spread
    best = exact[states, found.argmax(axis=1)]
    assert (exact[states].max(axis=1) - best).mean() < 0.03 * spread
