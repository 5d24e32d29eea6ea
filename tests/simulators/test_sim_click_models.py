"""The five click models as device functions and closed forms, against all click vectors of small pages.

The statistical tests use fresh seeds; each refuses a right sampler once in FALSE_ALARM runs, so this whole file does
so less than once in a million.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from simulators import click_models
from simulators.click_models import ClickModel
from simulators.kernels.clicks import page_clicks, page_log_probabilities
from simulators.kernels.rng import Purpose, uniform_table

FALSE_ALARM = 2e-8  # of one test; there are fewer than fifty
LOGITS = np.array([-0.3, 0.8, -1.2, 0.4])
EXAMINATION = np.array([1.0, 0.7, 0.4, 0.2])
PERSEVERANCE, SATISFACTION = 0.8, np.array([0.3, 0.6, 0.1, 0.5])
ROWS = {  # model: (examination, after_click, after_skip)
    ClickModel.POSITION: (EXAMINATION, np.zeros(4), np.ones(4)),
    ClickModel.CASCADE: (EXAMINATION, np.zeros(4), np.ones(4)),
    ClickModel.DEPENDENT: (EXAMINATION, np.array([0.9, 0.5, 0.2, 0.1]), np.ones(4)),
    ClickModel.DYNAMIC_BAYESIAN: (EXAMINATION, PERSEVERANCE * (1 - SATISFACTION), np.full(4, PERSEVERANCE)),
    ClickModel.MULTINOMIAL: (EXAMINATION, np.zeros(4), np.ones(4)),
}
models = pytest.mark.parametrize("model", list(ClickModel), ids=lambda m: m.name.lower())


def rows(model, k):
    return [row[:k][None].copy() for row in ROWS[model]]


def keywords(model, k):
    return dict(zip(("examination", "after_click", "after_skip"), rows(model, k), strict=True))


def draw(model, logits, n, seed, *, first_user=0):
    k = logits.shape[-1]
    click = np.empty((n, k), np.uint8)
    user, step = np.arange(first_user, first_user + n), np.full(n, 3, np.int32)
    page = np.ascontiguousarray(np.broadcast_to(logits, (n, k)))
    page_clicks(n, click, int(model), page, *rows(model, k), user, step, np.uint64(seed))
    return click


def log_probability(model, logits, click):
    out = np.empty(len(click))
    page = np.ascontiguousarray(np.broadcast_to(logits, click.shape))
    page_log_probabilities(len(click), out, int(model), page, *rows(model, click.shape[1]), click)
    return out


def brute_force(model, logits, clicks):
    """P(clicks), by summing over all that is not seen: which positions were looked at, and what satisfied."""
    k, a = len(clicks), 1 / (1 + np.exp(-logits))
    if model == ClickModel.MULTINOMIAL:
        odds = EXAMINATION[:k] * np.exp(logits)
        if sum(clicks) > 1:
            return 0.0
        return (odds[clicks.index(1)] if any(clicks) else 1.0) / (1 + odds.sum())
    total = 0.0
    for looked in itertools.product((0, 1), repeat=k):
        for satisfied in itertools.product((0, 1), repeat=k):
            p = 1.0
            for j in range(k):
                p *= click_chance(a[j], looked[j], clicks[j])
                p *= SATISFACTION[j] if satisfied[j] else 1 - SATISFACTION[j]
                if model == ClickModel.POSITION:
                    go_on = EXAMINATION[j]
                elif j == 0:
                    go_on = 1.0
                else:
                    go_on = goes_on(model, j - 1, looked[j - 1], clicks[j - 1], satisfied[j - 1])
                p *= go_on if looked[j] else 1 - go_on
            total += p
    return total


def click_chance(appeal, looked, clicked):
    chance = appeal if looked else 0.0
    return chance if clicked else 1 - chance


def goes_on(model, j, looked, clicked, satisfied):
    if not looked:
        return 0.0
    if model == ClickModel.CASCADE:
        return 0.0 if clicked else 1.0
    if model == ClickModel.DEPENDENT:
        return (0.9, 0.5, 0.2)[j] if clicked else 1.0
    return 0.0 if clicked and satisfied else PERSEVERANCE


@models
@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_all_click_vectors(model, k):
    logits = LOGITS[:k]
    vectors = click_models.click_vectors(k)
    assert vectors.tolist() == [list(v) for v in itertools.product((0, 1), repeat=k)]
    truth = np.array([brute_force(model, logits, tuple(v.tolist())) for v in vectors])
    assert truth.sum() == pytest.approx(1.0, abs=1e-12)

    closed = click_models.vector_probability(model, logits[None], vectors, **keywords(model, k))
    np.testing.assert_allclose(closed, truth, atol=1e-14)
    np.testing.assert_allclose(np.exp(log_probability(model, logits, vectors)), truth, atol=1e-14)

    given = click_models.click_probability_given_above(model, logits[None], vectors, **keywords(model, k))
    chain = np.where(vectors > 0, given, 1 - given).prod(axis=1)
    np.testing.assert_allclose(chain, truth, atol=1e-14)
    marginal = click_models.click_probability(model, logits[None], **keywords(model, k))[0]
    np.testing.assert_allclose(marginal, (truth[:, None] * vectors).sum(0), atol=1e-14)


@models
@pytest.mark.parametrize("k", [3, 4])
def test_the_draws_follow_the_closed_form(model, k):
    logits, n = LOGITS[:k], 200_000
    vectors = click_models.click_vectors(k)
    expected = n * click_models.vector_probability(model, logits[None], vectors, **keywords(model, k))
    seed = int(np.random.default_rng().integers(2**63))
    code = (draw(model, logits, n, seed) * 2 ** np.arange(k)[::-1]).sum(axis=1)
    count = np.bincount(code, minlength=2**k)
    possible = expected > 0
    assert count[~possible].sum() == 0
    statistic = (((count - expected) ** 2)[possible] / expected[possible]).sum()
    assert statistic < chi2.isf(FALSE_ALARM, possible.sum() - 1), f"seed {seed}"


def test_values_worked_by_hand():
    logits = np.array([0.0, math.log(3.0)])  # appeal 1/2 and 3/4, odds 1 and 3
    vectors = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.uint8)
    gamma, after_click, after_skip = np.array([[1.0, 0.5]]), np.array([[0.4, 9.0]]), np.array([[0.8, 9.0]])

    def probability(model):
        out = np.empty(4)
        page_log_probabilities(
            4, out, int(model), np.repeat(logits[None], 4, 0), gamma, after_click, after_skip, vectors
        )
        return np.exp(out)

    # position: 1/2 x (1 - 3/8) twice, and 1/2 x 3/8 twice
    np.testing.assert_allclose(probability(ClickModel.POSITION), [5 / 16, 3 / 16, 5 / 16, 3 / 16], rtol=1e-14)
    # from the top: 1/2 x (1 - 0.8 x 3/4), 1/2 x 0.8 x 3/4, 1/2 x (1 - 0.4 x 3/4), 1/2 x 0.4 x 3/4
    np.testing.assert_allclose(probability(ClickModel.DYNAMIC_BAYESIAN), [0.2, 0.3, 0.35, 0.15], rtol=1e-14)
    # multinomial: odds 1 : 0.5 x 3 : 1 of none, second, first
    np.testing.assert_allclose(probability(ClickModel.MULTINOMIAL)[:3], [2 / 7, 3 / 7, 2 / 7], rtol=1e-14)
    assert probability(ClickModel.MULTINOMIAL)[3] == 0


def test_the_draws_use_the_numbers_of_the_table():
    # Every sixteenth-bit trap of drawing by fours: large users and seeds, all positions, all steps.
    k, n, seed = 11, 300, 2**63 + 12345
    rng = np.random.default_rng(0)
    user = rng.integers(0, 2**40, n)
    step = rng.integers(0, 50, n).astype(np.int32)
    logits = rng.normal(size=(n, k))
    rows_ = rng.random((3, 1, k))
    appeal = 1 / (1 + np.exp(-logits))
    u = uniform_table(seed, user, step, Purpose.CLICK, k)
    v = uniform_table(seed, user, step, Purpose.EXAMINATION, k)
    position, cascade = np.empty((n, k), np.uint8), np.empty((n, k), np.uint8)
    arguments = logits, *rows_, user, step, np.uint64(seed)
    page_clicks(n, position, int(ClickModel.POSITION), *arguments)
    page_clicks(n, cascade, int(ClickModel.CASCADE), *arguments)
    np.testing.assert_array_equal(position, u < rows_[0] * appeal)
    looking = np.ones(n, bool)
    for j in range(k):
        clicked = looking & (u[:, j] < appeal[:, j])
        np.testing.assert_array_equal(cascade[:, j], clicked)
        looking &= v[:, j] < np.where(clicked, rows_[1, 0, j], rows_[2, 0, j])


@models
def test_no_batch_changes_a_users_clicks(model):
    logits = np.random.default_rng(1).normal(size=4)
    whole = draw(model, logits, 300, 9)
    np.testing.assert_array_equal(draw(model, logits, 7, 9, first_user=100), whole[100:107])  # serial twin
    np.testing.assert_array_equal(draw(model, logits, 100, 9, first_user=100), whole[100:200])


@models
def test_empty_positions_are_never_clicked(model):
    logits = np.array([2.0, -np.inf, 2.0, -np.inf])
    assert not draw(model, logits, 2000, 4)[:, [1, 3]].any()
    vectors = click_models.click_vectors(4)
    chance = np.exp(log_probability(model, logits, vectors))
    assert (chance[vectors[:, [1, 3]].any(axis=1)] == 0).all()
    assert chance.sum() == pytest.approx(1.0, abs=1e-12)
    closed = click_models.vector_probability(model, logits[None], vectors, **keywords(model, 4))
    np.testing.assert_allclose(closed, chance, atol=1e-15)


@models
def test_extreme_logits_stay_finite(model):
    vectors = click_models.click_vectors(4)
    for logits in (np.full(4, 800.0), np.full(4, -800.0), np.array([60.0, -60.0, 700.0, 0.0])):
        log = log_probability(model, logits, vectors)
        assert not np.isnan(log).any()
        assert np.exp(log).sum() == pytest.approx(1.0, abs=1e-12)
    # The chance to pass over an item of logit 60 is e^-60, not 0: nothing may cancel.
    if model != ClickModel.MULTINOMIAL:
        log = log_probability(model, np.full(1, 60.0), np.zeros((1, 1), np.uint8))
        assert log[0] == pytest.approx(-60.0, abs=1e-9)


def test_long_pages_do_not_underflow():
    logits, click = np.full(1000, -10.0), np.ones((1, 1000), np.uint8)
    ones, out = np.ones((1, 1000)), np.empty(1)
    for model in (ClickModel.POSITION, ClickModel.DEPENDENT):
        page_log_probabilities(1, out, int(model), logits[None], ones, ones, ones, click)
        assert out[0] == pytest.approx(-1000 * math.log1p(math.exp(10.0)), rel=1e-12)


@given(
    model=st.sampled_from(list(ClickModel)),
    page=st.integers(1, 6).flatmap(
        lambda k: st.tuples(
            *(
                st.lists(numbers, min_size=k, max_size=k)
                for numbers in (st.floats(-8, 8), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
            )
        )
    ),
)
@settings(max_examples=150, deadline=None)
def test_any_page_sums_to_one_and_kernel_and_closed_form_agree(model, page):
    logits, *any_rows = (np.array([row]) for row in page)
    vectors = click_models.click_vectors(logits.shape[1])
    names = ("examination", "after_click", "after_skip")
    closed = click_models.vector_probability(
        model, logits, vectors, **dict(zip(names, any_rows, strict=True))
    )
    assert closed.sum() == pytest.approx(1.0, abs=1e-12)
    log = np.empty(len(vectors))
    pages = np.repeat(logits, len(vectors), axis=0)
    page_log_probabilities(len(vectors), log, int(model), pages, *any_rows, vectors)
    np.testing.assert_allclose(np.exp(log), closed, rtol=1e-10, atol=1e-300)
