"""The recurrent click model: exact chances, sessions that it remembers, and what it gains."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.stats import chi2

from simulators.click_models import click_vectors
from simulators.clicks import neural
from simulators.clicks.config import ClickFitConfig
from simulators.clicks.fit import fit_click_model
from simulators.clicks.worlds import make_world

QUICK = ClickFitConfig(strengths=(1.0,), max_iterations=100, hidden=8)


@pytest.fixture(scope="module")
def fitted():
    return fit_click_model("neural", make_world("ccm").pages(1_500, seed=1), QUICK)


def one_page(click, n_positions=4):
    """The same page, answered in all these ways; each a session of its own."""
    pages = make_world("ccm", n_positions=n_positions).pages(1, seed=2)
    n = len(click)
    return dataclasses.replace(
        pages,
        item=np.repeat(pages.item, n, 0),
        query=np.repeat(pages.query, n),
        click=click,
        session=np.arange(n),
    )


def test_chances_given_and_before(fitted):
    vectors = click_vectors(4) > 0
    found = fitted.predict(one_page(vectors))
    chance = np.exp(found.log_likelihood)
    assert chance.sum() == pytest.approx(1.0, abs=1e-6)  # float32 network
    np.testing.assert_allclose(np.exp(found.marginal_yes[0]), chance @ vectors, atol=1e-6)
    assert np.ptp(np.exp(found.given_yes[:, 3])) > 0.01  # it looks at the clicks above


def test_marginals_by_drawing_are_those_by_enumeration(fitted, monkeypatch):
    pages = one_page(np.zeros((2_000, 4), bool))
    exact = np.exp(fitted.predict(one_page(np.zeros((1, 4), bool))).marginal_yes[0])
    monkeypatch.setattr(neural, "_ENUMERATE", 0)
    drawn = np.exp(fitted.predict(pages).marginal_yes)
    error = drawn.std(axis=0) / np.sqrt(len(drawn)) + 1e-7
    assert (np.abs(drawn.mean(axis=0) - exact) < 5.5 * error + 1e-6).all()


def test_draws_follow_the_likelihood(fitted):
    vectors = click_vectors(4) > 0
    expected = 20_000 * np.exp(fitted.predict(one_page(vectors)).log_likelihood)
    seed = int(np.random.default_rng().integers(2**62))
    drawn = fitted.sample(one_page(np.zeros((20_000, 4), bool)), seed=seed)
    count = np.bincount((drawn * 2 ** np.arange(4)[::-1]).sum(1), minlength=16)
    assert ((count - expected) ** 2 / expected).sum() < chi2.isf(1e-7, 15), f"seed {seed}"


def test_it_begins_as_its_base():
    pages = make_world("pbm").pages(300, seed=5)
    untrained = dataclasses.replace(QUICK, max_iterations=1, strengths=(10.0,))
    reader = fit_click_model("neural", pages, untrained, held=pages)
    for name, value in neural.SlateReader(4, 0, QUICK.hidden).state_dict().items():
        reader.reader.state_dict()[name].copy_(value)
    np.testing.assert_allclose(
        reader.predict(pages).given_yes, reader.base.predict(pages).given_yes, atol=1e-5
    )


def test_it_remembers_the_session_and_no_other(fitted):
    click = np.zeros((4, 4), bool)
    click[0] = True
    pages = dataclasses.replace(one_page(click), session=np.array([0, 0, 1, 1]))
    first = fitted.predict(pages).marginal_yes
    other = dataclasses.replace(pages, click=np.roll(click, 2, 0))
    assert np.abs(np.exp(first[1]) - np.exp(first[3])).max() > 1e-4  # after a page of clicks, and after none
    np.testing.assert_allclose(fitted.predict(other).marginal_yes[[3, 2, 1]], first[[1, 0, 3]], atol=1e-5)


def test_it_learns_what_its_base_cannot_say():
    """Readers of a cascade: what is clicked above decides, of which the position-based model knows nothing."""
    world = make_world("dcm", n_queries=2, n_items=6)
    train, test = world.pages(4_000, seed=3), world.pages(2_000, seed=4)
    config = ClickFitConfig(strengths=(1.0,), max_iterations=100, hidden=12)
    reader = fit_click_model("neural", train, config)
    base, again = fit_click_model("pbm", train, config), fit_click_model("neural", train, config)
    one, other = (m.predict(test) for m in (reader, base))
    gain = one.log_likelihood - other.log_likelihood
    assert gain.mean() > 4 * gain.std() / np.sqrt(len(gain))
    np.testing.assert_array_equal(again.predict(test).given_yes, one.given_yes)
