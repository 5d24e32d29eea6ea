"""Users of an ensemble: each answers as one member does, in any batch, and comes back from disk the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from behavior.errors import InputError
from simulators.base import InspectableSimulator, UncertainSimulator
from simulators.contract import check_simulator
from simulators.ensemble import EnsembleSimulator, fit_ensemble
from simulators.example import example_candidates, example_features, example_log
from simulators.rollout import RandomPages, simulate_steps
from simulators.storage import load_simulator, save_simulator


@pytest.fixture(scope="module")
def ensemble() -> EnsembleSimulator:
    log, held = example_log(n_sessions=300), example_log(n_sessions=60, first_user=300)
    return fit_ensemble(("pbm", "cascade"), log, held, example_features(), n_members=4, progress=False)


def test_the_contract_holds(ensemble: EnsembleSimulator) -> None:
    assert isinstance(ensemble, InspectableSimulator)
    assert isinstance(ensemble, UncertainSimulator)
    assert len(check_simulator(ensemble)) == 10
    assert [member.name for member in ensemble.members] == ["pbm", "cascade", "pbm", "cascade"]


def test_every_user_lives_the_session_of_its_member(ensemble: EnsembleSimulator) -> None:
    users = np.arange(300)
    state = ensemble.begin(users, seed=5)
    of = ensemble.member_of(state)
    assert (np.bincount(of, minlength=4) > 40).all()
    assert (of != ensemble.member_of(ensemble.begin(users, seed=6))).any()
    pages = RandomPages(example_candidates(ensemble.features), 5)
    alone = [member.begin(users, seed=5) for member in ensemble.members]
    gone = np.zeros(300, np.bool_)
    for _ in range(4):
        slates = pages.pages(state, seed=1)
        theirs = [
            member.respond(own, slates, seed=5) for member, own in zip(ensemble.members, alone, strict=True)
        ]
        answer = ensemble.respond(state, slates, seed=5)
        for m in range(4):
            here = (of == m) & ~gone
            np.testing.assert_array_equal(answer.click[here], theirs[m].click[here])
            np.testing.assert_array_equal(answer.purchase[here], theirs[m].purchase[here])
            np.testing.assert_array_equal(answer.left[here], theirs[m].left[here])
            stay = here & ~answer.left
            np.testing.assert_array_equal(state.query[stay], alone[m].query[stay])
        gone |= answer.left


def test_a_copy_played_on_with_another_seed_keeps_its_member(ensemble: EnsembleSimulator) -> None:
    state = ensemble.begin(np.arange(50), seed=5)
    of = ensemble.member_of(state)
    copy = state.copy()
    slates = RandomPages(example_candidates(ensemble.features), 5).pages(copy, seed=1)
    ensemble.respond(copy, slates, seed=99)
    np.testing.assert_array_equal(ensemble.member_of(copy), of)


def test_members_value_the_same_page_of_the_same_session(ensemble: EnsembleSimulator) -> None:
    state = ensemble.begin(np.arange(30), seed=2)
    slates = RandomPages(example_candidates(ensemble.features), 5).pages(state, seed=1)
    ensemble.respond(state, slates, seed=2)
    slates = RandomPages(example_candidates(ensemble.features), 5).pages(state, seed=1)
    slates[3, 4] = -1
    purchase = np.linspace(2.0, 7.0, ensemble.n_items)
    values = ensemble.page_values(state, slates, click=1.5, purchase=purchase)
    assert values.shape == (30, 4)
    assert (values.std(axis=1) > 0).all()
    for m in (0, 1):  # by the member itself, on a state of its own with the same past
        member = ensemble.member(m)
        own = state.take(np.arange(30))
        own.hidden = np.ascontiguousarray(own.hidden[:, : member.layout.width])
        chance = member.examination.click_probability(
            member.attractiveness.logits(own, member.memory, slates)
        )
        buys = member.conversion.probability(own, member.memory, slates)
        worth = np.where(slates >= 0, purchase[slates], 0.0)
        np.testing.assert_allclose(values[:, m], (chance * (1.5 + worth * buys)).sum(axis=1), rtol=1e-12)
    some = np.array([4, 17])
    alone = ensemble.page_values(state.take(some), slates[some], click=1.5, purchase=purchase)
    np.testing.assert_array_equal(alone, values[some])


def test_the_expected_clicks_of_a_page_are_those_that_members_draw(ensemble: EnsembleSimulator) -> None:
    member = ensemble.member(1)
    n = 40_000
    first = member.begin(np.zeros(1, np.int64), seed=3)
    slates = RandomPages(example_candidates(ensemble.features), 5).pages(first, seed=1)
    state = first.take(np.zeros(n, np.int64))
    state.user[:] = np.arange(n)
    answer = member.respond(state, np.tile(slates, (n, 1)), seed=4)
    mixed = ensemble.begin(np.zeros(1, np.int64), seed=3)
    mixed.query[:], mixed.context[:] = first.query, first.context
    worth = np.full(ensemble.n_items, 5.0)
    expected = ensemble.page_values(mixed, slates, click=1.0, purchase=worth)[0, 1]
    drawn = answer.click.sum(axis=1) + 5.0 * answer.purchase.sum(axis=1)
    assert abs(drawn.mean() - expected) < 4.0 * drawn.std() / np.sqrt(n)


def test_it_comes_back_from_disk_the_same(ensemble: EnsembleSimulator, tmp_path: Path) -> None:
    save_simulator(ensemble, tmp_path / "ensemble")
    again = load_simulator(tmp_path / "ensemble")
    assert isinstance(again, EnsembleSimulator)
    assert again.report == ensemble.report
    assert [member.report for member in again.members] == [member.report for member in ensemble.members]
    source = RandomPages(example_candidates(ensemble.features), 5)
    first, second = (
        simulate_steps(users, source, n_sessions=80, max_steps=5, seed=3) for users in (ensemble, again)
    )
    np.testing.assert_array_equal(first.click, second.click)
    np.testing.assert_array_equal(first.query, second.query)
    np.testing.assert_array_equal(first.session_end, second.session_end)


def test_members_of_different_shops_are_refused(ensemble: EnsembleSimulator) -> None:
    with pytest.raises(InputError, match="no spread"):
        EnsembleSimulator(ensemble.members[:1], ensemble.report)
    log = example_log(n_sessions=60)
    other = fit_ensemble(("pbm",), log, log, example_features(seed=1), n_members=2, progress=False)
    with pytest.raises(InputError, match="another shop"):
        EnsembleSimulator((ensemble.member(0), other.member(0)), ensemble.report)
