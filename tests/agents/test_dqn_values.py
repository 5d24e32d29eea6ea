"""The two forms of a page's value, by hand and by enumeration."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from agents.dqn.network import SlateQNetwork
from agents.dqn.policy import SlateQPolicy
from agents.dqn.values import ChoiceValues, PageValues
from agents.response import Response
from envs.core import SlateCore
from envs.spaces import action_space, observation_space
from envs.tasks import make_task
from envs.toy import toy_world
from envs.world import TaskConfig, World

TASK = TaskConfig(slate_size=3, n_candidates=8, max_steps=5)
WORLD = toy_world(n_items=40, n_queries=4, n_candidates=8, width=6)
RESPONSE = Response(
    attraction=torch.tensor([[0.0, 1.0, -1.0]]),
    conversion=torch.tensor([[-1.0, 0.5, 0.0]]),
    position=torch.tensor([0.3, -0.4]),
)
VALID = torch.tensor([[True, True, True]])


def additive(**more: Tensor) -> PageValues:
    return PageValues(
        untouched=torch.tensor([2.0]),
        shown=torch.tensor([[0.1, -0.2, 0.0]]),
        clicked=torch.tensor([[1.0, 3.0, 2.0]]),
        purchased=torch.tensor([[4.0, 0.0, 8.0]]),
        response=RESPONSE,
        valid=VALID,
        **more,
    )


def choice() -> ChoiceValues:
    return ChoiceValues(
        untouched=torch.tensor([2.0]),
        clicked=torch.tensor([[1.0, 3.0, 2.0]]),
        purchased=torch.tensor([[4.0, 0.0, 8.0]]),
        response=RESPONSE,
        valid=VALID,
    )


def test_choice_value_is_the_mean_of_realised_values() -> None:
    values, slate = choice(), torch.tensor([[2, 0]])
    weight = np.exp([-1.0 + 0.3, 0.0 - 0.4])
    chance = [*weight / (1 + weight.sum()), 1 / (1 + weight.sum())]
    buy = [1 / (1 + np.exp(-x)) for x in (0.0, -1.0)]
    mean = 0.0
    for picked in range(3):
        click = torch.tensor([[float(picked == k) for k in range(2)]])
        for bought in (0.0, 1.0) if picked < 2 else (0.0,):
            part = chance[picked] * ((buy[picked] if bought else 1 - buy[picked]) if picked < 2 else 1.0)
            mean += part * values.realised_value(slate, click, click * bought).item()
    assert values.slate_value(slate).item() == pytest.approx(mean, rel=1e-6)
    np.testing.assert_allclose(values.chances(slate)[0], chance[:2], rtol=1e-6)


def test_choice_loss_by_hand() -> None:
    weight = np.exp([-1.0 + 0.3, 0.0 - 0.4])
    slates = torch.tensor([[2, 0]])
    none, _ = choice().response_loss(slates, torch.zeros(1, 2), torch.zeros(1, 2))
    assert none.item() == pytest.approx(np.log(1 + weight.sum()), rel=1e-6)
    second, bought = choice().response_loss(slates, torch.tensor([[0.0, 1.0]]), torch.tensor([[0.0, 1.0]]))
    assert second.item() == pytest.approx(np.log((1 + weight.sum()) / weight[1]), rel=1e-6)
    assert bought.item() == pytest.approx(np.log(1 + np.exp(1.0)), rel=1e-6)


def test_exposure_and_crowding_by_hand() -> None:
    near = 0.6
    vectors = torch.tensor([[[1.0, 0.0], [near, 0.8], [0.0, -1.0]]])
    values = additive(exposure=torch.tensor([1.5, 0.5]), crowding=torch.tensor([[2.0, 4.0]]), vectors=vectors)
    bare = additive()
    slates = torch.tensor([[0, 1]])
    weighted = (1.5 - 1.0) * 0.1 + (0.5 - 1.0) * -0.2
    cost = 1.5 * 0.5 * (2.0 * near + 4.0 * near**4)
    expected = bare.slate_value(slates).item() + weighted - cost
    assert values.slate_value(slates).item() == pytest.approx(expected, rel=1e-5)
    # A cosine below zero costs nothing.
    apart = torch.tensor([[1, 2]])
    weighted = (1.5 - 1.0) * -0.2 + (0.5 - 1.0) * 0.0
    expected = bare.slate_value(apart).item() + weighted
    assert values.slate_value(apart).item() == pytest.approx(expected, rel=1e-5)


def test_exact_slates_are_the_best_of_all() -> None:
    crowded = additive(
        exposure=torch.tensor([1.5, 0.5]),
        crowding=torch.tensor([[2.0, 4.0]]),
        vectors=torch.tensor([[[1.0, 0.0], [0.96, 0.28], [0.0, -1.0]]]),
    )
    for values in (additive(), crowded, choice()):
        worth = {
            slate: values.slate_value(torch.tensor([slate])).item()
            for slate in itertools.permutations(range(3), 2)
        }
        best = tuple(values.best_slates("exact")[0].tolist())
        assert worth[best] == pytest.approx(max(worth.values()), rel=1e-6)


def network(world: World, task: TaskConfig, **form: object) -> SlateQNetwork:
    torch.manual_seed(0)
    policy = SlateQPolicy(
        observation_space(world, task),
        action_space(task),
        lambda _: 0.0,
        tables=world.features,
        form=form,
    )
    generator = torch.Generator().manual_seed(1)
    for parameter in policy.q_net.parameters():
        # Trained weights are not zero.
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    return policy.q_net


FORMS = [
    {"choice": "additive", "optimiser": "topk"},
    {"choice": "additive", "optimiser": "greedy", "crowding": True},
    {"choice": "additive", "optimiser": "exact"},
    {"choice": "multinomial", "optimiser": "topk"},
    {"choice": "multinomial", "optimiser": "greedy"},
    {"choice": "multinomial", "optimiser": "exact"},
]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: "-".join(map(str, form.values())))
def test_scores_rank_as_the_optimiser_does(form: dict[str, object]) -> None:
    core = SlateCore(WORLD, TASK, n_users=50, seed=3)
    pages = core.reset().as_dict()
    net = network(WORLD, TASK, **form)
    with torch.no_grad():
        tensors = {name: torch.as_tensor(array) for name, array in pages.items()}
        scores, slates = net.scores(tensors), net._predict(tensors)
    assert scores.topk(3, dim=1).indices.tolist() == slates.tolist()


@pytest.mark.parametrize("form", FORMS, ids=lambda form: "-".join(map(str, form.values())))
def test_what_rules_forbid_is_never_chosen(form: dict[str, object]) -> None:
    """The business task strikes candidates out; padding is never shown either."""
    world, task = make_task("Business")
    core = SlateCore(world, task, n_users=24, seed=3)
    observation = core.reset()
    net = network(world, task, **form)
    struck = 0
    for _ in range(4):
        with torch.no_grad():
            tensors = {name: torch.as_tensor(array) for name, array in observation.as_dict().items()}
            slates = net._predict(tensors).numpy()
        legal = core.choices()
        struck += int((~legal).sum())
        assert np.take_along_axis(legal, slates, axis=1).all()
        observation = core.step(slates).observation
    assert struck > 0


@pytest.mark.parametrize("form", FORMS, ids=lambda form: "-".join(map(str, form.values())))
def test_values_of_a_slate_alone_are_those_among_all(form: dict[str, object]) -> None:
    core = SlateCore(WORLD, TASK, n_users=50, seed=3)
    core.reset()
    pages = core.step(np.tile(np.arange(3), (50, 1))).observation.as_dict()
    net = network(WORLD, TASK, **form)
    slates = torch.argsort(torch.rand((50, 8), generator=torch.Generator().manual_seed(0)), dim=1)[:, :3]
    with torch.no_grad():
        page = net.page({name: torch.as_tensor(array) for name, array in pages.items()})
        few, places = net.slate_values(page, slates)
        torch.testing.assert_close(few.slate_value(places), net.values(page).slate_value(slates))
