"""The verdict: thresholds by hand, and no more claimed than was measured."""

from __future__ import annotations

import math

import pytest

from simulators.agreement_summary import AgreementSummary
from simulators.agreement_summary import Measured as Figure
from simulators.trust.compare import CellFigure, Distance, Measured
from simulators.trust.config import TrustConfig
from simulators.trust.names import BUYING, CLICKS, INTERPLAY, SESSIONS
from simulators.trust.predictions import Score
from simulators.trust.two_sample import Area, TwoSample
from simulators.trust.verdict import TrustVerdict, judge_trust

NAMES = (*CLICKS, *INTERPLAY, *BUYING, *SESSIONS)


def measured(name: str, value: float = 0.02, reach: float = 0.03, p: float = 0.5) -> Measured:
    cell = CellFigure(
        label="position 2",
        simulated=0.3,
        simulated_low=0.2,
        simulated_high=0.4,
        logged=0.1,
        logged_low=0.05,
        logged_high=0.15,
        weight=1.0,
    )
    return Measured(
        name=name,
        kind="rates",
        cells=(cell,),
        distance=Distance(value=value, low=max(value - reach, 0.0), high=value + reach, noise=0.02),
        p=p,
        halves=0.03,
    )


def told(rows: str, area: float = 0.5, p: float = 0.5) -> TwoSample:
    guess = Area(value=0.5, low=0.46, high=0.54, error=0.02)
    found = Area(value=area, low=area - 0.04, high=area + 0.04, error=0.02)
    return TwoSample(rows=rows, n_simulated=9, n_logged=9, area=found, null=guess, p=p, clues=())


def gain(low: float = 0.1, high: float = 0.3) -> Score:
    return Score(
        measure="click log-likelihood per page",
        value=-2.5,
        low=-2.6,
        high=-2.4,
        baseline=-2.7,
        gain=(low + high) / 2,
        gain_low=low,
        gain_high=high,
        n=100,
    )


def agreement(**changes: object) -> AgreementSummary:
    figures = {
        name: Figure(value=v, low=v - 0.1, high=v + 0.1)
        for name, v in {
            "bias": 0.0,
            "rmse": 0.1,
            "relative_error": 0.1,
            "spearman": 0.95,
            "kendall": 0.9,
            "regret": 0.1,
            "regret_share": 0.05,
            "coverage": 0.95,
            "sign_agreement": 0.95,
            "sure_sign_agreement": 0.97,
        }.items()
    }
    return AgreementSummary(
        **{"truth": "the true store", "n_policies": 12, "level": 0.95} | figures | changes  # type: ignore[arg-type]
    )


def verdict(
    *changed: Measured,
    without: tuple[str, ...] = (),
    tests: tuple[TwoSample, ...] = (told("page"), told("session")),
    scores: tuple[Score, ...] = (gain(),),
    known: AgreementSummary | None = None,
) -> TrustVerdict:
    by_name = {name: measured(name) for name in NAMES if name not in without} | {m.name: m for m in changed}
    return judge_trust(list(by_name.values()), scores, tests, TrustConfig(), n_sessions=900, agreement=known)


def answer(found: TrustVerdict, use: str) -> str:
    return next(d.answer for d in found.decisions if use in d.use)


def status(found: TrustVerdict, name: str) -> str:
    return next(c.status for c in found.checks if c.name == name)


def test_without_policies_of_known_value_nothing_is_said_of_policies() -> None:
    found = verdict()
    assert found.answer == "perhaps"
    assert "not measured" in found.headline
    assert answer(found, "which of several policies") == answer(found, "by how much") == "not measured"
    assert answer(found, "foretell clicks") == answer(found, "whole visits") == "yes"
    assert answer(found, "train policies") == "yes"
    assert answer(found, "goes live") == "no"


def test_a_real_difference_above_the_tolerance_rejects_what_rests_on_it() -> None:
    found = verdict(measured("clicks near clicks", value=0.2, p=0.0005), known=agreement())
    assert found.answer == "no"
    assert found.headline == (
        "Not this simulator: 900 held-out sessions contradict it in clicks near clicks. "
        "Policies of known value are ranked rightly in it."
    )
    assert [c.name for c in found.lacks] == ["clicks near clicks"]
    assert "position 2: 0.3 simulated, 0.1 logged" in found.lacks[0].text
    assert answer(found, "items of a page") == answer(found, "train policies") == "no"
    assert answer(found, "foretell clicks") == "yes"
    assert (
        status(verdict(measured("clicks near clicks", value=0.04, p=0.0005)), "clicks near clicks") == "small"
    )


def test_many_tests_share_one_chance_of_a_false_alarm() -> None:
    # 13 measures and 2 classifiers: the smallest p must be below 0.05 / 15, the next below 0.05 / 14
    first, second = measured("leaving", 0.2, p=0.0033), measured("pages per session", 0.2, p=0.0035)
    assert status(verdict(first, second), "leaving") == "differs"
    assert status(verdict(first, second), "pages per session") == "differs"
    assert status(verdict(second), "pages per session") == "open"
    late = measured("pages per session", 0.2, p=0.0036)
    assert status(verdict(first, late), "pages per session") == "open"


def test_what_the_sessions_cannot_rule_out_stays_open() -> None:
    found = verdict(measured("leaving", value=0.06, reach=0.05))
    assert status(found, "leaving") == "open"
    assert answer(found, "whole visits") == answer(found, "train policies") == "open"
    assert "too few to rule out differences above 10% in leaving" in found.headline
    assert status(verdict(measured("leaving", value=0.06, reach=0.03)), "leaving") == "agrees"


def test_the_classifier_and_the_baseline_count() -> None:
    found = verdict(tests=(told("page", 0.7, 1e-9), told("session")))
    assert found.answer == "no"
    assert answer(found, "items of a page") == "no"
    assert status(
        verdict(tests=(told("page", 0.54, 1e-9), told("session"))), "pages told apart by a classifier"
    ) == ("small")
    worse = verdict(scores=(gain(-0.3, -0.1),))
    assert worse.answer == "no"
    assert "clicks better than rates by position" in worse.headline
    unsure = verdict(scores=(gain(-0.1, 0.1),))
    assert answer(unsure, "foretell clicks") == "open"


def test_what_was_left_out_is_not_claimed() -> None:
    found = verdict(without=BUYING, scores=())
    assert answer(found, "such pages sell") == "not measured"
    assert answer(found, "foretell clicks") == "open"
    because = next(d.because for d in found.decisions if "foretell clicks" in d.use)
    assert "not measured: clicks better than rates by position" in because
    part = verdict(without=("purchases by position",))
    assert answer(part, "such pages sell") == "open"


@pytest.mark.parametrize(
    ("changes", "ranks", "worth"),
    [
        ({}, "yes", "yes"),
        ({"spearman": Figure(value=0.9, low=0.75, high=1.0)}, "open", "yes"),
        ({"spearman": Figure(value=0.3, low=-0.1, high=0.6)}, "no", "yes"),
        ({"regret_share": Figure(value=0.2, low=0.1, high=0.3)}, "no", "yes"),
        ({"regret_share": Figure(value=math.nan, low=math.nan, high=math.nan)}, "yes", "yes"),
        ({"coverage": Figure(value=0.5, low=0.3, high=0.7)}, "yes", "no"),
        ({"coverage": Figure(value=math.nan, low=math.nan, high=math.nan)}, "yes", "not measured"),
        ({"n_policies": 4}, "open", "open"),
    ],
)
def test_agreement_on_policies(changes: dict[str, object], ranks: str, worth: str) -> None:
    found = verdict(known=agreement(**changes))
    assert answer(found, "which of several policies") == ranks
    assert answer(found, "by how much") == worth
    assert found.answer == (
        "no" if ranks == "no" else "yes" if (ranks, worth) == ("yes", "yes") else "perhaps"
    )
    assert "not measured" not in found.headline
    assert ("not ranked rightly" in found.headline) == (ranks == "no")


def test_a_headline_names_at_most_five_measures() -> None:
    found = verdict(*(measured(name, value=0.2, p=0.0005) for name in NAMES[:7]))
    assert found.headline.startswith(
        "Not this simulator: 900 held-out sessions contradict it in clicks by position, clicks by query group, "
        "clicks by item popularity, calibration of clicks and 3 more measures."
    )
