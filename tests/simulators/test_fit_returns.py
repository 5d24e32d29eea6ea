"""Returns: gaps and censoring by hand, hazards found again, draws, several visits of a user in one episode."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from behavior.errors import InputError
from behavior.steps import LoggedSteps
from simulators.composed import ComposedSimulator
from simulators.contract import check_simulator
from simulators.ensemble.fit import fit_ensemble
from simulators.example import example_candidates, example_features, example_log, example_simulator
from simulators.fitted import FittedSimulator
from simulators.fitting.config import FitConfig
from simulators.fitting.fit import fit_simulator
from simulators.fitting.replay import replay
from simulators.fitting.returns import at_risk, spans, visits_of
from simulators.parts import HazardReturns
from simulators.parts.returns import visit_names
from simulators.rollout import RandomPages
from simulators.storage import load_simulator, save_simulator

FEATURES = example_features()
NAMES = visit_names(FEATURES, ("context 0", "context 1"))
QUICK = FitConfig(strengths=(300.0, 30.0))
DAY = 86_400 * 10**9


def true_returns() -> HazardReturns:
    weights = dict.fromkeys(NAMES, 0.0) | {
        "log1p(purchases of the visit)": 1.2,
        "log1p(clicks so far)": 0.6,
        "context 0": -0.5,
    }
    return HazardReturns(
        weights=np.array(list(weights.values()), np.float32),
        base=np.array([-4.0, -3.5, -2.8, -3.0, -3.0, -2.5, -2.5, -2.4, -2.4]),
        edges=np.array([0.0, 1 / 24, 0.25, 1.0, 2.0, 3.0, 5.0, 7.0, 10.0, 14.0]),
    )


def rows_of(steps: LoggedSteps) -> np.ndarray:
    """Rows (S, PP) of the visits of a log."""
    visits = visits_of(steps)
    rows = replay(FEATURES, steps, ring=64).page_rows[visits.last_page].copy()
    rows[:, 0] = np.log1p(visits.purchases)
    return rows


def log_with_returns(n_sessions: int, first_user: int = 0, length_days: float = 60.0) -> LoggedSteps:
    """Sessions of the example dealt out to people who come back as `true_returns` says, in a log that ends."""
    steps = example_log(n_sessions=n_sessions, first_user=first_user)
    key = np.arange(n_sessions) + first_user
    _, days = true_returns().draw(rows_of(steps), key, np.zeros(n_sessions, np.int32), seed=9)
    arrivals = np.random.default_rng(first_user).uniform(0, length_days, n_sessions)
    n_pages = np.bincount(steps.session)
    begin, person = np.empty(n_sessions), np.empty(n_sessions, np.int64)
    at, who = arrivals[0], 0
    for s in range(n_sessions):
        begin[s], person[s] = at, who
        at = at + (n_pages[s] - 1) / 1440 + days[s]  # a page a minute
        if at > length_days:  # never, or after the log's end
            who += 1
            at = arrivals[who]
    order = np.argsort(begin, kind="stable")
    rank = np.empty(n_sessions, np.int64)
    rank[order] = np.arange(n_sessions)
    dealt = dataclasses.replace(
        steps,
        session=rank[steps.session],
        user=person[steps.session],
        timestamp=(begin[steps.session] * DAY).astype(np.int64) + steps.step.astype(np.int64) * (DAY // 1440),
    )
    return dealt.take(np.lexsort((dealt.step, dealt.session)))


def with_returns(returns: HazardReturns | None, *, several_visits: bool = True) -> ComposedSimulator:
    base = example_simulator("pbm", features=FEATURES)
    roles = ("population", "attractiveness", "examination", "conversion", "dynamics")
    return ComposedSimulator(
        features=FEATURES,
        **{role: getattr(base, role) for role in roles},
        slate_size=5,
        returns=returns,
        several_visits=several_visits,
    )


@pytest.fixture(scope="module")
def logs() -> tuple[LoggedSteps, LoggedSteps]:
    return log_with_returns(6_000), log_with_returns(2_000, 6_000)


@pytest.fixture(scope="module")
def fitted(logs: tuple[LoggedSteps, LoggedSteps]) -> FittedSimulator:
    return fit_simulator("pbm", *logs, FEATURES, QUICK, progress=False)


def test_gaps_and_watching_by_hand() -> None:
    # the first session has two pages, six hours apart
    begin = np.array([0.0, 0.25, 1.0, 1.5, 4.0, 10.0])  # days
    steps = dataclasses.replace(
        example_log(n_sessions=60).take(np.arange(6)),
        session=np.array([0, 0, 1, 2, 3, 4]),
        step=np.array([0, 1, 0, 0, 0, 0], np.int32),
        user=np.array([7, 7, 3, 7, 3, 7]),
        timestamp=(begin * DAY).astype(np.int64),
    )
    visits = visits_of(steps)
    assert visits.last_page.tolist() == [1, 2, 3, 4, 5]
    np.testing.assert_allclose(visits.gap, [1.25, 3.0, 8.5, np.inf, np.inf])
    np.testing.assert_allclose(visits.watched, [9.75, 9.0, 8.5, 6.0, 0.0])
    assert visits.n_returns == 3

    risk = at_risk(visits, np.array([0.0, 2.0, 6.0, 9.0]))
    found = list(zip(risk.visit.tolist(), risk.span.tolist(), risk.came.tolist(), strict=True))
    # 0 comes in the first span; 1 in the second; 2, watched for 8.5 days, is known in the first two; 3 in those, too
    assert found == [(0, 0, 1), (1, 0, 0), (1, 1, 1), (2, 0, 0), (2, 1, 0), (3, 0, 0), (3, 1, 0)]
    np.testing.assert_allclose(risk.days, [1.25, 2.0, 1.0, 2.0, 4.0, 2.0, 4.0])


def test_hazards_are_found_again(fitted: FittedSimulator) -> None:
    truth, part = true_returns(), fitted.returns
    assert isinstance(part, HazardReturns)
    found = dict(zip(NAMES, part.weights, strict=True))
    assert found["log1p(purchases of the visit)"] + found["any purchase on the page"] == pytest.approx(
        1.2, abs=0.4
    )
    assert found["context 0"] == pytest.approx(-0.5, abs=0.06)
    np.testing.assert_array_equal(part.edges, truth.edges)
    assert len(part.base) == len(truth.base)
    # purchases and clicks of a visit and of its last page go together: what counts is the chance they add up to
    rows = rows_of(example_log(n_sessions=500, first_user=20_000))
    user, step = np.arange(500), np.zeros(500, np.int32)
    mine, theirs = (p.draw(rows, user, step, seed=0)[0] for p in (part, truth))
    assert np.corrcoef(mine, theirs)[0, 1] > 0.97
    assert mine.mean() == pytest.approx(theirs.mean(), abs=0.03)


def test_held_out_scores_beat_both_baselines(fitted: FittedSimulator) -> None:
    scores = [score for score in fitted.report.scores if score.part == "return"]
    assert [score.baseline_name for score in scores] == [
        "constant rate a day",
        "rate by days away, the same for all",
    ]
    assert all(score.beats_baseline for score in scores)
    assert scores[0].baseline > scores[1].baseline  # the true rate is not constant
    assert "return" in fitted.report.strengths
    assert fitted.visits is None


def test_watching_less_does_not_change_the_rate() -> None:
    """The share that comes in the first span is the same law's in a log of twenty days as in one of sixty."""
    for days in (20.0, 60.0):
        steps = log_with_returns(4_000, length_days=days)
        visits, edges = visits_of(steps), true_returns().edges
        risk = at_risk(visits, edges)
        rows = rows_of(steps)
        logit = rows @ true_returns().weights
        for j in range(9):
            here = risk.span == j
            chance = 1 / (1 + np.exp(-true_returns().base[j] - logit[risk.visit[here]]))
            error = np.sqrt((chance * (1 - chance)).sum())
            assert abs(risk.came[here].sum() - chance.sum()) < 3.5 * error, (days, j)


def test_draws_follow_the_hazards() -> None:
    weights = np.zeros(len(NAMES), np.float32)
    part = HazardReturns(
        weights=weights, base=np.array([-0.5, 0.3, -1.0, 0.0]), edges=np.array([0.0, 1.0, 3.0, 7.0, 14.0])
    )
    n = 20_000
    rows = np.zeros((n, len(NAMES)), np.float32)
    chance, days = part.draw(rows, np.arange(n), np.zeros(n, np.int32), seed=1)
    hazard = 1 / (1 + np.exp(-part.base))
    still = np.cumprod(1 - hazard)
    np.testing.assert_allclose(chance, 1 - still[-1], rtol=1e-6)
    wanted = np.r_[np.r_[1.0, still[:-1]] * hazard, still[-1]]
    counts = np.histogram(days[np.isfinite(days)], part.edges)[0]
    counts = np.r_[counts, np.isinf(days).sum()]
    assert stats.chisquare(counts, n * wanted).pvalue > 0.001
    second = days[(days > 1.0) & (days < 3.0)]
    assert stats.kstest(second, "uniform", (1.0, 2.0)).pvalue > 0.001


def test_replayed_visits_are_to_the_bit_what_the_simulator_sees() -> None:
    simulator = with_returns(true_returns(), several_visits=False)
    state = simulator.begin(np.arange(80), seed=3)
    source, seen = RandomPages(example_candidates(FEATURES), 5), []
    for _ in range(3):
        slates = source.pages(state, seed=3)
        before = state.copy()
        feedback = simulator.respond(state, slates, seed=3)
        page = (before, simulator.memory, slates, feedback.click, feedback.purchase)
        seen.append((before, slates, feedback, true_returns().after(*page, seed=3)))
    pages = np.arange(80).repeat(3)
    steps = dataclasses.replace(
        example_log(n_sessions=1_000).take(np.arange(240)),
        session=pages,
        user=pages,
        step=np.tile(np.arange(3, dtype=np.int32), 80),
        query=np.stack([s[0].query for s in seen], 1).ravel(),
        context=np.stack([s[0].context for s in seen], 1).reshape(240, -1),
        item=np.stack([s[1] for s in seen], 1).reshape(240, 5),
        click=np.stack([s[2].click for s in seen], 1).reshape(240, 5),
        purchase=np.stack([s[2].purchase for s in seen], 1).reshape(240, 5),
    )
    chance, days = true_returns().draw(rows_of(steps), np.arange(80), np.full(80, 2, np.int32), seed=3)
    np.testing.assert_array_equal(chance, seen[-1][3][0])
    np.testing.assert_array_equal(days, seen[-1][3][1])


def test_contract_holds_over_several_visits() -> None:
    often = dataclasses.replace(true_returns(), base=np.full(9, 2.0))
    assert len(check_simulator(with_returns(often))) == 10


def test_a_visit_is_a_session_of_its_own() -> None:
    """After coming back, a user lives what user xor 2^44 lives from the start, with the same context."""
    often = dataclasses.replace(true_returns(), base=np.full(9, -2.0))
    simulator, source = with_returns(often), RandomPages(example_candidates(FEATURES), 5)
    once = simulator.one_visit()
    users = np.arange(300)
    state, alone = simulator.begin(users, seed=1), once.begin(users, seed=1)
    slates = source.pages(state, seed=1)
    here, there = simulator.respond(state, slates, seed=1), once.respond(alone, slates, seed=1)
    np.testing.assert_array_equal(here.click, there.click)
    assert not (here.left & ~there.left).any()
    back = np.flatnonzero(there.left & ~here.left)
    assert 0.6 < len(back) / there.left.sum() < 1.0  # each with a chance of 1 - (1 - sigmoid(-2))^9 and more

    second = once.begin(users[back] ^ (1 << 44), seed=1)
    np.testing.assert_array_equal(state.query[back], second.query)
    second.context[:] = state.context[back]
    state = state.take(back)
    for _ in range(3):
        slates = source.pages(second, seed=1)
        a, b = simulator.appeal(state, slates), once.appeal(second, slates)
        np.testing.assert_array_equal(a.click, b.click)
        here, there = simulator.respond(state, slates, seed=1), once.respond(second, slates, seed=1)
        np.testing.assert_array_equal(here.click, there.click)
        np.testing.assert_array_equal(here.purchase, there.purchase)
        stay = np.flatnonzero(~there.left)
        state, second = state.take(stay), second.take(stay)
        np.testing.assert_array_equal(state.query, second.query)
    assert len(stay) > 5


def test_several_visits_are_fitted_saved_and_loaded(
    logs: tuple[LoggedSteps, LoggedSteps], tmp_path: Path
) -> None:
    config = dataclasses.replace(QUICK, several_visits=True, max_impressions=20_000)
    short = logs[1].take(logs[1].session < 200)
    short = dataclasses.replace(short, timestamp=np.zeros_like(short.timestamp))  # no span is seen to its end
    simulator = fit_simulator("pbm", logs[0], short, FEATURES, config, progress=False)
    assert any("too soon after they begin for any return to be judged" in note for note in simulator.notes)
    save_simulator(simulator, tmp_path / "sim")
    again = load_simulator(tmp_path / "sim")
    assert isinstance(again, FittedSimulator)
    assert again.visits is not None
    states = [s.begin(np.arange(100), seed=4) for s in (simulator, again)]
    slates = np.tile(np.arange(5, dtype=np.int32), (100, 1))
    for shift in range(4):
        a, b = (s.respond(x, slates + shift, seed=4) for s, x in zip((simulator, again), states, strict=True))
        np.testing.assert_array_equal(a.left, b.left)
        np.testing.assert_array_equal(states[0].hidden, states[1].hidden)
    assert again.layout.of(states[1].hidden, "visit").max() >= 1


def test_logs_whose_users_never_come_back(logs: tuple[LoggedSteps, LoggedSteps]) -> None:
    train, valid = example_log(n_sessions=400), example_log(n_sessions=100, first_user=400)
    quick = FitConfig(strengths=(300.0,))
    never = fit_simulator("pbm", train, valid, FEATURES, quick, progress=False)
    assert never.returns is None
    assert any("no user of the log comes a second time" in note for note in never.notes)
    with pytest.raises(InputError, match="does not tell who comes back"):
        fit_simulator(
            "pbm", train, valid, FEATURES, dataclasses.replace(quick, several_visits=True), progress=False
        )
    with pytest.raises(InputError, match="nothing says who comes back"):
        with_returns(None)
    short = logs[0].take(logs[0].session < 12)
    assert spans(visits_of(short)).tolist() == [0.0]


def test_members_of_an_ensemble_keep_their_users_over_visits(logs: tuple[LoggedSteps, LoggedSteps]) -> None:
    train, valid = (steps.take(steps.session < 1_200) for steps in logs)
    config = dataclasses.replace(QUICK, several_visits=True)
    ensemble = fit_ensemble(("pbm",), train, valid, FEATURES, config, n_members=3, progress=False)
    bases = [member.returns.base for member in ensemble.members if isinstance(member.returns, HazardReturns)]
    assert len(bases) == 3
    assert not np.array_equal(bases[0], bases[1])
    state = ensemble.begin(np.arange(200), seed=0)
    of = ensemble.member_of(state)
    slates = np.tile(np.arange(5, dtype=np.int32), (200, 1))
    for shift in range(6):
        ensemble.respond(state, slates + 5 * shift, seed=0)
        np.testing.assert_array_equal(ensemble.member_of(state), of)
    assert ensemble.layout.of(state.hidden, "visit").max() >= 1
