from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from behavior.errors import InputError
from benchmarks.skill.agents import changed_config
from benchmarks.skill.search_space import SPACES, Choice, Range, default_of, holds
from benchmarks.tuning import TuningOptions, measure


@pytest.mark.parametrize("agent", list(SPACES))
def test_all_that_is_searched_over_is_a_setting(agent: str) -> None:
    for name, space in SPACES[agent].items():
        ends = space.values if isinstance(space, Choice) else (space.low, space.high)
        assert len(ends) > 1
        for value in ends:
            changed_config(agent, {name: value})
    assert changed_config(agent, default_of(agent)) == changed_config(agent, {})


def test_what_a_space_holds() -> None:
    assert holds(Choice((1, 2)), 2)
    assert not holds(Choice((1, 2)), 3)
    assert holds(Range(0.5, 2.0), 0.5)
    assert not holds(Range(0.5, 2.0), 2.1)
    assert not holds(Range(1, 4, whole=True), 2.5)


@pytest.mark.parametrize("seeds", [(0,), (99, 1000), (999,), ()])
def test_seeds_that_are_reported_on_are_refused(seeds: tuple[int, ...], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="seeds"):
        measure(TuningOptions(seeds=seeds, folder=tmp_path))
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("options", [{"trials": 0}, {"steps": 0}, {"evaluate_every": 0}, {"minutes": -1.0}])
def test_numbers_that_make_no_search_are_refused(options: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--" + next(iter(options)).replace("_", "-")):
        measure(TuningOptions(folder=tmp_path, **options))
    assert not any(tmp_path.iterdir())


def test_an_unknown_setting_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no setting gama"):
        measure(TuningOptions(fields=("gama",), folder=tmp_path))


def test_a_study_is_gone_on_with(tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    options = TuningOptions(
        agent="dqn",
        task=("Static",),
        fields=("gamma", "network.candidate_width"),
        folder=tmp_path,
        quick=True,
    )
    found = measure(options)
    cases = {row["case"]: row["value"] for row in found["cases"]}
    assert cases["dqn: trials"] == 2
    assert set(found["best"]) == {"gamma", "network.candidate_width"}
    written = yaml.safe_load(next(tmp_path.glob("*/best.yaml")).read_text())
    assert written["settings"] == found["best"]
    assert written["gain over relevance order"] == max(
        cases["dqn: best of the trials, gain over relevance order"],
        cases["dqn: the default, gain over relevance order"],
    )
    assert measure(options)["cases"] == found["cases"]  # nothing is left to do
    assert not list(tmp_path.glob("**/*.zip"))
