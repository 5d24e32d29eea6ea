"""How far item-wise values are from the value of a page, against exact dynamic programming on tiny shops.

`python -m benchmarks.slateq [--quick] [--json FILE]`. For shops small enough to be solved (five items,
pages of three, two pages), the value Q(s, A) of every
ordered page A followed by the best policy is computed by `agents.exact.TinyGame`. To these values of a state, each
form of DQN over slates is fitted by least squares, with the true chances of clicks: what remains is the form's own
error, which no learning can take away.

- choice: SlateQ as published; at most one click, Q a mean over multinomial choice (a value per item, one of none).
- additive: one value per item, weighted by how much its position is looked at, and the same value everywhere.
- crowding: the same less a cost of like items on one page (`agents.dqn.values.PageValues`).

Error: root mean square over pages, as a share of the range of Q over the pages of that state. Regret: by how much the
page that the form thinks best falls short of the best one, as a share of that range.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls
from tqdm import tqdm

from agents.exact import TinyGame
from benchmarks.common import Case, Options, case, main, result
from encoders.features import CandidateTable, FeatureTables, RelevanceTables
from envs.world import TaskConfig, World
from simulators.shopper import ItemTraits, Shopper, ShopperSimulator

__all__ = ["FORMS", "fitted", "measure", "tiny_shop"]

SHOPS: dict[str, dict[str, Any]] = {
    "one click, only it matters": {"click_model": "multinomial", "boredom": 0.0, "annoyance": 0.0},
    "one click, boredom": {"click_model": "multinomial", "boredom": 1.5, "annoyance": 0.5},
    "several clicks, nothing lasts": {
        "boredom": 0.0,
        "annoyance": 0.0,
        "click_joy": 0.0,
        "purchase_joy": 0.0,
    },
    "several clicks, satisfaction": {"boredom": 0.0, "annoyance": 0.0, "quality_joy": 2.0},
    "several clicks, boredom": {"boredom": 1.5, "annoyance": 0.5},
    "cascade, satisfaction": {"click_model": "cascade", "annoyance": 0.0, "quality_joy": 2.0},
}
LASTING = {"leave_bias": -1.0, "leave_satisfaction": 2.0, "satisfaction_memory": 0.8, "click_bias": 0.0}
FORMS = ("choice", "additive", "crowding")


def tiny_shop(seed: int, n_items: int, **constants: Any) -> World:
    """One query, every item a candidate, three styles, traits drawn at random."""
    rng = np.random.default_rng(seed)

    def unit(rows: NDArray[np.float64]) -> NDArray[np.float32]:
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)

    group = (np.arange(n_items) % 3).astype(np.int32)
    style = rng.normal(size=(3, 6))
    item = unit(style[group] + 0.5 * rng.normal(size=(n_items, 6)))  # items of a style look alike
    query, personas = unit(rng.normal(size=(1, 6))), unit(rng.normal(size=(3, 6)))
    price, lure, quality, worth = (rng.normal(size=n_items).astype(np.float32) for _ in range(4))
    return World(
        simulator=ShopperSimulator(
            item_vectors=item,
            query_vectors=query,
            personas=personas,
            traits=ItemTraits(price=price, group=group, lure=lure, quality=quality, worth=worth),
            shopper=Shopper(**LASTING | constants),
        ),
        candidates=CandidateTable(
            items=np.arange(n_items, dtype=np.int32)[None],
            scores=np.linspace(0.5, 0.2, n_items, dtype=np.float32)[None],
        ),
        features=FeatureTables(
            item_vectors=item,
            query_vectors=query,
            item_numeric=price[:, None],
            numeric_names=("log_price",),
            item_category=group,
            n_categories=3,
            price=np.exp(price),
            popularity=np.full(n_items, 0.1, np.float32),
            relevance=RelevanceTables(
                item=item, click_query=query, purchase_query=query, click_bias=-1.0, purchase_bias=-1.0
            ),
        ),
    )


def fitted(
    form: str,
    q: NDArray[np.float64],
    pages: NDArray[np.int32],
    click: NDArray[np.float64],
    looked: NDArray[np.float64],
    vectors: NDArray[np.float32],
) -> NDArray[np.float64]:
    """Values (M,) of all pages that come nearest to `q` in a form.

    Args:
        form: One of `FORMS`.
        q: (M,) exact values.
        pages: (M, K) items.
        click: (I,) click chance of each item where it is looked at.
        looked: (K,) chance that a position is looked at.
        vectors: (I, D).
    """
    n_items = click.shape[0]
    shown = np.eye(n_items)[pages]  # (M, K, I)
    if form == "choice":
        weight = looked[:, None] * (click / (1.0 - click))  # (K, I)
        chance = (shown * weight).sum(1)
        below = 1.0 + chance.sum(1, keepdims=True)
        design = np.concatenate([chance / below, 1.0 / below], axis=1)
        return np.asarray(design @ np.linalg.lstsq(design, q, rcond=None)[0])
    one = np.ones((q.shape[0], 1))
    design = np.concatenate([one, shown.sum(1), (shown * looked[:, None]).sum(1)], axis=1)
    if form == "additive":
        return np.asarray(design @ np.linalg.lstsq(design, q, rcond=None)[0])
    near = np.maximum(vectors @ vectors.T, 0.0)
    first, second = np.triu_indices(pages.shape[1], 1)
    pair = near[pages[:, first], pages[:, second]] * looked[first] * looked[second]  # (M, pairs)
    sharp = near[pages[:, first], pages[:, second]] ** 4 * looked[first] * looked[second]
    costs = np.stack([pair.sum(1), sharp.sum(1)], axis=1)
    # Costs are not negative; all else is free, as a difference of two numbers that are not.
    free = np.concatenate([design, -design, -costs], axis=1)
    return np.asarray(free @ nnls(free, q, maxiter=10_000)[0])


def measure(options: Options) -> dict[str, Any]:
    """Error and regret of every form in every shop, means over instances and users."""
    n_items, slate_size, pages = (4, 2, 2) if options.quick else (5, 3, 2)
    instances = 2 if options.quick else 6
    cases: list[Case] = []
    for name, constants in tqdm(SHOPS.items(), desc="shops", disable=None):
        found: dict[str, list[tuple[float, float]]] = {form: [] for form in FORMS}
        for seed in range(instances):
            world = tiny_shop(1_000 + seed, n_items, **constants)
            task = TaskConfig(
                slate_size=slate_size, n_candidates=n_items, max_steps=pages, purchase_weight=2.0
            )
            game = TinyGame(world, task)
            simulator = world.simulator
            assert isinstance(simulator, ShopperSimulator)
            state = simulator.begin(np.array([seed]), seed=3)
            q = game.page_values(state)[0]
            click = simulator.appeal(state, np.arange(n_items, dtype=np.int32)[None]).click[0]
            looked = simulator.examination_weights(slate_size).astype(np.float64)
            spread = q.max() - q.min()
            for form in FORMS:
                close = fitted(
                    form, q, game.pages, click.astype(np.float64), looked, world.features.item_vectors
                )
                error = np.sqrt(np.square(close - q).mean()) / spread
                found[form].append((float(error), float((q.max() - q[close.argmax()]) / spread)))
        for form, pairs in found.items():
            error, regret = np.mean(pairs, axis=0)
            cases.append(case(f"{name}: {form}, error", error, "share of the range of Q"))
            cases.append(case(f"{name}: {form}, worst error", max(pairs)[0], "share of the range of Q"))
            cases.append(case(f"{name}: {form}, regret", regret, "share of the range of Q"))
    return result("slateq", cases, packages=("numpy", "numba", "scipy"))


if __name__ == "__main__":
    sys.exit(main(measure, description=__doc__))
