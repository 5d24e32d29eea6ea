"""From logs to a verdict: a right simulator passes, a broken one fails, and what cannot be measured is named."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from behavior.errors import InputError
from behavior.steps import SessionEnd
from simulators.base import Feedback, SessionState
from simulators.example import example_log, example_simulator
from simulators.trust import TrustConfig, TrustReport, measure_trust
from simulators.trust.plots import plot_trust
from simulators.trust.tables import show_report

TRAIN = example_log(n_sessions=600)
HELD = example_log(n_sessions=300, first_user=60_000, seed=1)
QUICK = TrustConfig(sessions=400, bootstrap=400, folds=2)


@pytest.fixture(scope="module")
def right() -> TrustReport:
    return measure_trust(example_simulator(), TRAIN, HELD, QUICK, name="the truth", progress=False)


@pytest.fixture(scope="module")
def wrong() -> TrustReport:
    return measure_trust(example_simulator("cascade"), TRAIN, HELD, QUICK, progress=False)


def text(report: TrustReport, width: int = 100) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(show_report(report))
    return console.export_text()


def test_a_simulator_judged_by_its_own_sessions_passes(right: TrustReport) -> None:
    assert right.verdict.lacks == ()
    assert right.verdict.answer == "perhaps"  # nothing is known of policies
    assert not right.left_out
    assert len(right.measures) == 13
    assert right.n_simulated == 600
    assert right.test("page").area.low < 0.5
    assert next(s for s in right.scores if s.measure.startswith("click log")).gain_low > 0


def test_a_broken_one_fails_and_is_told_why(wrong: TrustReport) -> None:
    lacks = {check.name for check in wrong.verdict.lacks}
    assert {"clicks near clicks", "clicks per page", "pages told apart by a classifier"} <= lacks
    assert wrong.verdict.answer == "no"
    assert wrong["clicks near clicks"].largest().label in ("anywhere below a click", "anywhere above a click")
    assert wrong.test("page").area.low > 0.55
    assert any("click" in clue.feature for clue in wrong.test("page").clues[:3])


def test_terminal_json_and_pictures(right: TrustReport, wrong: TrustReport, tmp_path: Path) -> None:
    for report in (right, wrong):
        shown = text(report)
        assert max(len(line) for line in shown.splitlines()) <= 100
        assert shown.startswith(report.verdict.headline[:60])
        assert shown.count("DIFFERS") == len(report.verdict.lacks)
        found = json.loads(json.dumps(report.to_json(), allow_nan=False))
        assert found["verdict"]["headline"] == report.verdict.headline
        assert {m["name"] for m in found["measures"]} == {m.name for m in report.measures}
    files = plot_trust(wrong, tmp_path / "pictures")
    assert {f.name for f in files} >= {
        "calibration.png",
        "rates.png",
        "distributions.png",
        "told-apart-by.png",
    }
    assert all(f.stat().st_size > 5_000 for f in files)
    with pytest.raises(InputError, match="holds something"):
        plot_trust(right, tmp_path / "pictures")


class _Opaque:
    """Users of whom nothing but their answers is known."""

    def __init__(self) -> None:
        self.inside = example_simulator()
        self.n_items, self.n_queries = self.inside.n_items, self.inside.n_queries
        self.context_size, self.slate_size = self.inside.context_size, self.inside.slate_size

    def begin(self, users: np.ndarray, *, seed: int) -> SessionState:
        return self.inside.begin(users, seed=seed)

    def respond(self, state: SessionState, slates: np.ndarray, *, seed: int) -> Feedback:
        return self.inside.respond(state, slates, seed=seed)


def test_users_without_probabilities_are_judged_by_their_visits_alone() -> None:
    report = measure_trust(_Opaque(), TRAIN, HELD, QUICK, progress=False)
    assert {part.what for part in report.left_out} == {
        "likelihood, perplexity and calibration",
        "the same pages for both",
    }
    assert all(part.why for part in report.left_out)
    assert not report.scores
    assert {m.name for m in report.measures} >= {"clicks by position", "pages per session"}
    assert report.verdict.lacks == ()
    assert "left out: likelihood" in text(report)
    clicks = next(d for d in report.verdict.decisions if d.use.startswith("foretell clicks"))
    assert clicks.answer == "open"


def test_single_impressions_and_events_too_rare() -> None:
    alone = replace(
        HELD,
        item=np.where(np.arange(5) == (np.arange(HELD.n_steps) % 5)[:, None], HELD.item, -1).astype(np.int32),
        single_impressions=True,
        purchase=np.zeros_like(HELD.purchase),
        session_end=np.full(HELD.n_steps, SessionEnd.UNKNOWN, np.int8),
    )
    report = measure_trust(example_simulator(), TRAIN, alone, QUICK, progress=False)
    assert "visits" in {part.what for part in report.left_out}
    assert {m.name for m in report.measures} >= {"clicks by position", "calibration of clicks"}
    assert not {m.name for m in report.measures} & {"leaving", "pages per session", "clicks near clicks"}
    rare = replace(HELD, purchase=np.zeros_like(HELD.purchase))
    report = measure_trust(
        example_simulator(), TRAIN, rare, replace(QUICK, min_events=10_000), progress=False
    )
    why = {part.what: part.why for part in report.left_out}
    assert "fewer than 10000" in why["purchases by position"]


def test_what_cannot_be_judged_is_refused() -> None:
    def refuses(match: str, held: object, simulator: object = None) -> None:
        with pytest.raises(InputError, match=match):
            measure_trust(simulator or example_simulator(), TRAIN, held, QUICK, progress=False)  # type: ignore[arg-type]

    refuses("19 held-out sessions, too few", HELD.take(HELD.session < 19))
    refuses("hold no click", replace(HELD, click=np.zeros_like(HELD.click)))
    refuses("200 items and 20 queries, the log shows", replace(HELD, item=HELD.item + 300))
    refuses("context columns", replace(HELD, context=HELD.context[:, :1]))
    refuses("at most 3", HELD, example_simulator(slate_size=3))
    for wrong in ({"bootstrap": 399}, {"folds": 1}, {"confidence": 1.0}, {"max_held_out": 10}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            replace(QUICK, **wrong)  # type: ignore[arg-type]
    many = measure_trust(example_simulator(), TRAIN, HELD, replace(QUICK, max_held_out=50), progress=False)
    assert many.n_held_out == 50
    assert "50 of 300 held-out sessions" in many.notes[0]
    assert "only 50 held-out sessions" in many.notes[1]
