"""The whole way with an ensemble: trained, resumed, judged, and said in the report."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from agents.checkpoint import read_meta

pytestmark = pytest.mark.slow


def test_a_policy_is_trained_in_an_ensemble(
    run_train: Callable[..., Any], small: Sequence[str], tmp_path: Path
) -> None:
    ensemble = ("--simulator", "ensemble", "--members", 2, "--simulator-options", 'families=["pbm"]')
    where = ("--logs", tmp_path, "--name", "ensemble", "--quiet", "--no-agreement")
    ended = run_train(*small, *ensemble, "--pessimism", 0.5, *where)
    assert ended.code == 0, ended.err
    run = tmp_path / "ensemble"
    assert (run / "simulators" / "ensemble" / "simulator.json").is_file()
    assert read_meta(run / "last_model.zip")["task"]["pessimism"] == 0.5
    assert "the ensemble of 2 fits, with pessimism 0.5" in ended.out
    assert "2 members, of the click models pbm" in (run / "report.html").read_text(encoding="utf-8")
    rows = {row["policy"] for row in json.loads((run / "table.json").read_text())["rows"]}
    assert {"ppo", "random"} <= rows

    from tensorboard.backend.event_processing.event_accumulator import (  # type: ignore[import-untyped]
        EventAccumulator,
    )

    events = EventAccumulator(str(run))
    events.Reload()
    assert all(point.value > 0 for point in events.Scalars("slate/page_penalty"))

    steps = 3 * 1024
    refused = run_train("--resume", run, "--steps", steps, "--pessimism", 1.0, "--quiet")
    assert refused.code == 2
    assert "pessimism" in refused.err
    again = run_train("--resume", run, "--steps", steps, "--quiet")
    assert again.code == 0, again.err
    assert read_meta(run / "last_model.zip")["num_timesteps"] == steps
