from __future__ import annotations

import numpy as np
import pytest

from behavior.errors import InputError
from encoders.continual import (
    ContinualConfig,
    importance,
    load_state,
    save_state,
    start_state,
    update,
)
from encoders.heads import HeadConfig, fit_projection
from encoders.pairs import PairCounts
from encoders.relevance import Heads, project

HEAD = HeadConfig(steps=40, learning_rate=0.02, prior=0.0)


def world():
    """Six queries; the first three are asked in week 0, the others in week 1; what they mean is not what they say."""
    rng = np.random.default_rng(0)
    item = rng.normal(size=(60, 12)).astype(np.float32)
    item /= np.linalg.norm(item, axis=1, keepdims=True)
    query = rng.normal(size=(6, 12)).astype(np.float32)
    query /= np.linalg.norm(query, axis=1, keepdims=True)
    liked = np.array([rng.choice(60, 6, replace=False) for _ in range(6)])

    def week(asked):
        q = np.repeat(np.array(asked), 60).astype(np.int32)
        i = np.tile(np.arange(60), len(asked)).astype(np.int32)
        shown = np.full(len(q), 10.0)
        clicks = np.array([8.0 if n in liked[a] else 0.0 for a, n in zip(q, i, strict=True)])
        return PairCounts(
            query=q, item=i, impressions=shown, exposure=shown, clicks=clicks, purchases=np.zeros(len(q))
        )

    return item, query, week([0, 1, 2]), week([3, 4, 5]), liked


def surprise(heads: Heads, item, query, pairs) -> float:
    """Mean over queries of the cross-entropy between their clicks and the softmax of their scores."""
    score = (project(query, heads.projection) * heads.click_weight) @ project(item, heads.projection).T
    log_share = score - np.log(np.exp(score).sum(axis=1, keepdims=True))
    return float(-(pairs.clicks * log_share[pairs.query, pairs.item]).sum() / pairs.clicks.sum())


def test_what_is_replayed_or_held_is_not_forgotten() -> None:
    item, query, old, new, _ = world()
    plain = Heads.plain(12, click_scale=10.0, purchase_scale=1.0, bias=(-2.0, -2.0))
    first = fit_projection(plain, item, query, old, HEAD, progress=False)
    knew = surprise(first, item, query, old)
    assert knew < surprise(plain, item, query, old)
    kept, learned = {}, {}
    for way, strength in (("naive", 0.0), ("l2sp", 0.3), ("ewc", 0.3), ("replay", 0.0)):
        config = ContinualConfig(way=way, strength=strength, heads=HEAD)
        state = start_state(first, item, query, old, config)
        state = update(state, item, query, new, config, progress=False)
        kept[way] = surprise(state.heads, item, query, old)
        learned[way] = surprise(state.heads, item, query, new)
    assert max(learned.values()) < surprise(first, item, query, new)
    assert kept["naive"] > knew
    for way in ("l2sp", "ewc", "replay"):
        assert kept[way] < kept["naive"]
        assert learned[way] > learned["naive"]  # remembering has its price


def test_the_memory_is_an_even_draw_of_all_weeks_and_stays_small() -> None:
    item, query, old, new, _ = world()
    plain = Heads.plain(12, click_scale=10.0, purchase_scale=1.0, bias=(-2.0, -2.0))
    still = HeadConfig(steps=1)
    shares = []
    for seed in range(30):
        config = ContinualConfig(memory=60, heads=still, seed=seed)
        state = start_state(plain, item, query, old, config)
        assert state.memory.n_pairs == 60
        for _ in range(2):
            state = update(state, item, query, new, config, progress=False)
        assert state.memory.n_pairs == 60
        assert state.weeks == 3
        shares.append(np.mean(state.memory.query < 3))
    # One of three weeks asked the first queries: a third of the memory, 0.02 standard error over 30 seeds.
    assert np.mean(shares) == pytest.approx(1 / 3, abs=0.05)


def test_importance_is_the_mean_square_gradient() -> None:
    item, query, old, _, _ = world()
    heads = Heads.plain(12, click_scale=5.0, purchase_scale=1.0, bias=(-2.0, -2.0))
    matrix, weights = importance(heads, item, query, old, unshown_weight=0.3)
    # By differences: the listwise loss of each query, its first click weight moved by a little.
    squares = []
    for row in range(3):
        own = old.query == row
        rate = old.click_rate()[own] * (old.clicks[own] > 0)
        target = rate / rate.sum()

        def loss(move: float, row: int = row, target=target) -> float:
            weight = heads.click_weight.astype(np.float64).copy()
            weight[0] += move
            click = item.astype(np.float64) @ (query[row] * weight)
            return float((target * (np.log(np.exp(click).sum()) - click)).sum())

        squares.append(((loss(1e-4) - loss(-1e-4)) / 2e-4) ** 2)
    assert weights[0, 0] == pytest.approx(np.mean(squares), rel=1e-3)
    assert matrix.shape == (12, 12)
    assert (matrix >= 0).all()
    assert not weights[1].any()  # the listwise loss does not know the purchase head


def test_a_state_goes_through_the_disk(tmp_path) -> None:
    item, query, old, new, _ = world()
    plain = Heads.plain(12, click_scale=10.0, purchase_scale=1.0, bias=(-2.0, -2.0))
    for way in ("replay", "ewc"):
        config = ContinualConfig(way=way, memory=50, heads=HeadConfig(steps=2))
        state = start_state(plain, item, query, old, config)
        save_state(tmp_path / f"{way}.npz", state)
        again = load_state(tmp_path / f"{way}.npz")
        a, b = (update(given, item, query, new, config, progress=False) for given in (state, again))
        np.testing.assert_array_equal(a.heads.projection, b.heads.projection)
        np.testing.assert_array_equal(a.memory.item, b.memory.item)
        assert a.weeks == b.weeks == 2
    with pytest.raises(InputError, match="no such file"):
        load_state(tmp_path / "none.npz")


def test_numbers_that_moved_are_refused() -> None:
    item, query, old, new, _ = world()
    plain = Heads.plain(12, click_scale=10.0, purchase_scale=1.0, bias=(-2.0, -2.0))
    config = ContinualConfig(heads=HeadConfig(steps=1))
    state = start_state(plain, item, query, old, config)
    with pytest.raises(InputError, match="the memory speaks of"):
        update(state, item[:30], query, new.take(np.arange(5)), config, progress=False)
