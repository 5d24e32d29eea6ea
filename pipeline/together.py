"""What every process but the first does in a run: it takes what the first has made, and trains with it."""

from __future__ import annotations

import os
import shlex
from dataclasses import replace
from pathlib import Path

from agents.ranks import Ranks
from behavior.errors import InputError
from pipeline.choice import with_choice
from pipeline.config import TrainConfig

__all__ = ["follow", "go_on_with"]


def follow(folder: Path, config: TrainConfig, ranks: Ranks) -> None:
    """Wait for the first process, take data, tables and users from its folder, train along. Writes and says nothing.

    Args:
        folder: The run's, as the first process names it.
        config: The run's.
        ranks: The group.

    Raises:
        InputError: The folder cannot be seen here, or another process has stopped.
    """
    from pipeline.data import load_shop
    from pipeline.learning import learn_along
    from pipeline.relevance import learn_relevance
    from pipeline.threads import use_threads
    from pipeline.users import fitted_users
    from pipeline.worlds import fitted_world, task_for

    use_threads(config.run.threads)
    quiet = replace(config, run=replace(config.run, quiet=True))
    ranks.barrier()  # the first one has done all that comes before training
    if not (folder / "candidates.npz").is_file():
        raise InputError(
            f"process {ranks.rank} cannot see what the first one has made",
            where=str(folder),
            mend="start all processes in the same place, with --logs on a disk that all machines share",
        )
    shop = load_shop(quiet)
    relevance = learn_relevance(quiet, shop, folder)
    quiet = with_choice(quiet, folder)
    users = fitted_users(quiet, shop, relevance.features, folder)
    world, task = fitted_world(shop, relevance, users), task_for(quiet, shop)
    learn_along(folder, quiet, world, task, ranks)
    ranks.close()


def go_on_with(folder: Path, ranks: Ranks) -> str:
    """The command that goes on with a run, by as many processes as have begun it."""
    command = f"train.py --resume {shlex.quote(str(folder))}"
    if ranks.size == 1:
        return f"python {command}"
    here = int(os.environ.get("LOCAL_WORLD_SIZE", ranks.size))
    nodes = f" --nnodes {ranks.size // here}" if ranks.size > here else ""
    return f"torchrun{nodes} --nproc-per-node {here} {command}"
