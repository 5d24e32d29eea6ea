"""The replay against a plain record of everything that was put into it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from numpy.typing import NDArray

from agents.dqn.replay import BlockReplay, Blocks

B, K, N, LIMIT = 3, 2, 5, 4
SPACE = spaces.Dict(
    {
        "candidates": spaces.Box(-1, 99, (N,), np.int32),
        "seen": spaces.Box(0.0, 4.0, (N,), np.float32),
        "progress": spaces.Box(0.0, 1.0, (1,), np.float32),
    }
)
ACTIONS = spaces.MultiDiscrete([N] * K)


def page(rng: np.random.Generator, rows: int) -> dict[str, NDArray[Any]]:
    return {
        "candidates": rng.integers(-1, 99, (rows, N)).astype(np.int32),
        "seen": rng.integers(0, 4, (rows, N)).astype(np.float32),
        "progress": rng.random((rows, 1)).astype(np.float32),
    }


class Record:
    """Sessions that end at random or at the limit, put into a replay and written down."""

    def __init__(self, steps: int, *, rows: int = 10, bootstrap: bool = True, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.replay = BlockReplay(
            rows * B, SPACE, ACTIONS, n_envs=B, max_steps=LIMIT, bootstrap_at_limit=bootstrap
        )
        self.steps: list[dict[str, Any]] = []
        age, observation = np.zeros(B, np.int64), page(rng, B)
        for t in range(steps):
            age += 1
            terminated = rng.random(B) < 0.2
            truncated = ~terminated & (age == LIMIT)
            age[terminated | truncated] = 0
            step = {
                "slates": rng.integers(0, N, (B, K)),
                "click": rng.integers(0, 2, (B, K)).astype(np.float32),
                "purchase": rng.integers(0, 2, (B, K)).astype(np.float32),
                # The reward names the page: step and user.
                "reward": (10.0 * t + np.arange(B)).astype(np.float32),
                "terminated": terminated,
                "truncated": truncated,
                "explored": rng.random(B) < 0.5,
                "last": page(rng, int(truncated.sum())),
            }
            self.replay.put(observation, **step)
            self.steps.append(step | {"observation": observation})
            observation = page(rng, B)


def check(record: Record, batch: Blocks, oldest: int) -> None:
    length, n_blocks = batch.reward.shape
    steps = record.steps
    for i in range(length):
        for m in range(n_blocks):
            t, b = divmod(int(batch.reward[i, m]), 10)
            assert oldest <= t < len(steps) - 1
            if i:
                assert batch.reward[i, m] == batch.reward[i - 1, m] + 10  # the same user's next page
            step = steps[t]
            np.testing.assert_array_equal(batch.slates[i, m], step["slates"][b])
            np.testing.assert_array_equal(batch.click[i, m], step["click"][b])
            np.testing.assert_array_equal(batch.purchase[i, m], step["purchase"][b])
            assert bool(batch.explored[i, m]) == step["explored"][b]
            cut = step["truncated"][b] and record.replay.bootstrap_at_limit
            over = step["terminated"][b] or (step["truncated"][b] and not cut)
            assert float(batch.going_on[i, m]) == float(not over)
            assert bool(batch.ended[i, m]) == (step["terminated"][b] or step["truncated"][b])
            after = int(batch.successor[i, m])
            for name, rows in batch.observations.items():
                np.testing.assert_array_equal(rows[i * n_blocks + m], step["observation"][name][b])
                if cut:
                    expected = step["last"][name][int(step["truncated"][:b].sum())]
                else:
                    expected = steps[t + 1]["observation"][name][b]
                np.testing.assert_array_equal(rows[after], expected)


@pytest.mark.parametrize("steps", [3, 10, 11, 57])
@pytest.mark.parametrize("bootstrap", [True, False])
def test_blocks_are_what_happened(steps: int, bootstrap: bool) -> None:
    record = Record(steps, bootstrap=bootstrap)
    rng = np.random.default_rng(1)
    for length in (1, 2, 4):
        batch = record.replay.sample(60, length, rng)
        assert batch.reward.shape[0] == min(length, min(steps, 10) - 1)
        check(record, batch, oldest=max(0, steps - 10))


def test_all_pages_but_the_newest_are_drawn_alike() -> None:
    record = Record(23)
    drawn = record.replay.sample(27_000, 1, np.random.default_rng(0)).reward.flatten().numpy()
    pages, counts = np.unique(drawn, return_counts=True)
    assert sorted(pages) == [10.0 * t + b for t in range(13, 22) for b in range(B)]
    expected = 1_000.0
    chi_square = float((np.square(counts - expected) / expected).sum())
    assert chi_square < 54.1  # the 99.9th percentile at 26 degrees of freedom


def test_recent_pages_only() -> None:
    record = Record(23)
    drawn = record.replay.sample(500, 1, np.random.default_rng(0), recent=4 * B).reward
    assert sorted({int(r) // 10 for r in drawn.flatten().tolist()}) == [19, 20, 21]


@pytest.mark.parametrize("steps", [4, 25])
def test_a_restored_replay_draws_and_goes_on_alike(steps: int) -> None:
    one, other = Record(steps).replay, Record(1, seed=5).replay
    other.restore(one.save())
    assert len(one) == len(other)
    more = Record(12, seed=9).steps
    for replay in (one, other):
        for step in more:
            observation = step["observation"]
            replay.put(observation, **{name: step[name] for name in step if name != "observation"})
    first, second = (replay.sample(40, 3, np.random.default_rng(2)) for replay in (one, other))
    for name in first.observations:
        np.testing.assert_array_equal(first.observations[name], second.observations[name])
    for mine, theirs in zip(first[1:], second[1:], strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_numbers_are_kept_small() -> None:
    record = Record(3)
    saved = record.replay.save()
    assert saved["observation.seen"].dtype == np.uint8
    assert saved["observation.candidates"].dtype == np.int32
    assert saved["click"].dtype == saved["purchase"].dtype == np.uint8
    assert saved["reward"].shape == (3, B)
