"""What is learned of pairs of query and item: counts by hand, products of factors, and where neither is kept."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from agents.dqn.config import DQNConfig
from agents.dqn.learner import SlateDQN
from agents.learning import TrainingOptions, load_policy, train_agent
from agents.network_config import NetworkConfig
from agents.page_features import PageFeatures, PageInputs
from agents.ppo.config import PPOConfig
from agents.ppo.learner import SlatePPO
from agents.query_item import make_factors, make_tally
from agents.ranks import Ranks
from agents.response import Response, ResponseModel
from envs.core import SlateCore
from envs.spaces import action_space, observation_space
from envs.toy import toy_world
from envs.world import TaskConfig

TASK = TaskConfig(slate_size=4, n_candidates=12, max_steps=6, memory=2)
WORLD = toy_world(n_items=60, n_queries=6, n_candidates=12, width=8)
PPO = PPOConfig(n_envs=8, n_steps=4, batch_size=16)
DQN = DQNConfig(n_envs=8, batch_size=16, learning_starts=16)


@pytest.fixture(scope="module")
def features() -> PageFeatures:
    return PageFeatures.for_spaces(WORLD.features, observation_space(WORLD, TASK), action_space(TASK))


@pytest.fixture(scope="module")
def page(features: PageFeatures) -> PageInputs:
    core = SlateCore(WORLD, TASK, n_users=16, seed=3)
    observation = core.reset()
    return features({name: torch.as_tensor(array) for name, array in observation.as_dict().items()})


def test_a_tally_counted_by_hand(features: PageFeatures, page: PageInputs) -> None:
    tally = make_tally(features, NetworkConfig(pair_prior=2.0))
    assert tally is not None
    one = PageInputs(*(part[:1] for part in page)).shown(torch.tensor([[0, 1, 2, 3]]))
    click, purchase = torch.tensor([[1.0, 0.0, 1.0, 0.0]]), torch.tensor([[1.0, 0.0, 0.0, 0.0]])
    third = float(np.log(1 / 3))  # clicked with chance 1/4, bought after it with 1/2
    expected = Response(torch.full((1, 4), third), torch.zeros(1, 4), torch.zeros(4))
    for _ in range(3):
        tally.count(one, expected, click, purchase)
    before = tally(one.query, one.items)
    assert not before[0].any()
    assert not before[1].any()  # nothing is believed before it is settled
    tally.settle(Ranks.alone())
    clicks, purchases = tally(one.query, one.items)
    # Three showings: clicked items 3 clicks where 0.75 were expected, others none; prior 2.
    taken, passed = np.log(5 / 2.75), np.log(2 / 2.75)
    torch.testing.assert_close(clicks, torch.tensor([[taken, passed, taken, passed]], dtype=torch.float32))
    # Of 3 clicks, 1.5 purchases were expected: 3 came of the first item, none of the third.
    sold, unsold = np.log(5 / 3.5), np.log(2 / 3.5)
    torch.testing.assert_close(purchases, torch.tensor([[sold, 0.0, unsold, 0.0]], dtype=torch.float32))
    assert not tally(one.query + 1, one.items)[0].any()  # another query's pairs are none of these
    # What is foretold with corrections is counted without them.
    corrected = Response(expected.attraction + clicks, expected.conversion + purchases, expected.position)
    tally.count(one, corrected, click, purchase)
    torch.testing.assert_close(tally.pending.sum(0), tally.counts.sum(0) / 3)


def test_padding_is_not_counted(features: PageFeatures, page: PageInputs) -> None:
    tally = make_tally(features, NetworkConfig())
    assert tally is not None
    one = page.shown(torch.zeros((16, 4), dtype=torch.int64))._replace(
        valid=torch.zeros((16, 4), dtype=torch.bool)
    )
    ones = torch.ones(16, 4)
    tally.count(one, Response(ones, ones, torch.zeros(4)), ones, ones)
    assert not tally.pending.any()


def test_a_counted_rate_is_found(features: PageFeatures, page: PageInputs) -> None:
    """A response model that expects too little of some pairs, and whose weights stand still, comes to the rates."""
    torch.manual_seed(0)
    tally = make_tally(features, NetworkConfig())
    assert tally is not None
    shown = page.shown(torch.arange(4).expand(16, 4))
    base = torch.linspace(-3.0, 0.0, 4).expand(16, 4)
    truth = torch.sigmoid(base) * 0.5  # each is clicked half as often
    rng = torch.Generator().manual_seed(1)
    for _ in range(400):
        click = (torch.rand(truth.shape, generator=rng) < truth).float()
        corrected = tally(shown.query, shown.items)
        foretold = Response(base + corrected[0], corrected[1], torch.zeros(4))
        tally.count(shown, foretold, click, torch.zeros_like(click))
        tally.settle(Ranks.alone())
    correction = tally(shown.query, shown.items)[0]
    expected = 400 * 2 * truth  # by the base, of one user a page; users of one query share their pairs
    error = 1.0 / (expected * 0.5).sqrt()
    assert ((correction - np.log(0.5)).abs() < 5 * error + 0.05).all()


def test_factors_start_at_nothing_and_are_products(features: PageFeatures, page: PageInputs) -> None:
    torch.manual_seed(0)
    config = NetworkConfig(pair_traits=3, item_scale=2.0)
    factors = make_factors(features, config, n_outputs=2)
    assert factors is not None
    assert not factors(page).any()
    torch.nn.init.normal_(factors.query.weight)
    found = factors(page).detach()
    b, n, m = 4, 7, 1
    query = factors.query.weight[page.query[b]].view(3, 2)[:, m]
    by_hand = 4.0 * (query * factors.item.weight[page.items[b, n]]).sum()
    torch.testing.assert_close(found[b, n, m], by_hand.detach())
    nobody = page._replace(query=torch.full_like(page.query, -1))
    assert torch.isfinite(factors(nobody)).all()


def test_many_pairs_have_nothing_of_their_own(features: PageFeatures) -> None:
    n_pairs = WORLD.features.n_queries * 12
    for config in (NetworkConfig(pair_limit=n_pairs - 1), NetworkConfig(pair_prior=0.0, pair_traits=0)):
        assert make_factors(features, config, n_outputs=2) is None
        assert make_tally(features, config) is None
    assert make_tally(features, NetworkConfig(pair_limit=n_pairs)) is not None
    assert make_factors(features, NetworkConfig(item_limit=10), n_outputs=2) is None
    assert ResponseModel(features, NetworkConfig(pair_traits=0), slate_size=4).factors is None


def test_a_replay_is_not_counted() -> None:
    """A page that is drawn again would read its own outcome in the counts."""
    model = train_agent(DQN, WORLD, TASK, total_steps=64, seed=0, options=TrainingOptions(progress=False))
    assert isinstance(model, SlateDQN)
    assert model.policy.q_net.page.tally is None
    assert model.policy.q_net.response.factors is not None


def test_ppo_counts_every_page_once(tmp_path: Path) -> None:
    counts = []
    for n_epochs in (1, 2):
        config = dataclasses.replace(PPO, n_epochs=n_epochs)
        options = TrainingOptions(progress=False, folder=tmp_path / str(n_epochs))
        # One rollout: both see the same pages.
        model = train_agent(config, WORLD, TASK, total_steps=32, seed=0, options=options)
        assert isinstance(model, SlatePPO)
        tally = model.policy.page.tally
        assert tally is not None
        assert not tally.pending.any()
        counts.append(tally.counts)
        loaded = load_policy(tmp_path / str(n_epochs) / "last_model.zip", WORLD, TASK)
        observation = SlateCore(WORLD, TASK, n_users=32, seed=9).reset()
        own = model.predict(observation.as_dict(), deterministic=True)[0]
        np.testing.assert_array_equal(loaded.rank(observation, None, slate_size=4), own)
    once, twice = counts
    assert torch.equal(once[:, [0, 2]], twice[:, [0, 2]])  # clicks and purchases
    clicks, expected, purchases, _ = once.sum(0).tolist()
    assert clicks == int(clicks) > 5
    assert purchases == int(purchases)
    assert 0.2 < clicks / expected < 5.0
    assert int(once[:, 1].count_nonzero()) > 20  # many pairs were met


def test_response_of_shown_items_is_that_of_the_page(features: PageFeatures, page: PageInputs) -> None:
    torch.manual_seed(0)
    model = ResponseModel(features, NetworkConfig(), slate_size=4)
    assert model.factors is not None
    torch.nn.init.normal_(model.factors.query.weight)
    places = torch.argsort(torch.rand(16, 12), dim=1)[:, :4]
    whole: Response = model(page)
    part: Response = model(page.shown(places))
    torch.testing.assert_close(part.attraction, whole.attraction.gather(1, places))
    torch.testing.assert_close(part.conversion, whole.conversion.gather(1, places))


def test_counts_correct_what_relevance_says() -> None:
    """In every place where a learner reads it, standardised columns included."""
    own = PageFeatures.for_spaces(WORLD.features, observation_space(WORLD, TASK), action_space(TASK))
    core = SlateCore(WORLD, TASK, n_users=16, seed=3)
    observation = {name: torch.as_tensor(array) for name, array in core.reset().as_dict().items()}
    plain = own(observation)
    own.tally = make_tally(own, NetworkConfig())
    assert own.tally is not None
    for before, after in zip(plain, own(observation), strict=True):
        assert torch.equal(before, after)  # nothing is known of any pair yet
    own.tally.counts.copy_(torch.rand(own.tally.counts.shape) * 9)
    clicks, purchases = own.tally(plain.query, plain.items)
    page = own(observation)
    torch.testing.assert_close(page.logit, plain.logit + clicks)
    torch.testing.assert_close(page.purchase_logit, plain.purchase_logit + purchases)
    torch.testing.assert_close(page.candidates[..., 1], page.logit / 3.0)
    spread = page.logit - page.logit.mean(1, keepdim=True)
    torch.testing.assert_close(
        page.candidates[..., 0], spread / page.logit.std(1, correction=0, keepdim=True)
    )
