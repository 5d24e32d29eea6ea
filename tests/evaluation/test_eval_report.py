"""The final table, the verdict and the report page, made from a real evaluation on the toy world."""

from __future__ import annotations

import dataclasses
import html.parser
import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from agents.base import Policy
from agents.baselines import MMRPolicy, PopularityPolicy, RandomPolicy, RelevancePolicy
from behavior.steps import LoggedSteps
from envs.observation import Observation
from envs.toy import toy_world
from envs.world import TaskConfig, World
from evaluation.formatting import count, number, percent, plus_minus, share
from evaluation.intervals import Interval, mean_interval
from evaluation.off_policy import OffPolicyResult, evaluate_off_policy
from evaluation.online import evaluate_online
from evaluation.outcomes import OnlineResult, PolicyOutcome
from evaluation.report import render_report, write_report
from evaluation.report_data import Curve, PositionRates, ReportData, ReportTable, ShownItem, SlateComparison
from evaluation.slates import compare_slates
from evaluation.table import FinalTable, build_table
from evaluation.verdict import judge

TASK = TaskConfig(slate_size=6, n_candidates=20, max_steps=5)


@pytest.fixture(scope="module")
def world() -> World:
    return toy_world(n_items=200, n_queries=10, n_candidates=20)


@pytest.fixture(scope="module")
def policies(world: World) -> dict[str, Policy]:
    return {
        "random": RandomPolicy(),
        "popularity": PopularityPolicy(world.features),
        "relevance order": RelevancePolicy(),
        "behaviour": RelevancePolicy(temperature=2.0),
        "ppo": RelevancePolicy(temperature=0.5),
        "planning": MMRPolicy(world.features),
    }


@pytest.fixture(scope="module")
def online(world: World, policies: dict[str, Policy]) -> OnlineResult:
    relevance = np.maximum(world.features.query_vectors @ world.features.item_vectors.T, 0).astype(np.float32)
    return evaluate_online(policies, world, TASK, n_users=200, relevance=relevance, progress=False)


@pytest.fixture(scope="module")
def off_policy(
    world: World,
    policies: dict[str, Policy],
    first_pages: Callable[..., tuple[LoggedSteps, Observation]],
) -> dict[str, OffPolicyResult]:
    behaviour = RelevancePolicy(temperature=2.0)
    steps, observation = first_pages(world, TASK, behaviour, 1500, seed=5, draw_seed=9, first_user=10_000)
    return {
        name: evaluate_off_policy(policy, steps, observation, name=name, progress=False)
        for name, policy in policies.items()
        if name != "planning"
    }


@pytest.fixture(scope="module")
def table(online: OnlineResult, off_policy: dict[str, OffPolicyResult]) -> FinalTable:
    return build_table(
        online,
        world="the true store",
        fitted=online,
        off_policy=off_policy,
        trained="ppo",
        behaviour="behaviour",
    )


@pytest.fixture(scope="module")
def report(
    world: World,
    online: OnlineResult,
    table: FinalTable,
    off_policy: dict[str, OffPolicyResult],
    policies: dict[str, Policy],
) -> ReportData:
    steps = np.arange(1, 9) * 50_000
    return ReportData(
        title="demo-ppo-seed0",
        created="2030-01-02 03:04",
        command="python train.py --preset demo --seed 0",
        table=table,
        verdict=judge(
            online,
            trained="ppo",
            rivals=("behaviour", "relevance order", "popularity"),
            world="the true store",
            world_is_true=True,
            off_policy=off_policy["ppo"],
        ),
        facts=(("data", "demo store, 5,000 sessions"), ("agent", "PPO, 400,000 user-steps")),
        warnings=("Held-out users are few: <b>nothing</b> here is certain.",),
        curves=(
            Curve(title="score per session", label="ppo", steps=steps, values=3 - 2 / np.sqrt(steps / 5e4)),
            Curve(title="entropy", steps=steps, values=10 - np.log(steps)),
        ),
        positions=(PositionRates(label="ppo", click=online["ppo"].click_by_position),),
        fidelity=ReportTable(
            caption="Held-out clicks",
            columns=("simulator", "log-likelihood", "perplexity"),
            rows=(("pbm", -0.213, 1.24), ("constant rate", -0.25, None)),
        ),
        slates=compare_slates(
            {"before training": policies["random"], "after training": policies["ppo"]},
            world,
            TASK,
            users=[3, 4],
            seed=0,
        ),
        currency="€",
        config_yaml="seed: 0\n",
        versions={"numpy": np.__version__},
    )


def test_numbers() -> None:
    assert number(0.012345) == "0.0123"
    assert number(1234.5) == "1,234"
    assert number(0.0) == "0"
    assert number(float("nan")) == ""
    assert percent(0.634) == "63 %"
    assert count(1234.4) == "1,234"
    made = Interval(
        value=3.4219, low=3.21, high=3.63, standard_error=0.1, level=0.95, n_clusters=9, method="t"
    )
    assert plus_minus(made) == "3.42 ±0.21"
    assert share(dataclasses.replace(made, value=0.634, low=0.581, high=0.689)) == "63 % (58–69)"
    assert plus_minus(dataclasses.replace(made, low=-np.inf, high=np.inf)) == "3.42 ±?"
    assert plus_minus(mean_interval(np.zeros(4))) == "0.00 ±0.00"
    assert plus_minus(dataclasses.replace(made, value=-1e-17, low=-2e-17, high=1e-18)) == "0.00 ±0.00"
    assert plus_minus(None) == ""


def test_table_has_what_was_measured(table: FinalTable, online: OnlineResult) -> None:
    row = table.row("ppo")
    assert row.kind == "trained"
    assert table.row("planning").kind == "oracle"
    assert row.score.value == pytest.approx(online["ppo"].score.mean())
    assert row.share_of_gap is not None
    assert table.row("random").share_of_gap is not None
    assert table.row("random").share_of_gap.value == pytest.approx(0)
    assert re.fullmatch(r"\d+\.\d+ ±\d+\.\d+", table.row("behaviour").off_policy_text)
    assert table.row("planning").off_policy_text == ""
    assert table.estimator == "SNIIPS"


def test_table_fits_120_columns(table: FinalTable, off_policy: dict[str, OffPolicyResult]) -> None:
    refused = dataclasses.replace(off_policy["random"], status="no support", interval=None)
    rows = (*table.rows, dataclasses.replace(table.rows[0], policy="a trained one", off_policy=refused))
    wide = dataclasses.replace(table, rows=rows)
    for width in (120, 80):
        out = io.StringIO()
        wide.render(Console(file=out, width=width, color_system=None))
        lines = out.getvalue().splitlines()
        assert max(map(len, lines)) <= 120
        assert "…" not in out.getvalue(), "no figure may be cut"
        for row in rows:
            line = next(line for line in lines if line.startswith(row.policy))
            for text in (plus_minus(row.score), share(row.share_of_gap), row.off_policy_text):
                assert text in line
        assert "SNIIPS" in out.getvalue()


def test_table_as_files(table: FinalTable, tmp_path: Path) -> None:
    csv_path, json_path = table.write(tmp_path)
    records = json.loads(json_path.read_text())["rows"]
    assert [record["policy"] for record in records] == [row.policy for row in table.rows]
    assert records[4]["score"] == table.rows[4].score.value
    assert records[5]["off_policy"] is None
    header, *lines = csv_path.read_text().splitlines()
    assert header.startswith("policy,kind,n_users,score,score_low,score_high")
    assert len(lines) == 6
    assert not list(tmp_path.glob(".*")), "no half-written files stay behind"


def _outcome(score: np.ndarray) -> PolicyOutcome:
    zero = np.zeros_like(score)
    return PolicyOutcome(
        name="x",
        score=score,
        reward=score,
        clicks=score,
        purchases=zero,
        revenue=zero,
        length=zero + 1,
        left=zero.astype(bool),
        ndcg=zero,
        diversity=zero,
        click_by_position=np.zeros(2),
        purchase_by_position=np.zeros(2),
        coverage=0.1,
        seconds=0.0,
    )


def _decide(gain: float, off: OffPolicyResult | None, *, true: bool = True) -> tuple[str, str]:
    noise = np.random.default_rng(0).normal(size=100)
    base = np.random.default_rng(1).normal(size=100)
    result = OnlineResult(
        outcomes={"ppo": _outcome(base + gain + 0.1 * noise), "behaviour": _outcome(base)},
        seed=0,
        first_user=0,
        purchase_weight=5,
    )
    verdict = judge(
        result,
        trained="ppo",
        rivals=("behaviour", "popularity"),
        world="the store",
        world_is_true=true,
        off_policy=off,
    )
    return verdict.answer, " ".join((verdict.headline, *verdict.supported, *verdict.unsupported))


def test_verdicts(off_policy: dict[str, OffPolicyResult]) -> None:
    good = off_policy["ppo"]
    assert good.lift is not None

    def lifted(low: float, high: float) -> OffPolicyResult:
        lift = dataclasses.replace(good.lift, value=(low + high) / 2, low=low, high=high)
        return dataclasses.replace(good, lift=lift)

    refused = dataclasses.replace(
        good, status="no support", reason="too little overlap", interval=None, lift=None
    )
    assert _decide(1.0, lifted(0.1, 0.2))[0] == "yes"
    assert _decide(1.0, lifted(-0.1, 0.2))[0] == "perhaps"
    assert _decide(1.0, lifted(-0.3, -0.2))[0] == "no"
    assert _decide(-1.0, lifted(0.1, 0.2))[0] == "no"
    assert _decide(0.0, lifted(0.1, 0.2))[0] == "no"
    answer, text = _decide(1.0, refused)
    assert answer == "perhaps"
    assert "too little overlap" in text
    answer, text = _decide(1.0, None, true=False)
    assert answer == "perhaps"
    assert "fitted to this log" in text


class _Page(html.parser.HTMLParser):
    """Finds references to anything outside the page, and tags that are not closed."""

    void = frozenset({"meta", "br", "hr", "img", "link", "input"})

    def __init__(self) -> None:
        super().__init__()
        self.outside: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.void:
            self.open.append(tag)
        for name, value in attrs:
            if name in {"src", "href", "xlink:href", "srcset"} and not (value or "").startswith(
                ("#", "data:")
            ):
                self.outside.append(f"{tag} {name}={value}")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.void:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes another tag"


def test_report_is_one_self_contained_page(report: ReportData, tmp_path: Path) -> None:
    path = write_report(report, tmp_path / "report.html")
    text = path.read_text(encoding="utf-8")
    page = _Page()
    page.feed(text)
    assert page.outside == []
    assert page.open == []
    assert "url(http" not in text
    assert "<script" not in text
    assert "@import" not in text
    for wanted in (
        "ppo",
        "no support",
        "NDCG@10",
        "before training",
        "€",
        "python train.py --preset demo",
        "pbm",
    ):
        assert wanted in text
    for title in {item.title for slate in report.slates for page_ in slate.pages.values() for item in page_}:
        assert title in text
    assert text.count("<svg") == 3
    assert "&lt;b&gt;nothing&lt;/b&gt;" in text, "texts of the log must not become markup"


def test_report_of_the_barest_run(report: ReportData) -> None:
    bare = ReportData(title="t", created="now", command="c", table=report.table)
    text = render_report(bare)
    assert "A/B" not in text
    assert text.count("<svg") == 1


def test_report_escapes_hostile_titles(report: ReportData) -> None:
    hostile = SlateComparison(
        query='<script>alert("x")</script>', pages={"a": (ShownItem(title="<img src=x onerror=1>"),)}
    )
    text = render_report(dataclasses.replace(report, slates=(hostile,), title="<i>run</i>"))
    assert "<script" not in text
    assert "<img" not in text
    assert re.search(r"<h1>&lt;i&gt;run", text)


def test_a_report_that_cannot_be_made_leaves_the_old_one(report: ReportData, tmp_path: Path) -> None:
    path = write_report(report, tmp_path / "report.html")
    before = path.read_bytes()
    broken = dataclasses.replace(report, curves=(Curve(title="x", steps=np.arange(3), values=np.arange(2)),))
    with pytest.raises(ValueError, match="shape"):
        write_report(broken, path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_compared_slates_are_for_the_same_user(report: ReportData, world: World) -> None:
    for slate in report.slates:
        assert slate.query in world.queries
        assert set(slate.pages) == {"before training", "after training"}
        for items in slate.pages.values():
            assert len(items) == TASK.slate_size
            assert all(item.title in world.titles for item in items)
            assert all(item.clicked for item in items if item.purchased)


def test_a_single_user_is_shown_without_an_interval(world: World, policies: dict[str, Policy]) -> None:
    alone = evaluate_online(policies, world, TASK, n_users=1, progress=False)
    made = build_table(alone, world="the true store", trained="ppo")
    assert made.row("ppo").score.low == -np.inf
    text = render_report(ReportData(title="t", created="now", command="c", table=made))
    assert "±?" in text
    assert "inf" not in re.sub(r"<style>.*?</style>", "", text, flags=re.DOTALL).replace("info", "")
    json.loads(made.to_json())
