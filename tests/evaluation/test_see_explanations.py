"""A few sessions explained: consistent with the page, the log of what happened, and the policy."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from agents.base import Policy
from agents.baselines import RandomPolicy, RelevancePolicy
from agents.dqn.config import DQNConfig
from agents.learning import TrainingOptions, policy_of, train_agent
from agents.ppo.config import PPOConfig
from envs.core import SlateCore
from envs.toy import toy_world
from envs.world import TaskConfig
from evaluation.explanations import explain_sessions, ranks
from evaluation.online import evaluate_online, evaluate_policy
from evaluation.report import render_report
from evaluation.report_data import PolicyExplanation, ReportData
from evaluation.table import build_table

TASK = TaskConfig(slate_size=4, n_candidates=12, max_steps=4)
WORLD = toy_world(n_items=60, n_queries=6, n_candidates=12, width=8)
USERS = (1_000, 1_001, 1_002)
CONFIGS = {
    "ppo": PPOConfig(n_envs=16, n_steps=4, batch_size=32, n_epochs=1),
    "dqn": DQNConfig(n_envs=16, batch_size=32, buffer_size=640, learning_starts=64, train_freq=1),
}


@pytest.fixture(scope="module")
def policies() -> dict[str, Policy]:
    torch.set_num_threads(1)
    quiet = TrainingOptions(progress=False)
    return {
        name: policy_of(train_agent(config, WORLD, TASK, total_steps=256, options=quiet))
        for name, config in CONFIGS.items()
    } | {"relevance": RelevancePolicy(), "random": RandomPolicy()}


@pytest.fixture(scope="module")
def explained(policies: dict[str, Policy]) -> dict[str, PolicyExplanation]:
    return {
        name: explain_sessions(policy, WORLD, TASK, users=USERS, seed=0, gamma=0.9, rollouts=3, name=name)
        for name, policy in policies.items()
    }


def test_ranks_by_hand() -> None:
    valid = np.array([True, True, True, False])
    assert ranks(np.array([1.0, 3.0, 3.0, 9.0]), valid).tolist() == [3, 1, 2, 0]


@pytest.mark.parametrize("name", ["ppo", "dqn", "relevance", "random"])
def test_pages_are_those_of_the_judgement(
    name: str, policies: dict[str, Policy], explained: dict[str, PolicyExplanation]
) -> None:
    """Clicks, purchases, rewards and lengths are what online evaluation counts for the same users."""
    outcome = evaluate_policy(
        policies[name], WORLD, TASK, n_users=3, seed=0, first_user=1_000, batch=3, progress=False
    )
    sessions = explained[name].sessions
    assert [len(session.pages) for session in sessions] == outcome.length.tolist()
    for u, session in enumerate(sessions):
        shown = [entry for page in session.pages for entry in page.shown]
        assert sum(entry.item.clicked for entry in shown) == outcome.clicks[u]
        assert sum(entry.item.purchased for entry in shown) == outcome.purchases[u]
        assert sum(page.reward for page in session.pages) == pytest.approx(outcome.reward[u])
        assert ("the user left" in session.ending) == outcome.left[u]


@pytest.mark.parametrize("name", ["ppo", "dqn", "relevance"])
def test_ranks_say_where_candidates_went(name: str, explained: dict[str, PolicyExplanation]) -> None:
    for session in explained[name].sessions:
        for page in session.pages:
            assert [entry.slot for entry in page.shown] == [1, 2, 3, 4]
            assert [entry.policy_rank for entry in page.shown] == [1, 2, 3, 4]
            everyone = page.shown + page.left_out
            assert len({entry.relevance_rank for entry in everyone}) == len(everyone)
            assert all(1 <= entry.relevance_rank <= 12 for entry in everyone)
            assert page.left_out[0].policy_rank == 5  # what the others are compared with
            dropped = {entry.relevance_rank for entry in page.left_out} & {1, 2, 3, 4}
            kept = {entry.relevance_rank for entry in page.shown} & {1, 2, 3, 4}
            assert dropped | kept == {1, 2, 3, 4}
            for entry in everyone:
                assert entry.rose == entry.relevance_rank - (entry.policy_rank or 0)


def test_relevance_order_moves_nothing_and_claims_nothing(explained: dict[str, PolicyExplanation]) -> None:
    for session in explained["relevance"].sessions:
        for page in session.pages:
            assert page.value_before is None
            for entry in page.shown:
                assert entry.rose == 0
                assert (entry.now, entry.later, entry.later_foretold) == (None, None, None)


def test_a_policy_without_scores_ranks_a_page_and_no_more(explained: dict[str, PolicyExplanation]) -> None:
    page = explained["random"].sessions[0].pages[0]
    assert [entry.policy_rank for entry in page.shown] == [1, 2, 3, 4]


def test_networks_say_what_they_can(explained: dict[str, PolicyExplanation]) -> None:
    for name in ("ppo", "dqn"):
        for session in explained[name].sessions:
            for page in session.pages:
                assert page.value_before is not None
                for entry in page.shown:
                    assert entry.now is not None
                    assert entry.later is not None
                    assert entry.later_error is not None
                    assert entry.later_foretold is not None
                assert (page.left_out[0].later, page.left_out[0].later_foretold) == (None, None)
            last = session.pages[-1]
            if "the user left" in session.ending:
                assert last.value_after == 0.0
            if len(session.pages) == TASK.max_steps:  # nothing can come after the last page
                assert all(entry.later == 0.0 for entry in last.shown)
            for page, following in zip(session.pages, session.pages[1:], strict=False):
                assert page.value_after == pytest.approx(following.value_before, rel=1e-4, abs=1e-5)


def test_nothing_is_measured_where_nothing_is_asked(policies: dict[str, Policy]) -> None:
    found = explain_sessions(policies["ppo"], WORLD, TASK, users=USERS[:1], seed=0, rollouts=0)
    assert all(entry.later is None for page in found.sessions[0].pages for entry in page.shown)
    assert not any("played on" in note for note in found.notes)


def test_candidates_that_just_fill_a_page_leave_nothing_out(policies: dict[str, Policy]) -> None:
    task = dataclasses.replace(TASK, n_candidates=4)
    core = SlateCore(WORLD, task, n_users=1)
    assert core.reset().candidates.shape == (1, 4)
    found = explain_sessions(RelevancePolicy(), WORLD, task, users=USERS[:1], seed=0)
    assert all(page.left_out == () for page in found.sessions[0].pages)


@pytest.mark.parametrize("name", ["ppo", "dqn", "relevance"])
def test_the_report_carries_it_without_a_network(
    name: str, policies: dict[str, Policy], explained: dict[str, PolicyExplanation]
) -> None:
    online = evaluate_online(
        {"random": policies["random"], name: policies[name]}, WORLD, TASK, n_users=20, progress=False
    )
    table = build_table(online, world="the toy", trained=name)
    made = ReportData(title="t", created="now", command="c", table=table, explanation=explained[name])
    text = render_report(made)
    assert text.count('name="session"') == 3
    for outside in ("<script", "src=", "url(http", "@import", "<link"):
        assert outside not in text
    addresses = {part.split('"')[0] for part in text.split("http")[1:]}
    assert all(
        "www.w3.org" in address for address in addresses
    )  # names of XML vocabularies, which nobody loads
    entry = explained[name].sessions[0].pages[0].shown[0]
    assert entry.item.title in text
    assert "rank by relevance" in text
    assert ("later, foretold</th>" in text) == (name != "relevance")
    assert ("scores are logits" in text) == (name == "ppo")
