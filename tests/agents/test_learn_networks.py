"""Features, the untrained policies, the additive slate value, and Polyak-safe tables."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import numpy.typing as npt
import pytest
import torch

from agents.dqn.network import PageValues
from agents.dqn.policy import SlateQPolicy
from agents.networks import PageFeatures
from agents.ppo.policy import PlackettLucePolicy
from agents.response import Response
from envs.core import SlateCore
from envs.observation import Observation
from envs.spaces import action_space, observation_space
from envs.toy import toy_world
from envs.world import TaskConfig

TASK = TaskConfig(slate_size=4, n_candidates=12, max_steps=5)
WORLD = toy_world(n_items=60, n_queries=6, n_candidates=12, width=8)


def tensors(observation: Observation) -> dict[str, torch.Tensor]:
    return {name: torch.as_tensor(array) for name, array in observation.as_dict().items()}


@pytest.fixture(scope="module")
def pages() -> Observation:
    """Pages in the middle of sessions, some with padded candidates."""
    core = SlateCore(WORLD, TASK, n_users=32, seed=3)
    core.reset()
    rng = np.random.default_rng(0)
    for _ in range(2):
        core.step(np.argsort(rng.random((32, 12)), axis=1)[:, :4])
    result = core.step(np.tile(np.arange(4), (32, 1)))
    arrays = {name: array.copy() for name, array in result.observation.as_dict().items()}
    arrays["candidates"][::2, 9:] = -1
    arrays["scores"][::2, 9:] = 0
    return Observation(**arrays)


def ppo() -> PlackettLucePolicy:
    torch.manual_seed(0)
    return PlackettLucePolicy(
        observation_space(WORLD, TASK), action_space(TASK), lambda _: 1e-3, tables=WORLD.features
    )


def dqn() -> SlateQPolicy:
    torch.manual_seed(0)
    return SlateQPolicy(
        observation_space(WORLD, TASK), action_space(TASK), lambda _: 1e-3, tables=WORLD.features
    )


def test_features_say_what_they_should(pages: Observation) -> None:
    page = PageFeatures(
        WORLD.features, n_candidates=12, slate_size=4, context_size=WORLD.simulator.context_size
    )
    inputs = page(tensors(pages))
    assert inputs.candidates.shape == (32, 12, page.candidate_size)
    assert inputs.state.shape == (32, page.state_size)
    b = next(b for b in range(32) if (pages.last_click[b] > 0).any() and (pages.clicked[b] >= 0).any())
    items, vectors = pages.candidates[b], WORLD.features.item_vectors
    cosine_to_query = vectors[items] @ WORLD.features.query_vectors[pages.query[b, 0]]
    shown = items >= 0
    np.testing.assert_allclose(inputs.candidates[b, shown, 13], cosine_to_query[shown], atol=1e-5)
    clicked = pages.clicked[b][pages.clicked[b] >= 0]
    cosine_to_clicked = vectors[items] @ vectors[clicked].mean(0)
    np.testing.assert_allclose(inputs.candidates[b, shown, 14], cosine_to_clicked[shown], atol=1e-5)
    category = WORLD.features.item_category
    skipped = pages.last_slate[b][(pages.last_click[b] == 0) & (pages.last_slate[b] >= 0)]
    tally = [(category[skipped] == category[i]).sum() / 4 for i in items[shown]]
    np.testing.assert_allclose(inputs.candidates[b, shown, 9], tally, atol=1e-6)
    was_clicked = np.isin(items[shown], clicked)
    np.testing.assert_array_equal(inputs.candidates[b, shown, 7], was_clicked)


def test_padding_is_blank(pages: Observation) -> None:
    page = PageFeatures(
        WORLD.features, n_candidates=12, slate_size=4, context_size=WORLD.simulator.context_size
    )
    inputs = page(tensors(pages))
    assert (inputs.candidates[::2, 9:] == 0).all()
    assert (inputs.vectors[::2, 9:] == 0).all()
    for policy in (ppo(), dqn()):
        slates = policy._predict(tensors(pages), deterministic=False)
        assert (slates[::2] < 9).all()


def test_the_page_of_relevance_alone_leaves_out_what_is_struck_out(pages: Observation) -> None:
    arrays = {name: array.copy() for name, array in pages.as_dict().items()}
    arrays["candidates"][1] = [-1, 5, -1, -1, 7, 9, 11, 2, -1, 3, 4, 8]  # four valid rows are 1, 4, 5, 6
    arrays["candidates"][3] = [-1, 5, -1, 7, -1, -1, -1, -1, -1, -1, -1, -1]  # two are all there are
    arrays["candidates"][5] = -1
    page = PageFeatures(
        WORLD.features, n_candidates=12, slate_size=4, context_size=WORLD.simulator.context_size
    )
    whole, torn = page(tensors(pages)), page(tensors(Observation(**arrays)))
    width = page.candidate_size
    top = torn.state[:, -2 * width : -width]
    for b, first in ((1, [1, 4, 5, 6]), (3, [1, 3])):
        np.testing.assert_allclose(top[b], torn.candidates[b, first].mean(0), rtol=1e-5, atol=1e-6)
    assert (top[5] == 0).all()
    rest = np.setdiff1d(np.arange(32), (1, 3, 5))
    assert torch.equal(whole.state[:, -2 * width : -width], whole.candidates[:, :4].mean(1))
    assert torch.equal(torn.state[rest], whole.state[rest])


@pytest.mark.parametrize("codes", [np.zeros(60, np.int32), np.empty(0, np.int32)], ids=["zeros", "none"])
def test_a_catalogue_without_categories_is_of_one_kind(
    pages: Observation, codes: npt.NDArray[np.int32]
) -> None:
    one = dataclasses.replace(WORLD.features, n_categories=1, item_category=np.zeros(60, np.int32))
    none = dataclasses.replace(WORLD.features, n_categories=0, item_category=codes)
    sizes = {"n_candidates": 12, "slate_size": 4, "context_size": WORLD.simulator.context_size}
    expected, found = (PageFeatures(features, **sizes)(tensors(pages)) for features in (one, none))
    assert torch.equal(expected.state, found.state)
    assert torch.equal(expected.candidates, found.candidates)


def test_wide_and_dense_purchase_logits_agree(pages: Observation, monkeypatch: pytest.MonkeyPatch) -> None:
    dense = PageFeatures(
        WORLD.features, n_candidates=12, slate_size=4, context_size=WORLD.simulator.context_size
    )
    monkeypatch.setattr("agents.page_features._DENSE_LIMIT", 0)
    wide = PageFeatures(
        WORLD.features, n_candidates=12, slate_size=4, context_size=WORLD.simulator.context_size
    )
    a, b = dense(tensors(pages)).purchase_logit, wide(tensors(pages)).purchase_logit
    np.testing.assert_allclose(a, b, atol=1e-5)
    relevance = WORLD.features.relevance
    table = np.vstack([relevance.item, np.zeros_like(relevance.item[:1])])
    expected = np.einsum("bnr,br->bn", table[pages.candidates], relevance.purchase_query[pages.query[:, 0]])
    np.testing.assert_allclose(a, expected + relevance.purchase_bias, atol=1e-4)


def test_untrained_policies_rank_by_relevance(pages: Observation) -> None:
    # The toy's relevance model foretells the same purchase rate for all, so gain and relevance agree.
    expected = np.argsort(-pages.scores, axis=1, kind="stable")[:, :4]
    for policy in (ppo(), dqn()):
        slates = policy._predict(tensors(pages), deterministic=True).numpy()
        np.testing.assert_array_equal(
            np.take_along_axis(pages.scores, slates, 1), np.take_along_axis(pages.scores, expected, 1)
        )


def test_checkpoints_hold_no_tables() -> None:
    for policy in (ppo(), dqn()):
        names = " ".join(policy.state_dict())
        assert "vectors" not in names
        assert "purchase_logit" not in names


def test_target_tables_have_their_own_memory() -> None:
    policy = dqn()
    mine, theirs = policy.q_net.page.item_vectors, policy.q_net_target.page.item_vectors
    assert mine.data_ptr() != theirs.data_ptr()
    assert torch.equal(mine, theirs)


def page_values() -> PageValues:
    return PageValues(
        untouched=torch.tensor([2.0]),
        shown=torch.tensor([[0.1, -0.2, 0.0]]),
        clicked=torch.tensor([[1.0, 3.0, 2.0]]),
        purchased=torch.tensor([[4.0, 0.0, 8.0]]),
        response=Response(
            attraction=torch.tensor([[0.0, 1.0, -1.0]]),
            conversion=torch.tensor([[-1.0, 0.5, 0.0]]),
            position=torch.tensor([0.3, -0.4]),
        ),
        valid=torch.tensor([[True, True, True]]),
    )


def test_slate_value_is_the_mean_of_realised_values() -> None:
    """Enumerate all clicks and purchases of a page of two."""
    values, slate = page_values(), torch.tensor([[2, 0]])

    def sigmoid(x: float) -> float:
        return 1 / (1 + np.exp(-x))

    click_p = [sigmoid(-1.0 + 0.3), sigmoid(0.0 - 0.4)]
    buy_p = [sigmoid(0.0), sigmoid(-1.0)]
    mean = 0.0
    for clicks in itertools.product((0, 1), repeat=2):
        for buys in itertools.product((0, 1), repeat=2):
            chance = 1.0
            for k in range(2):
                chance *= click_p[k] if clicks[k] else 1 - click_p[k]
                chance *= buy_p[k] if buys[k] else 1 - buy_p[k]
            bought = torch.tensor([[float(c * p) for c, p in zip(clicks, buys, strict=True)]])
            realised = values.realised_value(slate, torch.tensor([clicks]).float(), bought)
            mean += chance * realised.item()
    assert values.slate_value(slate).item() == pytest.approx(mean, rel=1e-6)


def test_item_value_averages_over_positions_and_orders_the_slate() -> None:
    values = page_values()
    orders = values._replace(untouched=torch.zeros(1))
    mean = sum(orders.slate_value(torch.tensor([order])).item() for order in ([0, 1], [1, 0])) / 2
    item = values.item_values()[0]
    # The two orders of a page average to the sum of its items' values.
    assert mean == pytest.approx((item[0] + item[1]).item(), rel=1e-6)
    assert values.best_slates()[0].tolist() == item.argsort(descending=True)[:2].tolist()


def test_response_loss_by_hand() -> None:
    values = page_values()
    clicks, purchases = values.response.loss(
        torch.tensor([[2, 0]]), torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0.0]])
    )
    p = 1 / (1 + np.exp(0.7)), 1 / (1 + np.exp(0.4))
    assert clicks.item() == pytest.approx(-(np.log(p[0]) + np.log(1 - p[1])) / 2, rel=1e-5)
    assert purchases.item() == pytest.approx(np.log(2.0), rel=1e-5)
