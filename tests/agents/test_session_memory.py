"""What remembered pages become: sums counted by hand, learned readings, and the outlook on what follows."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from agents.network_config import NetworkConfig
from agents.networks import CandidateScorer, PageFeatures, PageInputs, SessionEncoder
from agents.outlook import Outlook
from agents.response import ResponseModel
from agents.session_memory import GruMemory, TransformerMemory, make_memory, make_traits
from envs.core import SlateCore
from envs.spaces import action_space, observation_space
from envs.toy import toy_world
from envs.world import TaskConfig

TASK = TaskConfig(slate_size=4, n_candidates=12, max_steps=6, memory=3)
WORLD = toy_world(n_items=60, n_queries=6, n_candidates=12, width=8)
FEATURES = WORLD.features


@pytest.fixture(scope="module")
def features() -> PageFeatures:
    return PageFeatures.for_spaces(FEATURES, observation_space(WORLD, TASK), action_space(TASK))


@pytest.fixture(scope="module")
def observation() -> dict[str, torch.Tensor]:
    """Second and third pages, so that the last remembered page is padding for some users."""
    core = SlateCore(WORLD, TASK, n_users=64, seed=3)
    core.reset()
    rng = np.random.default_rng(0)
    for _ in range(2):
        result = core.step(np.argsort(rng.random((64, 12)), axis=1)[:, :4])
    return {name: torch.as_tensor(array) for name, array in result.observation.as_dict().items()}


@pytest.fixture(scope="module")
def page(features: PageFeatures, observation: dict[str, torch.Tensor]) -> PageInputs:
    return features(observation)


def test_sums_over_remembered_pages_counted_by_hand(
    features: PageFeatures, observation: dict[str, torch.Tensor], page: PageInputs
) -> None:
    recent, feedback = observation["recent_items"].numpy(), observation["recent_feedback"].numpy()
    assert (recent >= 0).any(1).any()
    assert (feedback > 0).any()
    category = FEATURES.item_category
    for b in range(64):
        item = int(page.items[b, 5])
        showings = clicks = lately = 0.0
        skipped, n_skipped = np.zeros(8), 0.0
        for m in range(12):
            if recent[b, m] < 0:
                continue
            look, age = (m % 4 + 1.0) ** -0.7, m // 4
            alike = category[recent[b, m]] == category[item]
            showings += look * alike
            lately += look * 0.5**age * alike
            clicks += (feedback[b, m] > 0) * alike
            if feedback[b, m] == 0:
                skipped += look * FEATURES.item_vectors[recent[b, m]]
                n_skipped += look
        np.testing.assert_allclose(
            page.candidates[b, 5, 13:19].numpy()[[0, 2, 3]] * [4, 1, 2], [showings, lately, clicks], atol=1e-5
        )
        parts = page.state[b, : 8 * 8].view(8, 8).numpy()  # (D, P)
        np.testing.assert_allclose(parts[:, 5], skipped / np.sqrt(1 + n_skipped), atol=1e-5)


def test_shown_items_are_the_only_candidates_left(page: PageInputs) -> None:
    slates = torch.tensor([[7, 2, 0, 11]]).expand(64, -1)
    shown = page.shown(slates)
    for name in ("candidates", "vectors", "items", "logit", "purchase_logit", "valid"):
        assert torch.equal(getattr(shown, name)[:, 1], getattr(page, name)[:, 2])
    assert torch.equal(shown.state, page.state)


def test_vectors_are_found_again(features: PageFeatures, page: PageInputs) -> None:
    bare = page._replace(vectors=torch.empty(0), recent_vectors=torch.empty(0))
    again = features.with_vectors(bare)
    assert torch.equal(again.vectors, page.vectors)
    assert torch.equal(again.recent_vectors, page.recent_vectors)


@pytest.mark.parametrize("kind", ["gru", "transformer"])
def test_learned_memories_read_feedback_and_age_but_no_padding(
    features: PageFeatures, page: PageInputs, kind: str
) -> None:
    torch.manual_seed(1)
    memory = make_memory(features, NetworkConfig(memory_encoder=kind, memory_width=16))
    assert isinstance(memory, GruMemory if kind == "gru" else TransformerMemory)
    told = memory(page)
    assert told.shape == (64, 16)
    empty = page.recent < 0
    noise = torch.randn_like(page.recent_vectors) * empty.unsqueeze(2)
    assert torch.allclose(memory(page._replace(recent_vectors=page.recent_vectors + noise)), told, atol=1e-6)
    other = memory(page._replace(feedback=torch.where(empty, 0.0, 1.0)))
    assert (other - told).abs().amax(1)[~(page.feedback == (~empty).float()).all(1)].min() > 1e-4
    swapped = page._replace(
        **{
            name: torch.cat(
                (getattr(page, name)[:, 4:8], getattr(page, name)[:, :4], getattr(page, name)[:, 8:]), 1
            )
            for name in ("recent", "feedback", "recent_vectors")
        }
    )
    both = (page.recent[:, :8] >= 0).all(1)
    assert both.any()
    assert (memory(swapped) - told).abs().amax(1)[both].min() > 1e-4


def test_traits_are_sums_over_what_was_clicked_and_looked_at(
    features: PageFeatures, page: PageInputs
) -> None:
    torch.manual_seed(2)
    traits = make_traits(features, NetworkConfig(item_traits=3, item_scale=2.0))
    assert traits is not None
    table, got = traits.table.weight.detach().numpy(), traits(page).detach().numpy().reshape(64, 4, 3)
    recent, feedback = page.recent.numpy(), page.feedback.numpy()
    for b in range(8):
        told = [m for m in range(12) if recent[b, m] >= 0]
        by_click = sum(0.8 ** (m // 4) * table[recent[b, m]] * (feedback[b, m] > 0) for m in told)
        by_look = sum(0.8 ** (m // 4) * (m % 4 + 1.0) ** -0.7 * table[recent[b, m]] for m in told)
        np.testing.assert_allclose(got[b, 1], 2.0 * np.asarray(by_click) * np.ones(3), atol=1e-5)
        np.testing.assert_allclose(got[b, 3], 2.0 * np.asarray(by_look), atol=1e-5)
    assert make_traits(features, NetworkConfig(item_limit=10)) is None


def test_a_session_without_pages_tells_a_gru_nothing(features: PageFeatures, page: PageInputs) -> None:
    memory = make_memory(features, NetworkConfig(memory_encoder="gru"))
    assert memory is not None
    nothing = page._replace(
        recent=torch.full_like(page.recent, -1),
        feedback=torch.zeros_like(page.feedback),
        recent_vectors=torch.zeros_like(page.recent_vectors),
    )
    assert (memory(nothing) == 0).all()


@pytest.mark.parametrize("kind", ["sums", "gru", "transformer"])
def test_every_encoder_learns_through_the_same_doors(
    features: PageFeatures, page: PageInputs, kind: str
) -> None:
    """Gradients reach every parameter of session encoder and scorer once its heads have left zero."""
    torch.manual_seed(0)
    config = NetworkConfig(memory_encoder=kind, item_width=6)
    scorer = CandidateScorer(features, config, n_outputs=2)
    for layer in (scorer.head, scorer.weights, scorer.taste):
        torch.nn.init.normal_(layer.weight, std=0.1)
    assert isinstance(scorer.encode, SessionEncoder)
    scorer(page).square().sum().backward()
    still = [name for name, p in scorer.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert still == []


def test_large_catalogues_have_no_numbers_of_their_own(features: PageFeatures, page: PageInputs) -> None:
    small = CandidateScorer(features, NetworkConfig(item_limit=59), n_outputs=1)
    assert small.item_bias is None
    assert small(page).shape == (64, 12, 1)
    assert CandidateScorer(features, NetworkConfig(item_limit=61), n_outputs=1).item_bias is not None


def test_the_outlook_finds_the_item_whose_clicks_pay_later(features: PageFeatures, page: PageInputs) -> None:
    """A click on one item is followed by 3 more than usual, showing another by 1 less; both are found in noise."""
    torch.manual_seed(0)
    config = NetworkConfig()
    outlook = Outlook(features, config)
    with torch.no_grad():
        response = ResponseModel(features, config, slate_size=4)(page)
    state = torch.zeros((64, config.state_width))
    assert (outlook(page, response) == 0).all()
    good, bad = int(page.items[0, 3]), int(page.items[0, 8])
    optimiser = torch.optim.Adam(outlook.parameters(), lr=5e-3)
    generator = torch.Generator().manual_seed(5)
    for _ in range(400):
        slates = torch.rand((64, 12), generator=generator).argsort(1)[:, :4]
        shown = page.shown(slates)
        click = (torch.rand((64, 4), generator=generator) < 0.4).float()
        purchase = torch.zeros_like(click)
        future = 3.0 * ((shown.items == good) * click).sum(1) - 1.0 * (shown.items == bad).sum(1)
        future = future + 0.5 * torch.randn(64, generator=generator)
        loss = (future - outlook.realised(shown, state, click, purchase)).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        worth, chance = outlook(page, response), response.click_probability()
    centred = worth - worth.mean(1, keepdim=True)
    assert float((centred[page.items == good] / chance[page.items == good]).mean()) > 1.5
    assert float(centred[page.items == bad].mean()) < -0.4
