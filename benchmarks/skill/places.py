"""Where agents learn: the tasks of the suite, and the demo store with its true user."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from behavior.errors import InputError
from envs.tasks import SUITE, make_task
from envs.world import TaskConfig, World

__all__ = ["DEMO", "Place", "open_place", "place_names"]

DEMO = "Demo"
"""The demo store by the defaults of `train.py`, but for the relevance model: its heads alone are fine-tuned, on cached
embeddings. Agents meet the true user in training too: what a fitted simulator costs is another question."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """A world and the task in it."""

    name: str
    world: World
    task: TaskConfig


def place_names(asked: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The names of the places asked for, by name (Boredom), id or any case; all of them where none is.

    Raises:
        InputError: There is no such place.
    """
    known = [task_id.split("-")[1] for task_id in SUITE] + [DEMO]
    if not asked:
        return tuple(known)
    by_name = {name.lower(): name for name in known} | {
        task_id.lower(): task_id.split("-")[1] for task_id in SUITE
    }
    for name in asked:
        if name.lower() not in by_name:
            raise InputError(
                f"no task named {name!r}", where="--task", mend=f"choose among {', '.join(known)}"
            )
    return tuple(dict.fromkeys(by_name[name.lower()] for name in asked))


@cache
def open_place(name: str, folder: Path) -> Place:
    """The place of that name; the demo store's tables are kept in `folder`."""
    if name == DEMO:
        return _demo(folder / "demo-tables")
    from pipeline.config import TaskOptions

    world, task = make_task(name)
    # Agents see as many of the session's pages as those of `train.py` do.
    return Place(name=name, world=world, task=replace(task, memory=TaskOptions().memory))


def _demo(folder: Path) -> Place:
    from pipeline.config import RelevanceOptions, TrainConfig
    from pipeline.data import load_shop
    from pipeline.relevance import learn_relevance
    from pipeline.worlds import fitted_world, task_for

    config = TrainConfig()
    config = replace(
        config, relevance=RelevanceOptions(finetune="heads"), run=replace(config.run, quiet=True, seed=0)
    )
    shop = load_shop(config)
    assert shop.truth is not None
    folder.mkdir(parents=True, exist_ok=True)
    relevance = learn_relevance(config, shop, folder)
    world = fitted_world(shop, relevance, shop.truth.true_simulator)
    return Place(name=DEMO, world=world, task=task_for(config, shop))
