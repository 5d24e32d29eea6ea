"""Every click law against a sum over all that is not seen, worked here from the models' stories alone."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from scipy.stats import chi2

from simulators import click_models
from simulators.click_models import ClickModel, click_vectors
from simulators.clicks.laws import NEVER, finish
from simulators.clicks.registry import CLICK_MODELS, NEURAL, law_named

K = 4
FALSE_ALARM = 1e-7
LAWS = [name for name in CLICK_MODELS if name != NEURAL]
LOGITS = np.array([-0.3, 0.8, -1.2, 0.4])
SATISFACTION = np.array([0.5, -0.7, 1.1, 0.2])
GLOBALS = {
    "pbm": {"examination": [2.0, 0.3, -0.5, -1.0]},
    "ubm": {"examination": np.linspace(1.5, -1.5, K * K).reshape(K, K).tolist()},
    "cm": {},
    "dcm": {"after_click": [1.2, -0.3, -1.0]},
    "cascade": {"after_click": [1.2, -0.3, -1.0], "after_skip": [2.0, 1.0, 0.1]},
    "ccm": {"tau": [1.8, 0.6, -0.9]},
    "dbn": {"perseverance": [1.1]},
    "sdbn": {},
    "mnl": {"attention": [-0.4, 0.3, -0.9]},
}


def globals_of(name):
    return {key: torch.tensor(value, dtype=torch.float64) for key, value in GLOBALS[name].items()}


def chance(x):
    return 1 / (1 + np.exp(-np.asarray(x, np.float64)))


def all_pages(k=K):
    return torch.from_numpy(click_vectors(k) > 0)


def tensors(n, logits=LOGITS, satisfaction=SATISFACTION):
    return (
        torch.from_numpy(np.broadcast_to(logits, (n, len(logits))).copy()),
        torch.from_numpy(np.broadcast_to(satisfaction, (n, len(logits))).copy()),
    )


def goes_on(name, j, clicked, satisfied):
    """Chance to look at j + 1 for one who looked at j and, where clicked, was or was not satisfied."""
    g = {key: chance(value) for key, value in GLOBALS[name].items()}
    if name == "cm":
        return 0.0 if clicked else 1.0
    if name == "dcm":
        return g["after_click"][j] if clicked else 1.0
    if name == "cascade":
        return g["after_click"][j] if clicked else g["after_skip"][j]
    if name == "ccm":
        return g["tau"][0] if not clicked else g["tau"][2] if satisfied else g["tau"][1]
    patience = g["perseverance"][0] if name == "dbn" else 1.0
    return 0.0 if clicked and satisfied else patience


def brute_force(name, clicks):
    """P(clicks): the sum over looks, attractions and satisfactions of what the model's story gives each."""
    a = chance(LOGITS)
    if name == "mnl":
        odds = np.exp(LOGITS + np.r_[0.0, GLOBALS["mnl"]["attention"]])
        if sum(clicks) > 1:
            return 0.0
        return (odds[clicks.index(1)] if any(clicks) else 1.0) / (1 + odds.sum())
    satisfies = {"ccm": a}.get(name, chance(SATISFACTION))
    total = 0.0
    for looks in itertools.product((0, 1), repeat=K):
        for attracts in itertools.product((0, 1), repeat=K):
            if tuple(x * y for x, y in zip(looks, attracts, strict=True)) != tuple(clicks):
                continue
            for satisfied in itertools.product((0, 1), repeat=K):
                p, last = 1.0, 0
                for j in range(K):
                    p *= a[j] if attracts[j] else 1 - a[j]
                    p *= satisfies[j] if satisfied[j] else 1 - satisfies[j]
                    if name == "pbm":
                        look = chance(GLOBALS[name]["examination"])[j]
                    elif name == "ubm":
                        look = chance(GLOBALS[name]["examination"])[j, last]
                    elif j == 0:
                        look = 1.0
                    else:
                        look = looks[j - 1] * goes_on(name, j - 1, clicks[j - 1], satisfied[j - 1])
                    p *= look if looks[j] else 1 - look
                    last = j + 1 if clicks[j] else last
                total += p
    return total


@pytest.mark.parametrize("name", LAWS)
def test_all_pages_by_enumeration(name):
    law, p, click = law_named(name), globals_of(name), all_pages()
    z, s = tensors(len(click))
    truth = np.array([brute_force(name, tuple(int(c) for c in row)) for row in click])
    assert truth.sum() == pytest.approx(1.0, abs=1e-12)
    log, given = law.given_clicks(z, click, p, s)
    np.testing.assert_allclose(finish(log).exp().numpy(), truth, atol=1e-14)
    np.testing.assert_allclose((given.yes.exp() + given.no.exp()).numpy(), 1.0, atol=1e-12)
    chain = torch.where(click, given.yes, given.no).sum(1)
    np.testing.assert_allclose(finish(chain).exp().numpy(), truth, atol=1e-14)
    marginal = law.marginal(z, p, s)
    by_hand = (truth[:, None] * click.numpy()).sum(0)
    np.testing.assert_allclose(marginal.yes[0].exp().numpy(), by_hand, atol=1e-14)
    np.testing.assert_allclose(marginal.no[0].exp().numpy(), 1 - by_hand, atol=1e-14)


@pytest.mark.parametrize("name", LAWS)
def test_draws_follow_the_likelihood(name):
    law, p, n = law_named(name), globals_of(name), 40_000
    z, s = tensors(n)
    seed = int(np.random.default_rng().integers(2**62))
    drawn = law.sample(z, p, torch.Generator().manual_seed(seed), s).numpy()
    count = np.bincount((drawn * 2 ** np.arange(K)[::-1]).sum(1), minlength=2**K)
    expected = n * finish(law.given_clicks(*one_of_each(), p, one_of_each_satisfaction())[0]).exp().numpy()
    possible = expected > 0
    assert count[~possible].sum() == 0
    statistic = (((count - expected) ** 2)[possible] / expected[possible]).sum()
    assert statistic < chi2.isf(FALSE_ALARM, possible.sum() - 1), f"seed {seed}"


def one_of_each():
    click = all_pages()
    return tensors(len(click))[0], click


def one_of_each_satisfaction():
    return tensors(2**K)[1]


@pytest.mark.parametrize("name", LAWS)
def test_empty_positions_and_extreme_logits(name):
    law, p, click = law_named(name), globals_of(name), all_pages()
    for logits in ([2.0, NEVER, 1.0, NEVER], [800.0] * K, [-800.0] * K, [60.0, -60.0, 700.0, 0.0]):
        z, s = tensors(len(click), np.array(logits), np.array([30.0, -800.0, 800.0, -30.0]))
        z.requires_grad_()
        log, given = law.given_clicks(z, click, p, s)
        assert finish(log).exp().sum().item() == pytest.approx(1.0, abs=1e-12)
        empty = torch.tensor([x == NEVER for x in logits])
        assert (finish(log)[(click & empty).any(1)] == -torch.inf).all()
        marginal = law.marginal(z, p, s)
        np.testing.assert_allclose((marginal.yes.exp() + marginal.no.exp()).detach().numpy(), 1.0, atol=1e-12)
        torch.where(finish(log) > -torch.inf, log, 0.0).sum().backward()
        assert z.grad.isfinite().all()
        assert not given.yes.isnan().any()


def test_no_digit_is_lost_at_either_end():
    # A click on an item of logit -60 has chance e^-60, passing over one of logit 60 too, also far down the page.
    law = law_named("dcm")
    z = torch.tensor([[-60.0, 60.0]], dtype=torch.float64)
    p = {"after_click": torch.zeros(1, dtype=torch.float64)}
    neither, _ = law.given_clicks(z, torch.tensor([[False, False]]), p)
    first, _ = law.given_clicks(z, torch.tensor([[True, True]]), p)
    assert neither.item() == pytest.approx(-60.0, abs=1e-12)
    assert first.item() == pytest.approx(-60.0 - np.log(2.0), abs=1e-12)


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("pbm", ClickModel.POSITION),
        ("dcm", ClickModel.DEPENDENT),
        ("cascade", ClickModel.CASCADE),
        ("dbn", ClickModel.DYNAMIC_BAYESIAN),
        ("mnl", ClickModel.MULTINOMIAL),
    ],
)
def test_fitted_laws_are_the_simulated_ones(name, model):
    """The laws that are fitted and the closed forms that the simulators draw from: one model each."""
    law, p, click = law_named(name), globals_of(name), all_pages()
    z, s = tensors(len(click))
    g = {key: chance(value) for key, value in GLOBALS[name].items()}
    rows = {
        "pbm": lambda: {"examination": g["examination"]},
        "dcm": lambda: {"after_click": np.r_[g["after_click"], 0.0]},
        "cascade": lambda: {key: np.r_[g[key], 0.0] for key in ("after_click", "after_skip")},
        "dbn": lambda: {
            "after_click": g["perseverance"] * (1 - chance(SATISFACTION)),
            "after_skip": np.full(K, g["perseverance"][0]),
        },
        "mnl": lambda: {"examination": np.exp(np.r_[0.0, GLOBALS["mnl"]["attention"]])},
    }[name]()
    closed = click_models.vector_probability(model, z.numpy(), click.numpy().astype(np.uint8), **rows)
    np.testing.assert_allclose(finish(law.given_clicks(z, click, p, s)[0]).exp().numpy(), closed, atol=1e-14)
