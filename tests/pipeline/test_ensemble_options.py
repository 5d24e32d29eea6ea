"""Options of an ensemble: what makes no sense is refused at once, and pessimism is for training alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from behavior.errors import InputError
from encoders.features import CandidateTable
from envs.world import TaskConfig, World
from pipeline.checks import check_config
from pipeline.config import TrainConfig, UserOptions
from pipeline.worlds import PESSIMISM, trained_in, training_task
from simulators.example import example_candidates, example_features, example_log, example_simulator
from simulators.registry import SimulatorInputs, check_name, make_simulator, simulator_names


def options(**given: object) -> TrainConfig:
    return replace(TrainConfig(), user=replace(UserOptions(), **given))  # type: ignore[arg-type]


def test_options_without_sense_are_refused_before_any_work() -> None:
    check_config(options(simulator="ensemble", pessimism=0.5, members=3))
    with pytest.raises(InputError, match="has no members that could disagree"):
        check_config(options(simulator="pbm", pessimism=0.5))
    for wrong in (-1.0, float("nan")):
        with pytest.raises(InputError, match="--pessimism is"):
            check_config(options(simulator="ensemble", pessimism=wrong))
    with pytest.raises(InputError, match="--members is 0"):
        check_config(options(simulator="ensemble", members=0))


def test_the_name_is_known_and_its_options_are_read() -> None:
    assert "ensemble" in simulator_names()
    check_name("ensemble")
    log = example_log(n_sessions=80)
    inputs = SimulatorInputs(features=example_features(), train=log, valid=log, slate_size=5, progress=False)
    made = make_simulator("ensemble", inputs, {"members": "2", "families": '["cascade"]', "ring": "16"})
    assert [member.name for member in made.members] == ["cascade", "cascade"]  # type: ignore[attr-defined]
    assert made.members[0].ring == 16  # type: ignore[attr-defined]
    with pytest.raises(InputError, match="no option 'member'"):
        make_simulator("ensemble", inputs, {"member": "2"})


def test_pessimism_is_of_the_learner_s_task_and_of_ensembles_only() -> None:
    features, log = example_features(), example_log(n_sessions=80)
    items = example_candidates(features)
    inputs = SimulatorInputs(features=features, train=log, valid=log, slate_size=5, progress=False)
    ensemble = make_simulator("ensemble", inputs, {"members": "2", "families": '["pbm"]'})
    table = CandidateTable(items=items, scores=features.relevance.click_probability(range(20), items))  # type: ignore[arg-type]
    world = World(simulator=ensemble, candidates=table, features=features)
    alone = replace(world, simulator=example_simulator(features=features))
    task = TaskConfig(slate_size=5, n_candidates=40)
    assert training_task(options(simulator="ensemble"), world, task) == replace(task, pessimism=PESSIMISM)
    assert training_task(options(simulator="ensemble", pessimism=0.0), world, task) == task
    assert training_task(options(), alone, task) == task
    with pytest.raises(InputError, match="no members"):  # of a plug-in, say, that turns out to have none
        training_task(options(simulator="shop:Users", pessimism=2.0), alone, task)
    assert trained_in(options(simulator="ensemble", pessimism=2.0), world) == (
        "the ensemble of 2 fits, with pessimism 2"
    )
