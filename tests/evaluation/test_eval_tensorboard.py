"""TensorBoard files are written and read back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from behavior.errors import InputError
from evaluation.tensorboard import flatten, read_scalars, write_hparams, write_picture

tensorboard = pytest.importorskip("torch.utils.tensorboard")


def test_scalars_of_a_resumed_run(tmp_path: Path) -> None:
    first = tensorboard.SummaryWriter(str(tmp_path), filename_suffix=".a")
    for step in (0, 100, 200):
        first.add_scalar("rollout/score", 1.0 + step, step, walltime=10.0)
    first.close()
    second = tensorboard.SummaryWriter(
        str(tmp_path), filename_suffix=".b"
    )  # goes on from the checkpoint at 100
    for step in (200, 300):
        second.add_scalar("rollout/score", 2.0 + step, step, walltime=20.0)
    second.close()
    curve = read_scalars(tmp_path)["rollout/score"]
    assert curve.steps.tolist() == [0, 100, 200, 300]
    np.testing.assert_allclose(curve.values, [1, 101, 202, 302])
    assert curve.seconds.tolist() == [10, 10, 20, 20]


def test_a_file_cut_short_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    writer = tensorboard.SummaryWriter(str(tmp_path))
    for step in range(50):
        writer.add_scalar("x", float(step), step)
    writer.close()
    path = next(tmp_path.glob("events*"))
    path.write_bytes(path.read_bytes()[:-7])
    assert len(read_scalars(tmp_path)["x"].steps) == 49


def test_no_folder() -> None:
    with pytest.raises(InputError, match="no such folder"):
        read_scalars(Path("does-not-exist"))


def test_an_empty_folder_has_no_curves(tmp_path: Path) -> None:
    assert read_scalars(tmp_path) == {}


def test_hparams_stay_in_the_runs_own_folder(tmp_path: Path) -> None:
    writer = tensorboard.SummaryWriter(str(tmp_path))
    write_hparams(
        writer,
        {"learner": {"agent": "ppo", "steps": 400}, "repairs": ("a", "b"), "name": None},
        {"judged/score": 3.5, "judged/missing": float("nan")},
    )
    writer.close()
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == []
    found = read_scalars(tmp_path)
    assert found["judged/score"].values.tolist() == [3.5]
    assert "judged/missing" not in found


def test_flatten() -> None:
    assert flatten({"a": {"b": {"c": 1}}, "d": True, "e": [1, 2], "f": None, "g": Path("x")}) == {
        "a.b.c": 1,
        "d": True,
        "e": "1, 2",
        "f": "",
        "g": "x",
    }


def test_pictures(tmp_path: Path) -> None:
    writer = tensorboard.SummaryWriter(str(tmp_path))
    write_picture(writer, "slate", np.zeros((4, 6, 3), np.uint8))
    with pytest.raises(InputError, match="shape"):
        write_picture(writer, "slate", np.zeros((3, 4, 6), np.uint8))
    writer.close()
    assert next(tmp_path.glob("events*")).stat().st_size > 100
