"""A policy that ranks by relevance is not judged by a log that holds none, and is, rightly, where tables give it."""

from __future__ import annotations

import dataclasses
import io

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from rich.console import Console

from agents.base import Policy, SlatePropensity
from agents.baselines import MMRPolicy, PopularityPolicy, RandomPolicy, RelevancePolicy
from agents.score_policy import ScorePolicy
from agents.simple import FreshPolicy, MixturePolicy, ReversedPolicy
from behavior.catalog import Catalog
from behavior.errors import InputError
from envs.observation import Observation
from envs.recorder import SessionRecorder
from envs.replay import observe_log
from envs.toy import toy_world
from envs.world import TaskConfig
from evaluation.callable_policies import FunctionPolicy, Pages
from evaluation.log_judge import LogJudge
from evaluation.log_table import print_judgement
from evaluation.log_verdict import judge_judgement
from evaluation.off_policy import evaluate_off_policy
from evaluation.plain_observation import read_plain
from evaluation.relevance_need import needs_missing_relevance
from evaluation.table_policies import Names

TASK = TaskConfig(slate_size=3, n_candidates=8, max_steps=4)
WORLD = toy_world(n_items=60, n_queries=6, n_candidates=8, seed=0)
LOG = (
    SessionRecorder(WORLD, TASK)
    .record(RelevancePolicy(temperature=2.0), n_sessions=300, seed=3, progress=False)
    .log()
)
CATALOG = Catalog.from_frame(pd.DataFrame({"item_id": [str(i) for i in range(60)]}))
SHOP = (WORLD.features, TASK)


def _above_half(pages: Pages) -> NDArray[np.float64]:
    return (pages.observation.scores > 0.5).astype(np.float64)


class _Uniform(Policy):
    """States chances without any scores; it is no ScorePolicy."""

    name = "uniform"

    def rank(
        self, observation: Observation, draw: object, *, slate_size: int, state: object = None
    ) -> NDArray[np.int64]:
        raise NotImplementedError

    def propensity(self, observation: Observation, actions: NDArray[np.int64]) -> SlatePropensity:
        n = (observation.candidates >= 0).sum(axis=1, keepdims=True)
        item = np.broadcast_to(1.0 / n, actions.shape)
        cascade = np.cumprod(1.0 / (n - np.arange(actions.shape[1])), axis=1)
        return SlatePropensity(item=item, cascade=cascade, slate=cascade[:, -1])


class _SourceOrder(ScorePolicy):
    def scores(self, observation: Observation) -> NDArray[np.float64]:
        return np.broadcast_to(-0.1 * np.arange(8.0), observation.candidates.shape)


NAMES = Names(items=tuple(CATALOG.item_ids), queries=tuple(WORLD.queries), sessions=np.empty(0, object))
READS = [
    RelevancePolicy(),
    RelevancePolicy(temperature=2.0),
    ReversedPolicy(RelevancePolicy()),
    MMRPolicy(WORLD.features, trade_off=0.9),
    FreshPolicy(RelevancePolicy(), penalty=1.0),
    MixturePolicy(RandomPolicy(), RelevancePolicy(), share=0.9, name="mixed"),
    FunctionPolicy(_above_half, NAMES, temperature=1.0, name="above half"),
]
READS_NOT = [
    RandomPolicy(),
    PopularityPolicy(WORLD.features),
    PopularityPolicy(WORLD.features, temperature=1.0),
    _SourceOrder(temperature=1.0),
    _Uniform(),
]


@pytest.mark.parametrize("policy", READS, ids=lambda policy: policy.name)
def test_who_reads_relevance_is_found_out(policy: Policy) -> None:
    steps, plain = read_plain(LOG, catalog=CATALOG, queries=WORLD.queries)
    assert needs_missing_relevance(policy, plain, slate_size=3)
    assert not needs_missing_relevance(policy, observe_log(steps, *SHOP), slate_size=3)


@pytest.mark.parametrize("policy", READS_NOT, ids=lambda policy: f"{policy.name}")
def test_who_does_not_is_let_be(policy: Policy) -> None:
    _, plain = read_plain(LOG, catalog=CATALOG, queries=WORLD.queries)
    assert not needs_missing_relevance(policy, plain, slate_size=3)


def test_the_judge_gives_no_figure_and_says_so_loudly() -> None:
    policies = {"relevance": RelevancePolicy(temperature=2.0), "random": RandomPolicy()}
    found = LogJudge.read(LOG).with_policies(policies).judge(progress=False)
    assert not found["relevance"].figures
    assert "ranks by relevance" in found["relevance"].reason
    assert found.ranking()[-1] == "relevance"
    assert found["random"].figures
    verdict = judge_judgement(found)
    assert verdict.warnings[0].startswith("relevance: NO FIGURE: it ranks by relevance")
    console = Console(width=160, record=True, file=io.StringIO())
    print_judgement(found, verdict, console)
    assert "WARNING  relevance: NO FIGURE" in console.export_text()
    alone = LogJudge.read(LOG).with_policies({"relevance": RelevancePolicy()}).judge(progress=False)
    assert "cannot say" in judge_judgement(alone).headline
    steps, plain = read_plain(LOG)
    assert evaluate_off_policy(RelevancePolicy(), steps, plain, progress=False).status == "not applicable"


def test_with_the_shops_tables_it_is_judged_as_what_it_is() -> None:
    """The policy that made the log is worth the log's mean, which a uniform one is not."""
    judge = LogJudge.read(LOG, catalog=CATALOG, queries=WORLD.queries)
    same = {"same": RelevancePolicy(temperature=2.0)}
    found = (
        judge.with_policies(same, shop=SHOP).with_policies({"random": RandomPolicy()}).judge(progress=False)
    )
    figure = found["same"].figures["sniips"]
    assert figure.value == pytest.approx(found.logged.value, abs=1e-9)
    assert figure.diagnostics.max_weight == pytest.approx(1.0)
    assert found["random"].figures["sniips"].diagnostics.max_weight > 1.1
    steps = judge.steps
    by_hand = LogJudge.of(steps, observe_log(steps, *SHOP)).with_policies(same).judge(progress=False)
    assert by_hand["same"].figures["snrips"].value == found["same"].figures["snrips"].value


def test_tables_need_the_shops_own_numbers() -> None:
    same = {"same": RelevancePolicy(temperature=2.0)}
    with pytest.raises(InputError, match="without the shop's catalogue and queries") as caught:
        LogJudge.read(LOG).with_policies(same, shop=SHOP)
    assert "catalog=" in caught.value.mend
    judge = LogJudge.read(LOG, catalog=CATALOG, queries=WORLD.queries)
    few = dataclasses.replace(
        judge, steps=dataclasses.replace(judge.steps, queries=tuple(WORLD.queries)[:-1])
    )
    with pytest.raises(InputError, match="the tables know 6 queries and 60 items, the log 5"):
        few.with_policies(same, shop=SHOP)
    with pytest.raises(InputError, match="not among the 1 known"):
        LogJudge.read(LOG, catalog=CATALOG, queries=WORLD.queries[:1])
