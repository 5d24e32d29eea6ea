"""The cross-simulator matrix: hand-worked gaps, and a policy that exploits the simulator it was made for."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from numpy.typing import NDArray

from agents.base import Policy
from agents.baselines import RandomPolicy
from agents.score_policy import ScorePolicy
from behavior.errors import InputError
from envs.observation import Observation
from envs.toy import toy_world
from envs.world import TaskConfig
from evaluation.cross_matrix import cross_matrix, cross_results
from evaluation.outcomes import OnlineResult, PolicyOutcome
from simulators.example import example_simulator


def _result(scores: dict[str, list[float]], *, seed: int = 0) -> OnlineResult:
    outcomes = {}
    for name, values in scores.items():
        score = np.array(values)
        outcomes[name] = PolicyOutcome(
            name=name,
            score=score,
            reward=score,
            clicks=score,
            purchases=score,
            revenue=score,
            length=np.ones_like(score),
            left=np.zeros(score.size, bool),
            ndcg=score,
            diversity=score,
            click_by_position=np.zeros(1),
            purchase_by_position=np.zeros(1),
            coverage=0.0,
            seconds=0.0,
        )
    return OnlineResult(outcomes=outcomes, seed=seed, first_user=0, purchase_weight=5.0)


def test_hand_worked_gaps() -> None:
    results = {
        "home": _result({"random": [1, 1, 1, 1], "trained": [5, 5, 7, 7]}),
        "other": _result({"random": [0, 0, 1, 1], "trained": [2, 3, 3, 4]}),
    }
    found = cross_results(results, {"trained": "home"}, reference="random")
    cell = found.cell("trained", "other")
    assert cell.gap is not None
    assert cell.gap.value == pytest.approx(3.0)  # 3, 2, 4, 3
    assert cell.gap.standard_error == pytest.approx(np.std([3, 2, 4, 3], ddof=1) / 2)
    assert cell.excess is not None
    assert cell.excess.value == pytest.approx(2.5)  # the random policy loses .5 itself
    assert cell.kept is not None
    assert cell.kept.value == pytest.approx(2.5 / 5.0)
    assert found.cell("trained", "home").gap is None
    assert found.cell("random", "other").gap is None
    assert [one.policy for one in found.gaps] == ["trained"]
    assert found.sentence().startswith(
        "home, where it was trained, overstates the gain of trained over random by 2.5"
    )
    data = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert len(data["cells"]) == 4
    assert found.value_rows()[1][1].endswith("*")


class Favourites(ScorePolicy):
    """Ranks by what it believes of each item."""

    def __init__(self, belief: NDArray[np.float64]) -> None:
        super().__init__()
        self._belief = np.append(belief, 0.0)

    def scores(self, observation: Observation) -> NDArray[np.float64]:
        return self._belief[observation.candidates]


def test_a_policy_that_exploits_its_simulator_is_caught() -> None:
    """Two simulators that differ in their opinion of single items; each policy ranks by one of these opinions."""
    world = toy_world(n_items=80, n_queries=8, n_candidates=20)
    task = TaskConfig(slate_size=4, n_candidates=20, max_steps=3)
    rng = np.random.default_rng(0)
    opinions = {name: rng.normal(size=80) for name in ("first", "second")}
    worlds, policies = {}, {"random": RandomPolicy()}
    everyone: dict[str, Policy] = dict(policies)
    for name, opinion in opinions.items():
        simulator = example_simulator("pbm", features=world.features, slate_size=4)
        biased = dataclasses.replace(
            simulator.attractiveness,
            item_bias=opinion.astype(np.float32),
        )
        simulator.attractiveness = biased
        worlds[name] = dataclasses.replace(world, simulator=simulator)
        everyone[f"knows {name}"] = Favourites(opinion)
    home = {f"knows {name}": name for name in opinions}
    found = cross_matrix(everyone, home, worlds, task, n_users=400, first_user=0, progress=False)
    for cell in found.gaps:
        assert cell.excess is not None
        assert cell.excess.low > 0, cell
    assert len(found.gaps) == 2


def test_mistakes_are_named() -> None:
    one = {"home": _result({"random": [1, 2], "trained": [3, 4]})}
    with pytest.raises(InputError, match="no world nowhere"):
        cross_results(one, {"trained": "nowhere"})
    with pytest.raises(InputError, match="no policy behavior"):
        cross_results(one, {"trained": "home"}, reference="behavior")
    with pytest.raises(InputError, match="other users or seeds"):
        cross_results({**one, "b": _result({"random": [1, 2]}, seed=1)}, {})
