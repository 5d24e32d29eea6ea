"""How far a log of sessions reaches: the benchmark's own arithmetic, its policies, and the tables of its page."""

from __future__ import annotations

import json

import numpy as np
import pytest

from agents.plackett_luce import log_cascade
from benchmarks import ope_horizon
from benchmarks.ope_horizon import (
    JUDGED,
    LEANINGS,
    SLATES,
    Leaning,
    judgements,
    record,
    table_of_estimators,
    table_of_weights,
    weights_by_page,
)
from benchmarks.speed.docs import RESULTS
from envs.observation import Observation
from envs.replay import observe_log
from envs.toy import toy_world
from envs.world import TaskConfig

WORLD = toy_world(n_items=60, n_queries=4, n_candidates=8, seed=1)
TASK = TaskConfig(slate_size=3, n_candidates=8, max_steps=3)


def _seen() -> tuple[Observation, np.ndarray]:
    steps = record(WORLD, TASK, Leaning(WORLD.features, "rating", 0.0), n=20, seed=0)
    return observe_log(steps, WORLD.features, TASK), steps.candidates


def test_a_lean_adds_its_column_to_relevance() -> None:
    seen, candidates = _seen()
    plain = Leaning(WORLD.features, "rating", 0.0).scores(seen)
    np.testing.assert_allclose(plain, np.log(seen.scores.astype(np.float64)))
    rating = WORLD.features.item_numeric[:, WORLD.features.numeric_names.index("rating")]
    leaning = Leaning(WORLD.features, "rating", 0.5)
    assert leaning.name == "rating +0.5"
    np.testing.assert_allclose(leaning.scores(seen) - plain, 0.5 * rating[candidates], atol=1e-6)


def test_weights_die_as_the_benchmark_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ope_horizon, "N_SESSIONS", 200)
    monkeypatch.setattr(ope_horizon, "PAGES", 4)
    np.testing.assert_allclose(
        weights_by_page(3, 0.0, seed=0), 200.0
    )  # the log's own policy: nothing is lost
    mild, strong = weights_by_page(3, 0.25, seed=0), weights_by_page(3, 1.0, seed=0)
    for found in (mild, strong):
        assert found.shape == (4, 2)
        assert found[0, 0] == pytest.approx(found[0, 1]), "of one page both are the same"
        assert ((found > 0) & (found <= 200)).all()
        assert found[-1, 0] < found[:, 1].min(), "sessions weigh less than their pages"
    assert strong[-1, 0] < mild[-1, 0] / 3


def test_the_weights_are_those_of_the_policies() -> None:
    """The log's cascade propensities are the logging policy's, to the bit that the judgement divides by."""
    logged = Leaning(WORLD.features, "rating", 0.0)
    steps = record(WORLD, TASK, logged, n=20, seed=0)
    seen = observe_log(steps, WORLD.features, TASK)
    actions = (seen.candidates[:, None, :] == steps.item[:, :, None]).argmax(axis=2)
    np.testing.assert_allclose(
        np.log(steps.cascade_propensity), log_cascade(logged.masked_scores(seen), actions), rtol=1e-6
    )


def test_all_estimators_agree_on_the_logs_own_policy() -> None:
    logged = Leaning(WORLD.features, "rating", 0.0)
    steps = record(WORLD, TASK, logged, n=150, seed=2)
    found = judgements(logged, steps, WORLD, TASK, boosted=False)
    mean = float((steps.click + 5.0 * steps.purchase).sum()) / steps.n_sessions
    for name in ("SNIIPS x pages logged", "PDIS (cascade)", "WPDIS (cascade)"):
        assert found[name].value == pytest.approx(mean, rel=1e-6), name
    for name in ("DR", "WDR", "FQE linear", "FQE linear, no history"):
        assert found[name].low <= mean <= found[name].high, name
    assert found["FQE linear"].value != found["FQE linear, no history"].value


def _figures() -> dict[str, list[dict[str, object]]]:
    cases: list[dict[str, object]] = []
    for k in SLATES:
        for lean in LEANINGS:
            what = f"slates of {k}, leaning {lean:g}"
            cases += [
                {"case": f"{what}: effective sessions after {n} pages", "value": 100.0 * k / n}
                for n in (1, 2, 5, 10)
            ]
            cases += [{"case": f"{what}: least after 10 pages", "value": lean}]
            cases += [{"case": f"{what}: most after 10 pages", "value": 19.96}]
    policies = [f"{column} {weight:+g}" for column, weight in JUDGED]
    for place, name in enumerate(policies):
        cases += [{"case": f"{name}: truth", "value": 7.0 + place}]
        cases += [{"case": f"{name}: truth, a page", "value": 2.0 - place / 4}]
        cases += [
            {"case": f"GUESS: {name}: mean", "value": 8.0},
            {"case": f"GUESS: {name}: error", "value": place},
        ]
    cases += [
        {"case": "GUESS: logs", "value": 2.0},
        {"case": "GUESS: intervals that hold the truth", "value": 0.375},
        {"case": "GUESS: rank correlation with the truth", "value": -0.5},
    ]
    return {"cases": cases}


def test_tables_say_what_was_measured() -> None:
    weights = table_of_weights(_figures()).splitlines()
    assert len(weights) == 2 + len(SLATES) * len(LEANINGS)
    assert weights[2] == "| 3 | 0.1 | 300 | 150 | 60 | 30 | 0.1 to 20.0 |"
    estimators = table_of_estimators(_figures()).splitlines()
    assert estimators[2] == "| truth, a page | 2.00 | 1.75 | 1.50 | 1.25 | | | |"
    assert estimators[3] == "| **truth, a session** | **7.0** | **8.0** | **9.0** | **10.0** | | | |"
    assert estimators[4:] == ["| GUESS | 8.0 | 8.0 | 8.0 | 8.0 | 1.9 | -0.50 | 3 of 8 |"]  # sqrt(14 / 4)


def test_the_page_holds_the_kept_figures() -> None:
    """What stands in the docs is what the tables say of the kept result, to the letter."""
    found = json.loads((RESULTS / "ope_horizon.json").read_text(encoding="utf-8"))
    page = (RESULTS.parents[1] / "docs" / "estimators-sessions.md").read_text(encoding="utf-8")
    assert table_of_weights(found) in page
    assert table_of_estimators(found) in page
