"""The forms that the benchmark fits, where they are exact."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from agents.exact import TinyGame
from benchmarks.slateq import FORMS, SHOPS, fitted, tiny_shop
from envs.world import TaskConfig
from simulators.shopper import ShopperSimulator

PAGES = np.array(list(itertools.permutations(range(5), 2)), np.int32)
CLICK, LOOKED = np.array([0.1, 0.4, 0.3, 0.2, 0.6]), np.array([1.0, 0.5])
VECTORS = np.eye(5, dtype=np.float32)
VECTORS[1] = [0.6, 0.8, 0.0, 0.0, 0.0]


def test_each_form_finds_its_own_values_again() -> None:
    rng = np.random.default_rng(0)
    item, shown = rng.normal(size=5), rng.normal(size=5)
    odds = CLICK / (1.0 - CLICK)
    weight = odds[PAGES] * LOOKED
    choice = (2.0 + (weight * item[PAGES]).sum(1)) / (1.0 + weight.sum(1))
    additive = 3.0 + shown[PAGES].sum(1) + (LOOKED * item[PAGES]).sum(1)
    alike = np.isin(PAGES, [0, 1]).all(axis=1)
    crowded = additive - 0.5 * alike * (2.0 * 0.6 + 4.0 * 0.6**4)
    values = {"choice": choice, "additive": additive, "crowding": crowded}
    for form in FORMS:
        close = fitted(form, values[form], PAGES, CLICK, LOOKED, VECTORS)
        np.testing.assert_allclose(close, values[form], atol=1e-8)
    assert np.abs(fitted("additive", crowded, PAGES, CLICK, LOOKED, VECTORS) - crowded).max() > 0.05
    assert np.abs(fitted("additive", choice, PAGES, CLICK, LOOKED, VECTORS) - choice).max() > 0.01


@pytest.mark.parametrize("name", ["one click, only it matters", "one click, boredom"])
def test_slateq_is_exact_where_it_should_be(name: str) -> None:
    world = tiny_shop(1, 4, **SHOPS[name])
    game = TinyGame(world, TaskConfig(slate_size=2, n_candidates=4, max_steps=2, purchase_weight=2.0))
    simulator = world.simulator
    assert isinstance(simulator, ShopperSimulator)
    state = simulator.begin(np.array([0]), seed=3)
    q = game.page_values(state)[0]
    assert q.max() == pytest.approx(game.optimum(state)[0], rel=1e-12)
    click = simulator.appeal(state, np.arange(4, dtype=np.int32)[None]).click[0].astype(np.float64)
    looked = simulator.examination_weights(2).astype(np.float64)
    close = fitted("choice", q, game.pages, click, looked, world.features.item_vectors)
    error = np.abs(close - q).max() / np.ptp(q)
    assert error < 1e-5 if name.endswith("matters") else error > 0.01
