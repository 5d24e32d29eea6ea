"""Fitted Q evaluation of policies on recorded logs: endings, features, and what one-page estimators miss."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from agents.baselines import RandomPolicy, RelevancePolicy
from agents.score_policy import ScorePolicy
from behavior import Catalog, LoggedSteps, SessionEnd
from behavior.errors import InputError
from encoders.features import FeatureTables
from envs.observation import Observation
from envs.recorder import SessionRecorder
from envs.replay import observe_log
from envs.tasks.registry import make_task
from envs.toy import toy_world
from envs.world import TaskConfig, World
from evaluation.estimators import sniips
from evaluation.fqe import FqeConfig, fitted_q_evaluation, page_data
from evaluation.logged_actions import logged_slates
from evaluation.online import evaluate_online


def _recorded(world: World, task: TaskConfig, policy: ScorePolicy, n: int, seed: int = 3) -> LoggedSteps:
    catalog = Catalog.from_frame(pd.DataFrame({"item_id": [str(i) for i in range(world.features.n_items)]}))
    log = SessionRecorder(world, task).record(policy, n_sessions=n, seed=seed, progress=False).log()
    return log.to_steps(catalog, queries=world.queries or None)


def test_endings_rewards_and_own_pages() -> None:
    world, task = toy_world(), TaskConfig(slate_size=4, n_candidates=20, max_steps=3)
    policy = RelevancePolicy()  # without chance: its own page is the logged one
    steps = _recorded(world, task, policy, 40)
    data = page_data(policy, steps, world.features, task, progress=False)
    stopped = page_data(policy, steps, world.features, task, at_limit="stop", progress=False)
    M = steps.n_steps
    left, limit = (steps.session_end == end for end in (SessionEnd.LEFT, SessionEnd.LIMIT))
    assert left.any()
    assert limit.any()
    np.testing.assert_array_equal(data.then[left], -1)
    np.testing.assert_array_equal(data.then[limit], M + np.arange(limit.sum()))
    np.testing.assert_array_equal(stopped.then[limit], -1)
    goes_on = ~(left | limit)
    np.testing.assert_array_equal(data.then[goes_on], np.flatnonzero(goes_on) + 1)
    score = steps.click.sum(axis=1) + 5.0 * steps.purchase.sum(axis=1)
    np.testing.assert_allclose(data.reward, score)
    assert data.policy_features.shape[:2] == (M + limit.sum(), 1)
    np.testing.assert_allclose(data.policy_features[:M, 0], data.features, atol=1e-6)
    # After a cut the user has seen that page: one more step is gone than before it.
    moved = np.abs(data.policy_features[M:, 0] - data.features[limit]).max(axis=1)
    assert (moved > 0.1).all()
    drawn = page_data(RandomPolicy(), steps, world.features, task, n_draws=3, progress=False)
    assert drawn.policy_features.shape[1] == 3
    mean = page_data(RandomPolicy(), steps, world.features, task, n_draws=3, average=True, progress=False)
    np.testing.assert_allclose(mean.policy_features[:, 0], drawn.policy_features.mean(axis=1))


def test_a_policy_judged_on_its_own_log_is_worth_about_the_logs_mean() -> None:
    world, task = toy_world(), TaskConfig(slate_size=4, n_candidates=20, max_steps=4)
    steps = _recorded(world, task, RandomPolicy(), 150)
    found = fitted_q_evaluation(
        RandomPolicy(),
        steps,
        world.features,
        task,
        config=FqeConfig(ridge=0.1),
        at_limit="stop",
        progress=False,
    )
    score = steps.click.sum(axis=1) + 5.0 * steps.purchase.sum(axis=1)
    total = np.bincount(steps.session, weights=score)
    assert found.converged
    assert abs(found.value - total.mean()) < 3 * total.std() / np.sqrt(total.size)
    assert found.interval.standard_error == pytest.approx(total.std() / np.sqrt(total.size), rel=0.5)


def test_refusals() -> None:
    world, task = toy_world(), TaskConfig(slate_size=4, n_candidates=20, max_steps=3)
    steps = _recorded(world, task, RandomPolicy(), 5)

    class Seer(RandomPolicy):
        privileged = True

    with pytest.raises(InputError, match="hidden state"):
        fitted_q_evaluation(Seer(), steps, world.features, task)
    with pytest.raises(InputError, match="0 draws"):
        fitted_q_evaluation(RandomPolicy(), steps, world.features, task, n_draws=0)
    bare = dataclasses.replace(steps, candidates=np.empty((steps.n_steps, 0), np.int32))
    with pytest.raises(InputError, match="from which candidates"):
        fitted_q_evaluation(RandomPolicy(), bare, world.features, task)


class _Leaning(ScorePolicy):
    """Draws by relevance and one public column of the items."""

    def __init__(self, features: FeatureTables, column: str, weight: float) -> None:
        super().__init__(temperature=1.0)
        self.name = f"{column} {weight:g}"
        values = features.item_numeric[:, features.numeric_names.index(column)]
        self._lean = np.append(weight * values.astype(np.float64), 0.0)

    def scores(self, observation: Observation) -> np.ndarray:
        return np.log(np.maximum(observation.scores, 1e-12)) + self._lean[observation.candidates]


def test_can_tell_long_term_effects_that_one_page_estimators_miss() -> None:
    """In the registered task what lures clicks drives users away. One log; over others see `benchmarks.ope_horizon`."""
    world, task = make_task("SlateRank-Satisfaction-v0")
    judged = {column: _Leaning(world.features, column, 1.0) for column in ("popularity", "rating")}
    steps = _recorded(world, task, _Leaning(world.features, "rating", 0.0), 500)
    observation = observe_log(steps, world.features, task)
    truth = evaluate_online(judged, world, task, n_users=500, first_user=10_000_000, progress=False)
    page, session = {}, {}
    for name, policy in judged.items():
        slates = logged_slates(policy, steps, observation, purchase_weight=5.0, batch=2048, progress=False)
        assert slates is not None
        page[name] = sniips(slates.reward, slates.logging, slates.evaluation).value
        session[name] = fitted_q_evaluation(
            policy, steps, world.features, task, config=FqeConfig(ridge=1e-2), at_limit="stop", progress=False
        )
    assert page["popularity"] > 1.3 * page["rating"], "a page of lures earns more"
    assert truth.difference("rating", "popularity").low > 2, "a session of good items earns more"
    assert session["rating"].value > session["popularity"].value + 2
    for name, found in session.items():
        value = truth[name].interval().value
        assert found.interval.low - 0.5 < value < found.interval.high + 0.5, name
