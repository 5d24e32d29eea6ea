"""Fits of click models: parameters found again, EM and gradients alike, logs that cannot carry a model."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from behavior.errors import InputError
from simulators.clicks.config import ClickFitConfig
from simulators.clicks.em import fit_by_em, run_em
from simulators.clicks.fit import fit_click_model
from simulators.clicks.identify import tied_positions
from simulators.clicks.pages import ClickPages
from simulators.clicks.registry import CLICK_MODELS, NEURAL
from simulators.clicks.worlds import make_world

LAWS = [name for name in CLICK_MODELS if name != NEURAL]
PLAIN = ClickFitConfig(strengths=(0.0,), max_iterations=400)


def spread(world, pages):
    """Errors of what a plain fit finds, scaled out where a model leaves the scale open; and the global parameters'."""
    fitted = fit_click_model(world.law.name, pages, PLAIN)
    assert fitted.converged, fitted.notes
    at = pages.query[:, None], pages.item
    found, true = fitted.attractiveness(pages), 1 / (1 + np.exp(-world.appeal[at]))
    if world.law.name in ("pbm", "ubm"):  # gamma c and a / c are the same model
        found = found * np.exp(np.mean(np.log(true) - np.log(found)))
    errors = {"attractiveness": found - true}
    if world.law.satisfies:
        errors["satisfaction"] = fitted.satisfaction(pages) - 1 / (1 + np.exp(-world.satisfaction[at]))
    for key, value in world.law.natural(world.globals).items():
        errors[key] = fitted.parameters[key] - value
        if key == "examination":
            errors[key] = fitted.parameters[key] / np.nanmean(fitted.parameters[key]) - value / np.nanmean(
                value
            )
    return {key: float(np.sqrt(np.nanmean(np.square(error)))) for key, error in errors.items()}


# Root mean squared errors of chances (attention: of weights near 1) after 6,000 pages of 4 positions, 32 pairs.
STATED = {
    "attractiveness": 0.035,
    "satisfaction": 0.09,
    "examination": 0.06,
    "after_click": 0.06,
    "after_skip": 0.04,
    "tau": 0.05,
    "perseverance": 0.03,
    "attention": 0.06,
}


@pytest.mark.parametrize("name", LAWS)
def test_parameters_are_found_again(name):
    for key, error in spread(make_world(name), make_world(name).pages(6_000, seed=1)).items():
        assert error < STATED[key], (key, error)


@pytest.mark.slow
@pytest.mark.parametrize("name", LAWS)
def test_errors_shrink_like_the_root_of_the_log(name):
    """Sixteen times the pages: errors fall to a quarter; 0.4 leaves room for chance, more so where numbers are few."""
    world = make_world(name, n_queries=10, n_items=20, n_positions=6, seed=3)
    small, large = (spread(world, world.pages(n, seed=4)) for n in (5_000, 80_000))
    for key, error in large.items():
        slack = 0.002 if key in ("attractiveness", "satisfaction") else 0.01
        assert error < 0.4 * small[key] + slack, (key, small[key], error)


@pytest.mark.parametrize("name", ["pbm", "ubm"])
def test_em_and_gradients_agree(name):
    pages = make_world(name).pages(4_000, seed=2)
    by_em, by_slope = fit_by_em(name, pages), fit_click_model(name, pages, PLAIN)
    assert by_em.converged
    one, other = by_em.predict(pages), by_slope.predict(pages)
    assert one.log_likelihood.sum() == pytest.approx(other.log_likelihood.sum(), abs=0.01)
    np.testing.assert_allclose(np.exp(one.given_yes), np.exp(other.given_yes), atol=3e-3)


def test_em_never_falls_and_its_first_round_is_right():
    # One pair clicked in one of two looks at cell 0, another never clicked at cell 1; all begins at one half.
    pair, cell = np.array([0, 0, 1]), np.array([0, 0, 1])
    click = np.array([True, False, False])
    one = run_em(pair, cell, click, n_cells=3, max_rounds=1)
    # No click: it appealed with chance 1/2 x 1/2 / (3/4) = 1/3.
    np.testing.assert_allclose(one.attractiveness, [(1 + 1 / 3) / 2, 1 / 3])
    np.testing.assert_allclose(one.examination, [(1 + 1 / 3) / 2, 1 / 3, 0.5])
    assert not one.converged
    pages = make_world("ubm").pages(500, seed=3)
    shown = pages.shown
    trace = run_em(
        np.unique(pages.pair[shown], return_inverse=True)[1],
        np.nonzero(shown)[1],
        pages.click[shown],
        n_cells=4,
        max_rounds=200,
    ).log_likelihood
    assert (np.diff(trace) > -1e-9).all()


def test_a_prior_shrinks_pairs_to_their_item_and_all():
    world = make_world("dcm", n_queries=30, n_items=12)
    train, test = world.pages(900, seed=5), world.pages(900, seed=6)
    plain = fit_click_model("dcm", train, PLAIN).predict(test).log_likelihood
    tuned = fit_click_model("dcm", train)
    assert tuned.strength > 0
    # Impossible pages count for a hundred nats here; a prior makes nothing impossible.
    assert tuned.predict(test).log_likelihood.mean() > np.maximum(plain, -100).mean() + 0.05
    unseen = dataclasses.replace(test, query=np.full(test.n_pages, 999))
    chance = tuned.attractiveness(unseen)
    assert len(np.unique(chance.round(9))) == 12  # one for each item
    assert 0 < chance.min() < chance.max() < 1


def test_what_a_model_cannot_make_is_refused():
    pages = make_world("pbm").pages(300, seed=7)
    for name in ("cm", "mnl"):
        with pytest.raises(InputError, match=r"pages have several clicks, which .* cannot make"):
            fit_click_model(name, pages)
    alone = dataclasses.replace(pages, single_impressions=True)
    for name in ("dcm", "ubm", NEURAL):
        with pytest.raises(InputError, match="single impressions"):
            fit_click_model(name, alone)
    assert fit_click_model("pbm", alone, PLAIN).converged
    with pytest.raises(InputError, match="no click"):
        fit_click_model("dbn", dataclasses.replace(pages, click=np.zeros_like(pages.click)))
    with pytest.raises(InputError, match="one position only"):
        fit_click_model("pbm", dataclasses.replace(pages, item=pages.item[:, :1], click=pages.click[:, :1]))
    with pytest.raises(InputError, match="did you mean 'pbm'"):
        fit_click_model("pbn", pages)
    with pytest.raises(InputError, match="EM is exact"):
        fit_by_em("dbn", pages)


def fixed_places(n=400):
    """Items that never change their positions, in two pairs of positions that exchange theirs."""
    rng = np.random.default_rng(0)
    item = np.tile(np.arange(4), (n, 1))
    swap = rng.random(n) < 0.5
    item[swap, :2] = [1, 0]
    item[~swap, 2:] = [3, 2]
    click = rng.random((n, 4)) < 0.3
    return ClickPages(item=item, click=click, query=np.zeros(n, int), session=np.arange(n), n_items=4)


def test_positions_that_share_no_item_cannot_be_compared():
    pages = fixed_places()
    np.testing.assert_array_equal(tied_positions(pages), [0, 0, 1, 1])
    for name in ("pbm", "ubm"):
        with pytest.raises(InputError, match=r"1 2 \| 3 4"):
            fit_click_model(name, pages)
    assert fit_click_model("dcm", pages).converged  # a cascade knows where its reader begins
    bridged = dataclasses.replace(pages, item=np.r_[pages.item[:-1], [[0, 2, 1, 3]]])
    np.testing.assert_array_equal(tied_positions(bridged), [0, 0, 0, 0])
    nothing = dataclasses.replace(pages, item=np.where(np.arange(4) == 3, -1, pages.item))
    np.testing.assert_array_equal(tied_positions(nothing), [0, 0, 1, -1])


def test_a_fit_cut_short_says_so():
    pages = make_world("dbn").pages(600, seed=8)
    hasty = fit_click_model("dbn", pages, ClickFitConfig(strengths=(1.0,), max_iterations=2))
    assert not hasty.converged
    assert any(note.startswith("WARNING: the fit did not converge in 2 iterations") for note in hasty.notes)
    em = fit_by_em("pbm", make_world("pbm").pages(600, seed=8), max_rounds=3)
    assert not em.converged
    assert any("EM did not converge" in note for note in em.notes)


def test_pages_of_another_log_are_refused():
    pages = make_world("dcm").pages(300, seed=8)
    fitted = fit_click_model("dcm", pages, PLAIN)
    for other in (
        dataclasses.replace(pages, item=pages.item[:, :3], click=pages.click[:, :3]),
        dataclasses.replace(pages, n_items=99),
    ):
        with pytest.raises(InputError, match="the model was fitted to pages of 4 from 8"):
            fitted.predict(other)


def test_a_log_without_second_clicks_is_remarked_on():
    pages = make_world("cm").pages(600, seed=9)
    assert any("no page has two clicks" in note for note in fit_click_model("dcm", pages).notes)
    late = dataclasses.replace(pages, click=pages.click & (np.arange(4) < 3))
    assert any("no click at position 4" in note for note in fit_click_model("cm", late).notes)


def test_the_same_log_gives_the_same_fit_to_the_bit():
    pages = make_world("dbn").pages(500, seed=10)
    one, other = (fit_click_model("dbn", pages).predict(pages) for _ in range(2))
    np.testing.assert_array_equal(one.given_yes, other.given_yes)


@pytest.mark.parametrize("field", ["tuning_share", "max_iterations", "check_every", "patience", "hidden"])
def test_settings_that_cannot_work_are_refused(field):
    with pytest.raises(InputError, match=field):
        ClickFitConfig(**{field: 0})
