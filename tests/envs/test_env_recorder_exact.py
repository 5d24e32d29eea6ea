"""What the recorder writes is exact: read back from disk it replays to the bit, and its propensities are frequencies.

The statistical tests use fresh seeds and refuse a right recorder once in FALSE_ALARM runs each: this file once in a
million.
"""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest, chi2

from agents.baselines import PopularityPolicy, RandomPolicy, RelevancePolicy
from behavior import Catalog, read_log
from behavior.contract import check_log
from envs.core import SlateCore
from envs.recorder import SessionRecorder
from envs.tasks import make_task
from envs.toy import toy_world
from envs.world import TaskConfig

FALSE_ALARM = 5e-9  # fewer than 200 tests in all
N, K = 5, 2
TASK = TaskConfig(slate_size=K, n_candidates=N, max_steps=1)


def policies(world):
    features = world.features
    return {
        "random": RandomPolicy(),
        "popularity": PopularityPolicy(features, temperature=0.6),
        "relevance": RelevancePolicy(temperature=0.3),
    }


@pytest.fixture(scope="module")
def world():
    return toy_world(40, 1, N)  # one query: every first page is ranked from the same candidates


@pytest.mark.parametrize("name", ["random", "popularity", "relevance"])
def test_propensities_are_frequencies(world, name):
    policy, n = policies(world)[name], 20_000
    seed = int(np.random.default_rng().integers(2**62))
    recorder = SessionRecorder(world, TASK).record(
        policy, n_sessions=n, policy_seed=seed, batch=5000, progress=False
    )
    rows = recorder.frames()[0]
    item = rows["item_id"].to_numpy().reshape(n, K)
    slate = rows["slate_propensity"].to_numpy().reshape(n, K)[:, -1]
    cascade = rows["cascade_propensity"].to_numpy().reshape(n, K)
    single = rows["propensity"].to_numpy().reshape(n, K)
    candidates = [str(i) for i in world.candidates.items[0]]

    # Slates: as often as their propensity says, and the propensities sum to one.
    stated, count = {}, {}
    for shown, p in zip(map(tuple, item), slate, strict=True):
        assert stated.setdefault(shown, p) == p
        count[shown] = count.get(shown, 0) + 1
    assert set(stated) <= set(itertools.permutations(candidates, K))
    chances = np.array(list(stated.values()))
    if len(stated) == N * (N - 1):
        assert chances.sum() == pytest.approx(1.0, abs=1e-9)
    assert (1 - chances.sum()) * n < 60  # what was never shown is rare
    enough = chances * n >= 5
    observed = np.array(list(count.values()))[enough]
    statistic = ((observed - n * chances[enough]) ** 2 / (n * chances[enough])).sum()
    assert statistic < chi2.isf(FALSE_ALARM, enough.sum()), f"seed {seed}"

    # Items at their positions, and the beginnings of slates.
    for k in range(K):
        for candidate in candidates:
            there = item[:, k] == candidate
            if not there.any():
                continue
            (p,) = np.unique(single[there, k].round(12))
            assert binomtest(int(there.sum()), n, min(float(p), 1.0)).pvalue > FALSE_ALARM, f"seed {seed}"
    np.testing.assert_allclose(cascade[:, 0], single[:, 0], rtol=1e-9)
    np.testing.assert_allclose(cascade[:, -1], slate, rtol=1e-9)


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
@pytest.mark.parametrize("name", ["Boredom", "Return", "Funnel", "Business"])
def test_a_log_read_from_disk_replays_to_the_bit(name, suffix, tmp_path):
    world, task = make_task(name)
    policy, n, seed, path = policies(world)["popularity"], 30, 17, tmp_path / f"log.{suffix}"
    recorder = SessionRecorder(world, task).record(policy, n_sessions=n, seed=seed, progress=False)
    recorder.log().write(path)
    log = read_log(path)
    catalog = Catalog.from_frame(pd.DataFrame({"item_id": [str(i) for i in range(world.features.n_items)]}))
    steps = check_log(log, catalog)
    pages = recorder.n_pages
    assert steps.n_steps == pages
    written = recorder.frames()[0]
    for column in ("propensity", "cascade_propensity", "slate_propensity"):
        found = log.rows[column].to_numpy(dtype=float)
        np.testing.assert_allclose(found, written[column].to_numpy(dtype=float), rtol=1e-15, equal_nan=True)
        assert ((found > 0) & (found <= 1) | np.isnan(found)).all()

    # All users at once, in the batch; their slates as candidate positions of what they see.
    by_user = {
        int(user[1:]): rows.index.to_numpy()[:: task.slate_size]
        for user, rows in log.rows.reset_index(drop=True).groupby("user_id")
    }
    core = SlateCore(world, task, n_users=n, seed=seed, autoreset="next_step")
    observation = core.reset()
    replayed = 0
    for page in range(max(len(rows) for rows in by_user.values())):
        actions = np.tile(np.arange(task.slate_size), (n, 1))
        live = [user for user, rows in by_user.items() if len(rows) > page]
        row = {user: by_user[user][page] // task.slate_size for user in live}
        for user in live:
            match = observation.candidates[user][None, :] == steps.item[row[user]][:, None]
            assert match.any(axis=1).all()
            np.testing.assert_array_equal(steps.context[row[user]], observation.context[user])
            actions[user] = match.argmax(axis=1)
        result = core.step(actions)
        for user in live:
            assert result.slates[user].tolist() == steps.item[row[user]].tolist()
            assert result.feedback.click[user].tolist() == steps.click[row[user]].tolist()
            assert result.feedback.purchase[user].tolist() == steps.purchase[row[user]].tolist()
            last = len(by_user[user]) == page + 1
            assert bool(result.terminated[user] or result.truncated[user]) == last
            replayed += 1
        observation = result.observation
    assert replayed == pages


def test_a_page_against_the_rules_has_no_propensity():
    world, task = make_task("Business")
    rows = (
        SessionRecorder(world, task).record(RandomPolicy(), n_sessions=40, seed=1, progress=False).frames()[0]
    )
    known = rows["slate_propensity"].notna().to_numpy().reshape(-1, task.slate_size)
    assert (known.all(axis=1) == known.any(axis=1)).all()
    assert 0 < known[:, 0].sum() < len(known)  # at random, some pages break a rule and are repaired
    free, _ = make_task("Business")
    unruled = dataclasses.replace(task, rules=None)
    all_known = SessionRecorder(free, unruled).record(RandomPolicy(), n_sessions=10, seed=1, progress=False)
    assert all_known.frames()[0]["slate_propensity"].notna().all()
