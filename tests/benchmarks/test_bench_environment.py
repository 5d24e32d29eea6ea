from __future__ import annotations

import numpy as np
import pytest

import benchmarks  # noqa: F401  (points numba's cache)
from benchmarks.reference_step import ReferenceStep
from benchmarks.speed.timing import Contestant, in_turn, pages, turning
from benchmarks.speed.worlds import TASK, speed_world
from envs.world import World

B = 96


@pytest.fixture(scope="module")
def world() -> World:
    return speed_world(400, width=8)


def test_queries_of_the_speed_world_reach_all_over_the_catalogue() -> None:
    world = speed_world(20_000, width=8)
    assert world.features.n_queries == 200
    shown = np.unique(world.candidates.items)
    assert np.histogram(shown, bins=20, range=(0, 20_000))[0].min() > 100  # of 1,000 in each twentieth


def test_the_reference_does_a_whole_step(world: World) -> None:
    naive = ReferenceStep(world, TASK, n_users=B)
    slates = pages(B, TASK.n_candidates, TASK.slate_size, distinct=True)
    counts: list[dict[int, int]] = [{} for _ in range(B)]
    ended = 0
    for i in range(40):
        query, page, user = naive.query.copy(), naive.pages.copy(), naive.user.copy()
        naive.step(slates[i % len(slates)])
        shown = world.candidates.items[query[:, None], slates[i % len(slates)]]  # (B, K)
        relevance = world.candidates.scores[query[:, None], slates[i % len(slates)]].mean(axis=1)
        expected = naive.click.sum(axis=1) + 5.0 * naive.purchase.sum(axis=1) + relevance
        np.testing.assert_allclose(naive.reward, expected, rtol=1e-6)
        assert not (naive.purchase > naive.click).any()
        over = naive.terminated | naive.truncated
        ended += int(over.sum())
        assert not (naive.terminated & naive.truncated).any()
        np.testing.assert_array_equal(naive.truncated, ~naive.terminated & (page + 1 == TASK.max_steps))
        np.testing.assert_array_equal(naive.user, np.where(over, user + B, user))
        np.testing.assert_array_equal(naive.pages, np.where(over, 0, page + 1))
        for b in range(B):
            if over[b]:
                counts[b] = {}
                assert (naive.last_slate[b] == -1).all()
                continue
            for item in shown[b]:
                counts[b][int(item)] = counts[b].get(int(item), 0) + 1
            np.testing.assert_array_equal(naive.last_slate[b], shown[b])
            np.testing.assert_array_equal(naive.last_click[b], naive.click[b])
            clicked = shown[b][naive.click[b] > 0][::-1]
            np.testing.assert_array_equal(naive.clicked[b][: clicked.size], clicked[: TASK.history])
        np.testing.assert_array_equal(naive.candidates, world.candidates.items[naive.query])
        np.testing.assert_array_equal(naive.scores, world.candidates.scores[naive.query])
        seen = [[counts[b].get(int(item), 0) for item in naive.candidates[b]] for b in range(B)]
        np.testing.assert_array_equal(naive.seen, seen)
    assert ended > B  # both branches were walked


def test_the_parallel_reference_gives_the_same_bits(world: World) -> None:
    one, many = (ReferenceStep(world, TASK, n_users=B, parallel=parallel) for parallel in (False, True))
    slates = pages(B, TASK.n_candidates, TASK.slate_size, distinct=True)
    for slate in slates:
        one.step(slate)
        many.step(slate)
        for name in ("reward", "click", "purchase", "candidates", "seen", "taste", "boredom", "progress"):
            np.testing.assert_array_equal(getattr(one, name), getattr(many, name), err_msg=name)


def test_pages_are_drawn_as_they_say() -> None:
    distinct = pages(200, 100, 10, distinct=True)
    assert all(np.unique(row).size == 10 for page in distinct for row in page)
    sampled = np.concatenate(pages(200, 100, 10, distinct=False))
    repeats = np.mean([np.unique(row).size < 10 for row in sampled])
    # 1 - 100!/(90! 100^10) = 0.372 of slates repeat; 3,200 of them: five standard errors are 0.043
    assert abs(repeats - 0.372) < 0.043


def test_contestants_take_turns() -> None:
    order: list[str] = []

    def contestant(name: str) -> Contestant:
        return Contestant(step=lambda i: None, per_call=1, before=lambda: order.append(name))

    rates = in_turn({name: contestant(name) for name in "ab"}, seconds=0.001, rounds=3)
    assert order == ["a", "b"] * 3
    assert {name: len(found) for name, found in rates.items()} == {"a": 3, "b": 3}


def test_turning_goes_round() -> None:
    seen: list[int] = []
    step = turning(lambda slate: seen.append(int(slate[0, 0])), [np.full((1, 1), j) for j in range(3)])
    for i in range(5):
        step(i)
    assert seen == [0, 1, 2, 0, 1]
