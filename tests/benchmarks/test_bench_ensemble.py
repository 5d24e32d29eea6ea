"""What `benchmarks.ensemble` measures with: logs that prefer relevant items, and greedy pages valued exactly."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.ensemble import (
    Arrived,
    RelevantPages,
    appeal_coverage,
    arrivals,
    best_pessimism,
    greedy_pages,
)
from simulators.ensemble import EnsembleSimulator, fit_ensemble
from simulators.example import example_features, example_log, example_simulator


@pytest.fixture(scope="module")
def ensemble() -> EnsembleSimulator:
    log = example_log(n_sessions=120)
    return fit_ensemble(("pbm",), log, log, example_features(), n_members=3, progress=False)


def test_pages_prefer_relevant_items() -> None:
    features = example_features()
    users = example_simulator(features=features)
    state = users.begin(np.arange(2_000), seed=0)
    means = []
    for sharpness in (0.0, 2.0):
        slates = RelevantPages(features, sharpness).pages(state, seed=1)
        assert all(len(set(page)) == 5 for page in slates.tolist())
        means.append(features.relevance.click_probability(state.query, slates).mean())
    assert means[1] > means[0] + 0.015  # the candidates are alike, so even the best five are little better


def test_pages_are_valued_by_what_users_give(ensemble: EnsembleSimulator) -> None:
    users = example_simulator(features=ensemble.features)
    truth = arrivals(users, seed=0, n_users=400)
    found = {
        name: (promised, got)
        for name, promised, got in greedy_pages(ensemble, ensemble.member(0), truth, (0.0, 1.0), 5)
    }
    assert set(found) == {"pessimism 0", "pessimism 1", "one fit"}
    assert found["pessimism 1"][0] <= found["pessimism 0"][0]  # the members' mean is what pessimism gives up
    best = greedy_pages(ensemble, users, truth, (), 5)[0]  # by the truth: the best page, and no gap
    assert best[1] == best[2]
    assert all(0.7 * best[2] < got <= best[2] + 1e-9 for _, got in found.values())
    slates = truth.items[:, :5].copy()
    drawn = Arrived(truth.state, truth.items, users, draws=40).worth(slates)
    assert drawn == pytest.approx(truth.worth(slates), rel=0.05)
    assert 0.5 < appeal_coverage(ensemble, truth) < 1.0


def test_the_best_pessimism_is_that_of_the_highest_true_worth() -> None:
    pages = {"pessimism 0": [(9.0, 1.0)], "pessimism 2": [(5.0, 2.0), (5.0, 2.2)], "one fit": [(3.0, 3.0)]}
    assert best_pessimism(pages) == 2.0
