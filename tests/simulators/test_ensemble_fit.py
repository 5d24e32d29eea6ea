"""Members of an ensemble: weights of sessions, drawn centres of priors, and the choice of click models."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from behavior.errors import InputError
from simulators.ensemble import EnsembleConfig, fit_ensemble
from simulators.ensemble.families import undecided_families
from simulators.example import example_features, example_log
from simulators.fitting.centres import ITEM_PENALTY
from simulators.fitting.likelihood import Problem, constant_rate, maximise
from simulators.fitting.queries import fit_queries
from simulators.fitting.resample import Resample, coupled_rows, session_weights


def coins(outcome: list[int], item: list[int], *, n_items: int = 3) -> Problem:
    """Outcomes of items without features, beside a constant."""
    n = len(outcome)
    return Problem(
        rows=np.ones((n, 1), np.float32),
        outcome=np.array(outcome, np.uint8),
        penalty=np.zeros(1, np.float32),
        item=np.array(item, np.int64),
        n_items=n_items,
    )


def test_weights_of_sessions_average_to_one_and_vary_as_exponential_ones_do() -> None:
    weight = session_weights(20_000, np.random.default_rng(0))
    assert weight.mean() == pytest.approx(1.0)
    assert weight.min() > 0.0  # no session is ever lost
    assert weight.var() == pytest.approx(
        1.0, abs=0.06
    )  # the variance of an exponential; of counts of draws as well


def test_rows_stand_at_their_own_place_about_as_often_as_their_weights_say() -> None:
    assert coupled_rows(np.array([1.0, 1.0, 1.0])).tolist() == [0, 1, 2]
    assert coupled_rows(np.array([0.1, 2.9, 0.6, 0.4])).tolist() == [1, 1, 2, 1]
    weight = session_weights(3_000, np.random.default_rng(1))
    rows = coupled_rows(weight)
    count = np.bincount(rows, minlength=3_000)
    assert count.sum() == 3_000
    assert np.abs(count - weight).max() < 1.0 + 1e-9
    assert (rows[count > 0] == np.flatnonzero(count > 0)).all()
    # Weights below one half mostly round to nothing: about exp(-1/2) of the places keep their row.
    assert (rows == np.arange(3_000)).mean() == pytest.approx(np.exp(-0.5), abs=0.05)


def test_a_weighted_fit_finds_the_weighted_rate() -> None:
    problem = replace(coins([1, 0, 0, 1], [0, 0, 0, 0], n_items=0), item=None)
    weight = np.array([3.0, 1.0, 1.0, 1.0], np.float32)
    found = maximise(replace(problem, weight=weight), strength=1.0, max_iterations=50)
    assert found.weights[0] == pytest.approx(
        np.log(4 / 2), abs=5e-3
    )  # 4 of 6; the constant's prior hardly pulls


def test_weights_of_two_are_the_log_written_twice() -> None:
    once = coins([1, 0, 0, 1, 1, 0, 0], [0, 0, 0, 1, 1, 1, 1])
    twice = coins([1, 0, 0, 1, 1, 0, 0] * 2, [0, 0, 0, 1, 1, 1, 1] * 2)
    doubled = replace(once, weight=np.full(7, 2.0, np.float32))
    a = maximise(doubled, strength=30.0, max_iterations=60)
    b = maximise(twice, strength=30.0, max_iterations=60)
    np.testing.assert_allclose(a.item_bias, b.item_bias, atol=5e-3)
    np.testing.assert_allclose(a.weights, b.weights, atol=5e-3)


def silent_and_known(rates: list[float]) -> tuple[np.ndarray, np.ndarray]:
    """Logits of the first item and of one never shown, in 300 draws; 60 rows of each item; prior precision 3."""
    hits = [round(60 * rate) for rate in rates]
    outcome = [value for n in hits for value in [1] * n + [0] * (60 - n)]
    item = [i for i in range(len(rates)) for _ in range(60)]
    problem = coins(outcome, item, n_items=len(rates) + 1)
    how = {"strength": 3.0 / ITEM_PENALTY, "max_iterations": 30}
    start = maximise(problem, **how)  # type: ignore[arg-type]
    drawn = [maximise(problem, start=start, rng=np.random.default_rng(seed), **how) for seed in range(300)]  # type: ignore[arg-type]
    assert start.item_bias[-1] == pytest.approx(0.0, abs=1e-6)
    logit = np.array([p.weights[0] + p.item_bias for p in drawn])
    return logit[:, 0], np.array([p.item_bias[-1] for p in drawn])


def test_centres_spread_as_the_prior_where_the_log_is_silent_and_less_where_it_speaks() -> None:
    known, silent = silent_and_known([0.1, 0.9] * 10)  # the items differ by far more than the prior allows
    assert silent.std() == pytest.approx(3.0**-0.5, rel=0.15)
    assert silent.mean() == pytest.approx(0.0, abs=0.12)
    # About the logit of 0.1 shrunk to 0.17 the data say 60 * 0.14; the centre moves it by the prior's share.
    assert known.std() == pytest.approx(3.0 / (3.0 + 60 * 0.14) * 3.0**-0.5, rel=0.25)


def test_centres_are_no_wider_than_what_was_learned() -> None:
    _, silent = silent_and_known([0.5] * 20)  # the items do not differ; each is known to 1 / (3 + 60 / 4)
    assert silent.std() == pytest.approx((1.0 / (3.0 + 15.0)) ** 0.5, rel=0.15)


def test_columns_that_never_move_keep_their_weight() -> None:
    rows = np.ones((200, 3), np.float32)
    rows[:, 1] = np.linspace(-1, 1, 200)
    outcome = np.tile([0, 1], 100).astype(np.uint8)
    penalty = np.array([0.0, 0.1, 0.1], np.float32)
    problem = Problem(rows=rows, outcome=outcome, penalty=penalty)
    start = maximise(problem, strength=300.0, max_iterations=30)
    found = maximise(problem, strength=300.0, max_iterations=30, start=start, rng=np.random.default_rng(0))
    assert found.weights[2] == pytest.approx(
        0.0, abs=1e-6
    )  # one unit of it would be fifty standard deviations
    assert abs(found.weights[1] - start.weights[1]) > 1e-3


def test_a_part_in_which_nothing_happens_gets_a_rate_from_its_posterior() -> None:
    problem = coins([0] * 50, [0] * 50)
    resample = Resample(
        session=np.arange(50), weight=np.ones(50), start={"purchases": constant_rate(problem)},
        strengths={"purchases": 3.0}, seed=(0,),
    )  # fmt: skip
    rates = []
    for seed in range(400):
        p = replace(resample, seed=(seed,)).fit("purchases", problem, np.arange(50))
        rates.append(1.0 / (1.0 + np.exp(-p.weights[0])))
    assert np.mean(rates) == pytest.approx(0.5 / 51.0, rel=0.2)  # of Beta(1/2, 50 + 1/2)


def test_transitions_count_as_their_sessions_do() -> None:
    log = example_log(n_sessions=60)
    ones = fit_queries(log, 20, np.ones(log.n_steps))
    plain = fit_queries(log, 20)
    np.testing.assert_array_equal(ones.frequency, plain.frequency)
    np.testing.assert_array_equal(ones.row_cumulative, plain.row_cumulative)
    early = log.session < np.unique(log.session)[30]
    heavy = fit_queries(log, 20, np.where(early, 1.0, 1e-12))
    part = fit_queries(log.take(np.flatnonzero(early)), 20)
    np.testing.assert_allclose(heavy.stay, part.stay)
    np.testing.assert_allclose(heavy.frequency, part.frequency)


def test_only_click_models_that_the_log_cannot_tell_from_the_best_take_turns() -> None:
    rng = np.random.default_rng(0)
    best = rng.normal(size=400)
    late = {
        "near": best - 0.01 + rng.normal(size=400) * 0.2,  # 0.01 behind, known to about 0.02
        "best": best,
        "far": best - 0.2 + rng.normal(size=400) * 0.2,
    }
    kept, notes = undecided_families(late)
    assert kept == ("near", "best")
    assert len(notes) == 1
    assert notes[0].startswith("far is left out")
    assert undecided_families({"pbm": np.empty(0), "dbn": np.empty(0)}) == (("pbm",), ())


def test_the_choice_leaves_out_what_the_log_speaks_against() -> None:
    log = example_log(n_sessions=900)  # of users who look position by position
    held = example_log(n_sessions=60, first_user=900)
    ensemble = fit_ensemble((), log, held, example_features(), n_members=2, progress=False)
    names = {member.name for member in ensemble.members}
    assert "pbm" in names
    assert "sdbn" not in names
    assert any(note.startswith("sdbn is left out") for note in ensemble.notes)
    assert any(note.startswith("mnl is left out") for note in ensemble.notes)  # pages with several clicks


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(InputError, match="expected 2 or more"):
        EnsembleConfig(members=1)
    with pytest.raises(InputError, match="named twice"):
        EnsembleConfig(families=("pbm", "pbm"))
    log = example_log(n_sessions=30)
    with pytest.raises(InputError, match="several clicks"):
        fit_ensemble(("mnl",), log, log, example_features(), progress=False)


def test_the_mixture_is_foretold_no_worse_than_its_members_are_on_average() -> None:
    log, held = example_log(n_sessions=150), example_log(n_sessions=80, first_user=150)
    ensemble = fit_ensemble(("pbm", "cascade"), log, held, example_features(), n_members=4, progress=False)
    together, alone = ensemble.report, [member.report for member in ensemble.members]
    # The logarithm is concave: a mean of chances has a higher log-likelihood than the mean of theirs.
    assert together.scores[0].value > np.mean([report.scores[0].value for report in alone])
    for position, value in enumerate(together.perplexity):
        assert np.log(value) < np.mean([np.log(report.perplexity[position]) for report in alone])
    assert together.scores[2].value == pytest.approx(np.mean([report.scores[2].value for report in alone]))
