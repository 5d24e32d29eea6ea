"""Slate optimisation against enumeration and the linear program."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from agents.dqn.slates import (
    assigned_slates,
    fractional_slates,
    greedy_choice_slates,
    greedy_page_slates,
    linear_program_slate,
)
from behavior.errors import InputError


def choice_value(odds: Tensor, gain: Tensor, looked: Tensor, slates: Tensor) -> Tensor:
    weight = odds.gather(1, slates) * looked
    return (weight * gain.gather(1, slates)).sum(1) / (1.0 + weight.sum(1))


def drawn(pages: int, n: int, k: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    odds = torch.randn((pages, n), generator=rng, dtype=torch.float64).exp()
    gain = 3.0 * torch.randn((pages, n), generator=rng, dtype=torch.float64)
    looked = torch.rand(k, generator=rng, dtype=torch.float64) + 0.2
    return odds, gain, looked


@pytest.mark.parametrize("k", [1, 2, 3])
def test_parametric_search_finds_the_best_of_all_slates(k: int) -> None:
    odds, gain, looked = drawn(200, 6, k, seed=k)
    valid = torch.rand(200, 6, generator=torch.Generator().manual_seed(9)) < 0.8
    valid[:, :3] = True
    found = fractional_slates(odds, gain, looked, valid)
    assert valid.gather(1, found).all()
    value = choice_value(odds, gain, looked, found)
    best = torch.full((200,), -torch.inf, dtype=torch.float64)
    for slate in itertools.permutations(range(6), k):
        rows = torch.tensor(slate).expand(200, -1)
        here = choice_value(odds, gain, looked, rows)
        best = torch.maximum(best, torch.where(valid.gather(1, rows).all(1), here, -torch.inf))
    torch.testing.assert_close(value, best, rtol=1e-10, atol=1e-10)
    greedy = greedy_choice_slates(odds, gain, looked, valid)
    assert valid.gather(1, greedy).all()
    loss = best - choice_value(odds, gain, looked, greedy)
    assert (loss > -1e-12).all()
    if k == 1:
        assert float(loss.max()) < 1e-12
    if k == 3:
        assert float(loss.max()) > 1e-3  # greedy is not exact, which the test can tell


def test_parametric_search_solves_the_linear_program() -> None:
    odds, gain, looked = drawn(12, 7, 3, seed=4)
    valid = torch.ones(12, 7, dtype=torch.bool)
    found = choice_value(odds, gain, looked, fractional_slates(odds, gain, looked, valid))
    for b in range(12):
        slate, value = linear_program_slate(odds[b].numpy(), gain[b].numpy(), looked.numpy())
        assert len(set(slate.tolist())) == 3
        own = choice_value(odds[b : b + 1], gain[b : b + 1], looked, torch.from_numpy(slate)[None])
        assert value == pytest.approx(float(own), rel=1e-7)
        assert value == pytest.approx(float(found[b]), rel=1e-7)


def test_assignment_is_the_best_of_all_and_greedy_is_not() -> None:
    worth = torch.randn((100, 5, 3), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    k = torch.arange(3)
    every = torch.tensor(list(itertools.permutations(range(5), 3)))
    best = worth[:, every, k].sum(2).amax(1)
    rows = torch.arange(100).unsqueeze(1)

    def total(slates: Tensor) -> Tensor:
        return worth[rows, slates, k].sum(1)

    torch.testing.assert_close(total(assigned_slates(worth)), best)
    greedy = greedy_page_slates(worth, torch.tensor([3.0, 2.0, 1.0]), lambda taken, k: None)
    loss = best - total(greedy)
    assert (loss > -1e-12).all()
    assert float(loss.max()) > 1e-3
    # Where worth is a product of item and position, filling the best position first is exact.
    items, positions = worth[:, :, 0].abs(), torch.tensor([0.5, 2.0, 1.0], dtype=torch.float64)
    worth = items.unsqueeze(2) * positions
    best = worth[:, every, k].sum(2).amax(1)
    torch.testing.assert_close(total(greedy_page_slates(worth, positions, lambda taken, k: None)), best)


def test_pairs_are_counted_and_large_pages_refused() -> None:
    worth = torch.zeros((1, 3, 2), dtype=torch.float64)
    worth[0, :, 0] = torch.tensor([3.0, 2.9, 1.0])
    worth[0, :, 1] = torch.tensor([3.0, 2.9, 1.0])
    pairs = torch.zeros((1, 3, 3, 2, 2), dtype=torch.float64)
    pairs[0, 0, 1] = pairs[0, 1, 0] = 5.0  # items 0 and 1 are alike
    assert assigned_slates(worth, pairs)[0].tolist() in ([0, 2], [2, 0])
    with pytest.raises(InputError, match="more than 100,000 slates"):
        assigned_slates(torch.zeros((1, 60, 4)), torch.zeros(1))


def test_padding_is_shown_only_where_nothing_else_is_left() -> None:
    odds = torch.tensor([[1.0, 0.0, 0.5, 0.0]], dtype=torch.float64)
    gain = torch.tensor([[-1.0, 9.0, -2.0, 9.0]], dtype=torch.float64)
    valid = torch.tensor([[True, False, True, False]])
    looked = torch.ones(2, dtype=torch.float64)
    for solve in (fractional_slates, greedy_choice_slates):
        assert sorted(solve(odds, gain, looked, valid)[0].tolist()) == [0, 2]
    three = solve(odds, gain, torch.ones(3, dtype=torch.float64), valid)[0].tolist()
    assert len(set(three)) == 3
    assert np.isin([0, 2], three).all()
