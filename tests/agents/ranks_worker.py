"""What each of several ranks does in the tests: `python ranks_worker.py NAME FOLDER` under torchrun's variables."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import torch

from agents.ranks import Ranks

VALUES = np.random.default_rng(0).normal(3.0, 2.0, (2, 5, 4)).astype(np.float32)  # (rank, B, K)


def collectives(ranks: Ranks, folder: Path) -> None:
    """Every method once."""
    with_gradient = torch.nn.Parameter(torch.zeros(2, 3))
    with_gradient.grad = torch.full((2, 3), float(ranks.rank + 1))
    other = torch.nn.Parameter(torch.zeros(2))
    other.grad = torch.tensor([10.0 * ranks.rank, 4.0])
    without = torch.nn.Parameter(torch.zeros(1))
    ranks.average_gradients([with_gradient, without, other])
    assert without.grad is None
    values = torch.from_numpy(VALUES[ranks.rank])
    mean, std = ranks.moments(values)
    means, stds = ranks.moments(values, 0)
    gathered = ranks.gather({"rank": np.array([ranks.rank])})
    assert [int(entry["rank"][0]) for entry in gathered] == ([0, 1] if ranks.first else [])
    np.savez(
        folder / f"{ranks.rank}.npz",
        gradient=with_gradient.grad.numpy(),
        other=other.grad.numpy(),
        mean=mean.numpy(),
        std=std.numpy(),
        means=means.numpy(),
        stds=stds.numpy(),
        any=[ranks.any(False), ranks.any(ranks.rank == 1), ranks.any(True)],
        number=ranks.mean(float(ranks.rank)),
        shared=ranks.share(41 + ranks.rank),
    )
    ranks.barrier()


def one_dies(ranks: Ranks, folder: Path) -> None:
    """Rank 1 ends without a word while rank 0 waits for it."""
    if ranks.rank == 1:
        os._exit(7)
    try:
        ranks.barrier()
    except Exception as error:
        (folder / "message.txt").write_text(f"{type(error).__name__}: {error}")
        os._exit(0)


TASKS = {"collectives": collectives, "one_dies": one_dies}

if __name__ == "__main__":
    torch.set_num_threads(1)
    group = Ranks.from_environment()
    TASKS[sys.argv[1]](group, Path(sys.argv[2]))
    group.close()
