"""The torch Plackett-Luce law against enumeration, finite differences and counted samples."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from agents.ppo.distribution import MASKED, PlackettLuceDistribution, slate_entropy, slate_log_prob

SCORES = torch.tensor([0.3, -1.2, 2.0, 0.0, 0.7], dtype=torch.float64)


def by_hand(scores: list[float], slate: tuple[int, ...]) -> float:
    """Product of softmax choices without replacement."""
    left = dict(enumerate(scores))
    probability = 1.0
    for item in slate:
        probability *= math.exp(left[item]) / sum(math.exp(s) for s in left.values())
        del left[item]
    return probability


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_all_slates_match_the_definition_and_sum_to_one(size: int) -> None:
    slates = list(itertools.permutations(range(5), size))
    log_prob = slate_log_prob(SCORES.expand(len(slates), -1), torch.tensor(slates))
    expected = [by_hand(SCORES.tolist(), slate) for slate in slates]
    np.testing.assert_allclose(log_prob.exp().numpy(), expected, rtol=1e-12)
    assert log_prob.exp().sum().item() == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("size", [1, 3, 5])
def test_entropy_averages_to_the_exact_entropy(size: int) -> None:
    slates = list(itertools.permutations(range(5), size))
    scores = SCORES.expand(len(slates), -1)
    probability = slate_log_prob(scores, torch.tensor(slates)).exp()
    estimate = (probability * slate_entropy(scores, torch.tensor(slates))).sum().item()
    assert estimate == pytest.approx(-(probability * probability.log()).sum().item(), abs=1e-12)


def test_first_choice_entropy_by_hand() -> None:
    p = torch.softmax(SCORES, 0)
    entropy = slate_entropy(SCORES[None], torch.tensor([[2]]))
    assert entropy.item() == pytest.approx(-(p * p.log()).sum().item(), abs=1e-12)


def test_gradients_match_finite_differences() -> None:
    slates = torch.tensor([[2, 0, 4], [1, 3, 2]])
    scores = torch.stack((SCORES, SCORES.flip(0))).requires_grad_()
    assert torch.autograd.gradcheck(lambda s: slate_log_prob(s, slates), scores)
    assert torch.autograd.gradcheck(lambda s: slate_entropy(s, slates), scores)


def test_padding_has_no_probability_and_no_gradient() -> None:
    padded = torch.tensor([[0.3, -1.2, 2.0, 0.0, MASKED, MASKED]], requires_grad=True)
    slates = torch.tensor(list(itertools.permutations(range(4), 4)))
    log_prob = slate_log_prob(padded.expand(len(slates), -1), slates)
    assert log_prob.exp().sum().item() == pytest.approx(1.0, abs=1e-6)
    (log_prob.sum() + slate_entropy(padded, slates[:1]).sum()).backward()
    assert padded.grad is not None
    assert torch.isfinite(padded.grad).all()
    assert (padded.grad[0, 4:] == 0).all()
    wrong = slate_log_prob(padded, torch.tensor([[4, 0, 1, 2]]))
    assert wrong.exp().item() == 0.0


def test_extreme_scores_stay_finite() -> None:
    scores = torch.tensor([[200.0, -200.0, 0.0, 90.0]], requires_grad=True)
    slates = torch.tensor([[1, 2, 3, 0]])
    log_prob = slate_log_prob(scores, slates)
    # Worst first: -400 against 200, then 0 against 200, then 90 against 200, then certain.
    assert log_prob.item() == pytest.approx(-400.0 - 200.0 - 110.0, abs=1e-3)
    (log_prob + slate_entropy(scores, slates)).sum().backward()
    assert scores.grad is not None
    assert torch.isfinite(scores.grad).all()


def test_samples_follow_the_law() -> None:
    """Chi-square over all 20 ordered slates; a right sampler fails one seed in 10,000."""
    from scipy.stats import chi2

    draws = 40_000
    generator = torch.Generator().manual_seed(11)
    law = PlackettLuceDistribution(5, 2, generator=generator)
    law.proba_distribution(torch.cat((SCORES.float(), torch.tensor([MASKED]))).expand(draws, -1))
    sampled = law.sample().numpy()
    slates = list(itertools.permutations(range(5), 2))
    counts = np.array([(sampled == np.array(slate)).all(1).sum() for slate in slates])
    expected = draws * np.array([by_hand(SCORES.tolist(), slate) for slate in slates])
    assert counts.sum() == draws
    assert ((counts - expected) ** 2 / expected).sum() < chi2.ppf(0.9999, len(slates) - 1)


def test_mode_is_the_most_probable_slate() -> None:
    law = PlackettLuceDistribution(5, 3).proba_distribution(SCORES[None])
    slates = list(itertools.permutations(range(5), 3))
    best = slates[int(np.argmax([by_hand(SCORES.tolist(), slate) for slate in slates]))]
    assert tuple(law.mode()[0].tolist()) == best
