"""Playing on from a page: unbiased against enumeration, paired, and blind to the environment's own chance."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from agents.baselines import RelevancePolicy
from agents.counterfactual import Continuations, play_on, swapped, take_rows
from encoders.features import CandidateTable
from envs.core import SlateCore
from envs.toy import toy_world
from envs.world import RewardMix, TaskConfig, World
from simulators.base import Feedback, SessionState
from simulators.kernels.rng import Purpose, gumbel_table

GAMMA = 0.9
CLICK = np.array([0.8, 0.5, 0.2])  # of items 0, 1, 2
STAY = np.array([0.25, 0.5, 0.9])


class Shop:
    """Every item has a click chance and a chance that the user stays after it; nothing else matters."""

    n_items, n_queries, context_size, slate_size = 3, 1, 0, None

    def begin(self, users: NDArray[np.int64], *, seed: int) -> SessionState:
        n = users.shape[0]
        return SessionState(
            users.astype(np.int64),
            np.zeros(n, np.int32),
            np.zeros(n, np.int32),
            np.zeros((n, 0), np.float32),
            np.zeros((n, 0), np.float32),
        )

    def respond(self, state: SessionState, slates: NDArray[np.int32], *, seed: int) -> Feedback:
        noise = gumbel_table(seed, state.user, state.step, Purpose.CLICK, 2)
        chance = np.exp(-np.exp(-noise))  # (B, 2) uniform: a Gumbel number through its distribution function
        item = slates[:, 0]
        click = (chance[:, :1] < CLICK[item][:, None]).astype(np.uint8)
        left = chance[:, 1] >= STAY[item]
        state.step += 1
        return Feedback(click=click, purchase=np.zeros_like(click), left=left)


TASK = TaskConfig(slate_size=1, n_candidates=3, max_steps=4, reward=RewardMix(relevance=0.0))


def shop_world() -> World:
    toy = toy_world(n_items=3, n_queries=1, n_candidates=3, width=4)
    scores = np.array([[0.9, 0.5, 0.1]], np.float32)  # relevance order shows item 0 for ever
    return World(
        simulator=Shop(),
        candidates=CandidateTable(items=np.array([[0, 1, 2]], np.int32), scores=scores),
        features=toy.features,
    )


def later_by_hand(item: int, pages_left: int) -> float:
    """Discounted clicks after a page with `item`, where item 0 follows, by the chain of stays."""
    total, alive = 0.0, STAY[item]
    for t in range(1, pages_left + 1):
        total += GAMMA**t * alive * CLICK[0]
        alive *= STAY[0]
    return float(total)


def start(n: int = 3) -> dict[str, NDArray[np.generic]]:
    core = SlateCore(shop_world(), TASK, n_users=n, seed=5)
    core.reset()
    return core.save_state()


def test_unbiased_against_enumeration() -> None:
    """The user at the first page, shown each of the three items: means within four standard errors."""
    one = take_rows(start(), np.zeros(3, np.int64))
    found = play_on(
        RelevancePolicy(), shop_world(), TASK, one, np.array([[0], [1], [2]]), rollouts=1000, gamma=GAMMA
    )
    for item in range(3):
        for told, expected in ((found.now, CLICK[item]), (found.later, later_by_hand(item, 3))):
            error = told[:, item].std() / np.sqrt(told.shape[0])
            assert abs(told[:, item].mean() - expected) < 4 * error
    gain, error = found.later_than(np.array([2, 0]), np.array([0, 0]))
    assert gain[0] == pytest.approx(later_by_hand(2, 3) - later_by_hand(0, 3), abs=4 * error[0])
    assert (gain[1], error[1]) == (0.0, 0.0)  # the same page, the same chance


def test_pairing_makes_differences_surer() -> None:
    one = take_rows(start(), np.zeros(2, np.int64))
    found = play_on(
        RelevancePolicy(), shop_world(), TASK, one, np.array([[0], [2]]), rollouts=300, gamma=GAMMA
    )
    paired = (found.later[:, 1] - found.later[:, 0]).var()
    apart = (found.later[:, 1] - np.roll(found.later[:, 0], 1)).var()
    assert paired < 0.9 * apart


def test_the_last_page_has_no_later() -> None:
    core = SlateCore(shop_world(), TASK, n_users=64, seed=5)
    core.reset()
    for _ in range(3):
        core.step(np.full((64, 1), 2))
    last = np.flatnonzero(core.state.step == 3)
    assert last.size > 10
    saved = take_rows(core.save_state(), last)
    found = play_on(
        RelevancePolicy(),
        shop_world(),
        TASK,
        saved,
        np.zeros((last.size, 1), np.int64),
        rollouts=5,
        gamma=GAMMA,
    )
    assert not found.later.any()
    assert found.now.any()


def test_rows_do_not_depend_on_each_other() -> None:
    """A user alone and among others, who leave at other times, is played on with the same chance."""
    saved = start(40)
    pages = np.arange(40)[:, None] % 3
    together = play_on(RelevancePolicy(), shop_world(), TASK, saved, pages, rollouts=4, gamma=GAMMA)
    for row in (0, 7, 39):
        alone = play_on(
            RelevancePolicy(),
            shop_world(),
            TASK,
            take_rows(saved, np.array([row])),
            pages[row : row + 1],
            rollouts=4,
            gamma=GAMMA,
        )
        np.testing.assert_array_equal(alone.later[:, 0], together.later[:, row])
        np.testing.assert_array_equal(alone.now[:, 0], together.now[:, row])


def test_the_environment_is_not_foretold() -> None:
    """Planner's chance is not the environment's: what did happen is no likelier than anything else."""
    core = SlateCore(shop_world(), TASK, n_users=2000, seed=5)
    core.reset()
    saved, pages = core.save_state(), np.ones((2000, 1), np.int64)
    happened = core.step(pages).reward
    found = play_on(RelevancePolicy(), shop_world(), TASK, saved, pages, rollouts=1, gamma=GAMMA)
    agreeing = (found.now[0] == happened).mean()
    assert agreeing == pytest.approx(0.5, abs=4 * np.sqrt(0.25 / 2000))


def test_nothing_is_touched() -> None:
    saved = start()
    before = {name: array.copy() for name, array in saved.items()}
    play_on(RelevancePolicy(), shop_world(), TASK, saved, np.zeros((3, 1), np.int64), rollouts=2, gamma=1.0)
    for name, array in before.items():
        np.testing.assert_array_equal(saved[name], array)


def test_small_parts() -> None:
    slate = np.array([4, 7, 1])
    assert swapped(slate, 1, 9).tolist() == [4, 9, 1]
    assert slate.tolist() == [4, 7, 1]
    made = Continuations(now=np.zeros((2, 2)), later=np.array([[1.0, 0.0], [4.0, 1.0]]))
    gain, error = made.later_than(np.array([0]), np.array([1]))
    assert gain.tolist() == [2.0]  # of differences 1 and 3
    assert error.tolist() == [1.0]  # their standard deviation, sqrt(2), over sqrt(2)
