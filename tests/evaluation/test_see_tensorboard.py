"""Hyper-parameters, texts and charts are found again by TensorBoard's own readers; pictures show the same users."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents.base import Policy
from agents.baselines import RandomPolicy, RelevancePolicy
from envs.toy import toy_world
from envs.world import TaskConfig
from evaluation.pictures import first_pages_picture
from evaluation.tensorboard import read_scalars, write_hparams, write_layout, write_text

tensorboard = pytest.importorskip("torch.utils.tensorboard")
TASK = TaskConfig(slate_size=4, n_candidates=12, max_steps=4)
METRICS = {"final/score": 3.5, "final/share_of_gap": float("nan")}


def events(folder: Path) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder))
    found.Reload()
    return found


def plugin(folder: Path, tag: str) -> Any:
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    return HParamsPluginData.FromString(events(folder).summary_metadata[tag].plugin_data.content)


def write(folder: Path, settings: dict[str, Any]) -> None:
    writer = tensorboard.SummaryWriter(str(folder))
    write_hparams(
        writer,
        settings,
        METRICS,
        also={"ppo": {"gamma": 0.97, "target_kl": None}, "dqn": {"gamma": 0.9, "double": True}},
        first=("learner.agent",),
        step=7,
    )
    write_layout(writer, 2)
    write_text(writer, "config", "a: 1\n# no heading\nb: <i>\n")
    writer.close()


def test_runs_of_any_agent_declare_the_same_columns(tmp_path: Path) -> None:
    common = {"learner": {"agent": "x", "steps": 100, "n_envs": None}, "quiet": False}
    write(tmp_path / "a", common | {"ppo": {"gamma": 0.5, "target_kl": None}})
    write(tmp_path / "b", common | {"dqn": {"gamma": 0.6, "double": False}})
    tables = [plugin(tmp_path / run, "_hparams_/experiment").experiment for run in "ab"]
    columns = [{(info.name, info.type) for info in table.hparam_infos} for table in tables]
    assert columns[0] == columns[1]
    names = {name for name, _ in columns[0]}
    assert names == {
        "learner.agent",
        "learner.steps",
        "quiet",
        "ppo.gamma",
        "dqn.gamma",
        "dqn.double",
    }  # None has no type, and is no column
    assert [info.name for info in tables[0].hparam_infos if info.differs] == ["learner.agent"]
    assert {info.name.tag for info in tables[0].metric_infos} == set(METRICS)


def test_what_was_chosen_is_found_again(tmp_path: Path) -> None:
    write(tmp_path, {"learner": {"agent": "dqn", "steps": 100}, "dqn": {"gamma": 0.6, "double": False}})
    begun = plugin(tmp_path, "_hparams_/session_start_info").session_start_info.hparams
    assert begun["learner.agent"].string_value == "dqn"
    assert begun["learner.steps"].number_value == 100
    assert begun["dqn.gamma"].number_value == 0.6
    assert begun["dqn.double"].bool_value is False
    assert "ppo.gamma" not in begun
    scalars = read_scalars(tmp_path)
    assert scalars["final/score"].values.tolist() == [3.5]
    assert scalars["final/score"].steps.tolist() == [7]
    assert "final/share_of_gap" not in scalars


def test_charts_and_texts(tmp_path: Path) -> None:
    from tensorboard.plugins.custom_scalar.layout_pb2 import Layout

    write(tmp_path, {"learner": {"agent": "ppo"}})
    found = events(tmp_path)
    layout = Layout.FromString(found.Tensors("custom_scalars__config__")[0].tensor_proto.string_val[0])
    charts = {chart.title: list(chart.multiline.tag) for part in layout.category for chart in part.chart}
    assert charts["clicks by position"] == ["slate/clicks_at/01", "slate/clicks_at/02"]
    text = found.Tensors("config/text_summary")[0].tensor_proto.string_val[0].decode()
    assert text.splitlines() == ["    a: 1", "    # no heading", "    b: <i>"]


def test_pictures_are_of_the_same_users() -> None:
    world = toy_world(n_items=60, n_queries=6, n_candidates=12, width=8)

    def draw(policy: Policy, users: range = range(100, 103)) -> np.ndarray:
        return first_pages_picture(policy, world, TASK, users=users, seed=3, width=400)

    picture = draw(RelevancePolicy())
    assert picture.dtype == np.uint8
    assert picture.shape[1:] == (800, 3)  # two columns
    assert (picture[picture.shape[0] // 2 :, 400:] == 255).all()  # three users in four places
    np.testing.assert_array_equal(picture, draw(RelevancePolicy()))
    assert (picture != draw(RandomPolicy())).any()
    cell = picture.shape[0] // 2
    np.testing.assert_array_equal(picture[:cell, 400:], draw(RelevancePolicy(), range(101, 102))[:, :400])
