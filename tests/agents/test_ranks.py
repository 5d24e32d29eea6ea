"""Groups of one, and of two processes that talk over loopback as `torchrun` would start them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from agents.ranks import Ranks
from behavior.errors import InputError

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]


def run_ranks(task: str, folder: Path, *, size: int = 2, seconds: float = 120) -> list[int]:
    """Run `task` of `ranks_worker.py` in `size` processes on loopback; their exit codes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = []
    for rank in range(size):
        told = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size, "MASTER_PORT": port}
        environment = {**os.environ, **{name: str(value) for name, value in told.items()}}
        environment |= {"MASTER_ADDR": "127.0.0.1", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, str(HERE / "ranks_worker.py"), task, str(folder)]
        processes.append(subprocess.Popen(command, cwd=ROOT, env=environment))
    try:
        return [process.wait(seconds) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def test_two_ranks_agree(tmp_path: Path) -> None:
    assert run_ranks("collectives", tmp_path) == [0, 0]
    values = np.random.default_rng(0).normal(3.0, 2.0, (2, 5, 4)).astype(np.float32)
    for rank in (0, 1):
        found = np.load(tmp_path / f"{rank}.npz")
        np.testing.assert_array_equal(found["gradient"], np.full((2, 3), 1.5))
        np.testing.assert_array_equal(found["other"], [5.0, 4.0])
        np.testing.assert_allclose(found["mean"], values.mean(), rtol=1e-6)
        np.testing.assert_allclose(found["std"], values.std(), rtol=1e-6)
        np.testing.assert_allclose(found["means"], values.mean((0, 1)), rtol=1e-6)
        np.testing.assert_allclose(found["stds"], values.std((0, 1)), rtol=1e-6)
        assert found["any"].tolist() == [False, True, True]
        assert found["number"] == 0.5
        assert found["shared"] == 41


def test_the_end_of_one_rank_ends_the_other(tmp_path: Path) -> None:
    assert run_ranks("one_dies", tmp_path) == [0, 7]
    message = (tmp_path / "message.txt").read_text()
    assert message.startswith("InputError: another process of this run has stopped")
    assert "rank 0" in message


def test_a_group_of_one_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    ranks = Ranks.from_environment()
    assert (ranks, ranks.first) == (Ranks.alone(), True)
    parameter = torch.nn.Parameter(torch.zeros(3))
    parameter.grad = torch.tensor([1.0, 2.0, 3.0])
    ranks.average_gradients([parameter])
    assert parameter.grad.tolist() == [1.0, 2.0, 3.0]
    mean, std = ranks.moments(torch.tensor([[1.0, 5.0], [3.0, 5.0]]), 0)
    assert (mean.tolist(), std.tolist()) == ([2.0, 5.0], [1.0, 0.0])
    mean, std = ranks.moments(torch.tensor([[1.0, 5.0], [3.0, 7.0]]))
    assert (float(mean), float(std)) == (4.0, pytest.approx(5**0.5))
    assert (ranks.any(True), ranks.any(False), ranks.mean(0.25)) == (True, False, 0.25)
    assert (ranks.share("x"), ranks.gather("x")) == ("x", ["x"])


def test_each_rank_has_a_gpu_of_its_own_or_says_so() -> None:
    beyond = torch.cuda.device_count()  # the first number that no GPU of this machine has
    assert Ranks.alone().device("cuda") == "cuda"
    assert Ranks(rank=beyond, size=beyond + 2, local=beyond).device("cpu") == "cpu"
    with pytest.raises(InputError, match=f"finds {beyond} GPUs") as error:
        Ranks(rank=beyond, size=beyond + 2, local=beyond).device("cuda")
    assert "--device cpu" in error.value.mend


def test_missing_variables_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    for name in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(InputError, match="cannot be joined") as error:
        Ranks.from_environment()
    assert "torchrun" in error.value.mend
