from __future__ import annotations

import re

import pytest

from encoders.attributions import TextAttribution, WordShare
from encoders.measures.clusters import ReliabilityBin
from evaluation.intervals import Interval
from evaluation.report import render_report
from evaluation.report_data import ReportData, ReportTable
from evaluation.table import FinalTable, TableRow


def table() -> FinalTable:
    nothing = Interval(
        value=1.0, low=0.9, high=1.1, standard_error=0.05, n_clusters=10, method="t", level=0.95
    )
    row = TableRow(
        policy="random",
        kind="baseline",
        n_users=10,
        score=nothing,
        clicks=nothing,
        purchases=nothing,
        share_of_gap=None,
        ndcg=float("nan"),
        coverage=0.5,
        fitted_score=None,
        off_policy=None,
    )
    return FinalTable(rows=(row,), world="the store", level=0.95, purchase_weight=5.0)


@pytest.fixture
def page() -> str:
    bins = tuple(ReliabilityBin(predicted=p, observed=0.9 * p, weight=10.0) for p in (0.1, 0.3))
    words = TextAttribution(
        query="oak <table>",
        item="Oak Table",
        logit=-0.5,
        probability=0.3775,
        item_base=-2.0,
        item_words=(WordShare(word="Oak", value=1.75), WordShare(word="Table", value=-0.25)),
        query_base=-1.5,
        query_words=(WordShare(word="oak", value=0.75), WordShare(word="<table>", value=0.25)),
    )
    return render_report(
        ReportData(
            title="t",
            created="now",
            command="c",
            table=table(),
            relevance=ReportTable(
                caption="The relevance model", columns=("measure",), rows=(("click AUC",),)
            ),
            reliability={"before fine-tuning": bins, "after": bins},
            words=(words,),
        )
    )


def test_the_chapter_shows_reliability_and_words(page) -> None:
    assert "Are its click probabilities honest?" in page
    assert "click rate observed" in page
    assert "“oak &lt;table&gt;”: 37.8 % click probability" in page  # escaped, and a percentage
    assert "<table>:" not in page
    assert re.search(r'class="adds" style="--strength: 88%"[^>]*>Oak <small>\+1\.75', page)
    assert re.search(r'class="takes" style="--strength: 12%"[^>]*>Table <small>-0\.25', page)


def test_a_run_without_either_leaves_the_chapter_as_it_was() -> None:
    text = render_report(
        ReportData(
            title="t",
            created="now",
            command="c",
            table=table(),
            relevance=ReportTable(
                caption="The relevance model", columns=("measure",), rows=(("click AUC",),)
            ),
        )
    )
    assert "click AUC" in text
    assert "honest?" not in text
    assert "Which words" not in text
