"""The simulator that a run chooses where its user leaves it to the log."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from behavior.errors import InputError
from pipeline.checks import check_config
from pipeline.choice import AUTO_FAMILIES, with_choice
from pipeline.config import AUTO, TrainConfig, UserOptions
from pipeline.data import load_shop
from pipeline.presets import preset
from pipeline.relevance import learn_relevance
from pipeline.users import fit_users, fitted_users


def config_of(user: UserOptions) -> TrainConfig:
    smoke = preset("smoke")
    return replace(smoke, user=user, run=replace(smoke.run, quiet=True))


def test_likeliest_model_is_chosen_kept_and_read_back(tmp_path: Path) -> None:
    config = config_of(UserOptions(compare=("pbm",)))
    assert config.user.simulator == AUTO
    check_config(config)
    shop = load_shop(config)
    features = learn_relevance(config, shop, tmp_path).features
    assert with_choice(config, tmp_path) == config  # nothing has been chosen yet
    users = fit_users(config, shop, features, tmp_path)

    kept = json.loads((tmp_path / "simulators" / "chosen.json").read_text(encoding="utf-8"))
    scores = kept["log-likelihood per page"]
    assert set(scores) == set(AUTO_FAMILIES) == {users.name, *users.others}
    assert scores == {name: report.scores[0].value for name, report in users.reports.items()}
    assert users.name == kept["simulator"] == max(scores, key=scores.get)

    chosen = with_choice(config, tmp_path)
    assert chosen.user.simulator == users.name
    again = fit_users(config, shop, features, tmp_path)
    assert again.name == users.name
    assert type(fitted_users(chosen, shop, features, tmp_path)) is type(users.simulator)


def test_damaged_choice_says_how_to_mend_it(tmp_path: Path) -> None:
    (tmp_path / "simulators").mkdir()
    (tmp_path / "simulators" / "chosen.json").write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match="cannot be read") as error:
        with_choice(config_of(UserOptions(compare=("pbm",))), tmp_path)
    assert "delete the file" in str(error.value)


def test_settings_need_a_named_simulator() -> None:
    with pytest.raises(InputError, match="left to the log") as error:
        check_config(config_of(UserOptions(simulator_options=("ring=128",))))
    assert "--simulator skimming" in str(error.value)
