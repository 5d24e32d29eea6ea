"""Configurations survive the way through YAML and through the command line; mistakes are named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from behavior.errors import InputError
from pipeline.cli import parse
from pipeline.config import LearnerOptions, RunOptions, SourceOptions, TrainConfig
from pipeline.config_file import config_to_mapping, differences, read_config, write_config
from pipeline.presets import PRESETS, preset


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_presets_survive_yaml(name: str, tmp_path: Path) -> None:
    config = replace(
        preset(name), source=replace(preset(name).source, columns=Path("a/b.yaml"), repairs=("sort",))
    )
    write_config(config, tmp_path / "config.yaml")
    assert read_config(tmp_path / "config.yaml") == config


def test_yaml_is_complete(tmp_path: Path) -> None:
    write_config(TrainConfig(), tmp_path / "config.yaml")
    written = yaml.safe_load((tmp_path / "config.yaml").read_text(encoding="utf-8"))
    assert written == config_to_mapping(TrainConfig())
    assert written["learner"]["steps"] == LearnerOptions().steps


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("learner: {stepz: 3}", "did you mean learner.steps"),
        ("learner: {steps: many}", "learner.steps = 'many'"),
        ("run: {device: tpu}", "run.device = 'tpu'"),
        ("learner: 3", "learner. holds int"),
        ("- a\n- b", "the file holds list"),
        ("a: [", "not YAML"),
    ],
)
def test_faults_in_the_file_are_named(text: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as error:
        read_config(path)
    assert says in str(error.value)
    assert str(path) in str(error.value)


def test_options_override_the_preset() -> None:
    arguments = parse(["--preset", "smoke", "--seed", "7", "--reward.click", "2.5", "--agent", "dqn"])
    assert arguments.settings.run.seed == 7
    assert arguments.settings.reward.click == 2.5
    assert arguments.settings.learner == replace(preset("smoke").learner, agent="dqn")


def test_options_override_the_file(tmp_path: Path) -> None:
    config = TrainConfig(source=SourceOptions(store_seed=5), run=RunOptions(seed=3))
    write_config(config, tmp_path / "config.yaml")
    arguments = parse(["--config", str(tmp_path / "config.yaml"), "--seed", "4"])
    assert arguments.settings == replace(config, run=RunOptions(seed=4))


def test_one_start_only(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="each say where the settings start"):
        parse(["--preset", "demo", "--config", str(tmp_path / "x.yaml")])


def test_unknown_preset_names_the_known_ones() -> None:
    with pytest.raises(InputError, match="choose one of demo, smoke, full"):
        parse(["--preset", "quick"])


def test_differences_name_both_values() -> None:
    one = TrainConfig()
    other = replace(one, run=replace(one.run, seed=9))
    assert differences(one, other) == ["run.seed: 0 -> 9"]
    assert differences(one, one) == []
