"""The chapter of the report that says what simulated users are good for."""

from __future__ import annotations

import html
import re
from dataclasses import replace

import pytest

from evaluation.intervals import Interval
from evaluation.report import render_report
from evaluation.report_data import ReportData
from evaluation.table import FinalTable, TableRow
from evaluation.trust_pictures import draw_trust
from simulators.example import example_log, example_simulator
from simulators.trust import TrustConfig, TrustReport, measure_trust


@pytest.fixture(scope="module")
def reports() -> dict[str, TrustReport]:
    train = example_log(n_sessions=300)
    held = example_log(n_sessions=150, first_user=60_000, seed=1)
    quick = TrustConfig(sessions=150, bootstrap=400, folds=2)
    return {
        name: measure_trust(example_simulator(kind), train, held, quick, name=name, progress=False)
        for name, kind in (("the truth", "pbm"), ("<wrong> users", "cascade"))
    }


def page(reports: dict[str, TrustReport]) -> str:
    one = Interval(
        value=1.0, low=0.9, high=1.1, standard_error=0.05, level=0.95, n_clusters=9, method="bootstrap"
    )
    row = TableRow(
        policy="random",
        kind="baseline",
        n_users=9,
        score=one,
        clicks=one,
        purchases=one,
        share_of_gap=None,
        ndcg=float("nan"),
        coverage=0.5,
        fitted_score=None,
        off_policy=None,
    )
    table = FinalTable(rows=(row,), world="the true store", level=0.95, purchase_weight=5.0)
    return render_report(
        ReportData(title="run", created="now", command="train.py", table=table, trust=reports)
    )


def test_the_chapter_says_what_the_report_says(reports: dict[str, TrustReport]) -> None:
    text = page(reports)
    chapter = text[text.index('<section aria-labelledby="trust">') :]
    chapter = chapter[: chapter.index("</section>")]
    right, wrong = reports.values()
    assert chapter.count("<svg") == 2
    assert chapter.index(right.verdict.headline) < chapter.index(wrong.verdict.headline)
    assert f'<div class="verdict {right.verdict.answer}">' in chapter
    assert "<wrong>" not in chapter
    assert "&lt;wrong&gt; users" in chapter
    for report in (right, wrong):
        for decision in report.verdict.decisions:
            assert f'<th scope="row">{decision.use}</th>' in chapter
        for check in report.verdict.checks:
            assert html.escape(check.text, quote=True).replace("&#x27;", "&#39;") in chapter
    lacks = [check for report in reports.values() for check in report.verdict.lacks]
    assert wrong.verdict.lacks
    assert chapter.count('<td class="down">differs</td>') == len(lacks)
    assert len(re.findall("<details", chapter)) == len(re.findall("</details>", chapter)) == 3
    assert '<a href="#trust">' in text


def test_without_reports_there_is_no_chapter(reports: dict[str, TrustReport]) -> None:
    text = page({})
    assert "What are the simulated users good for?" not in text
    assert 'href="#trust"' not in text
    assert draw_trust(replace(reports["the truth"], measures=())) == ""
