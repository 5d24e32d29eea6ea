"""What a run holds, ready to be judged: gathered at the end of a run, or opened again from its folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from behavior.errors import InputError
from evaluation.run_artifacts import RunArtifacts
from pipeline.choice import with_choice
from pipeline.config_file import read_config
from simulators.base import InspectableSimulator

if TYPE_CHECKING:
    from agents.base import Policy
    from envs.world import TaskConfig, World
    from pipeline.config import TrainConfig
    from pipeline.data import ShopData
    from pipeline.learning import Learned
    from pipeline.relevance import Relevance
    from pipeline.worlds import Observed
    from simulators.base import UserSimulator

__all__ = ["BEHAVIOR", "HELD_OUT", "ORACLES", "OpenedRun", "gather", "open_run", "open_whole", "oracles"]

HELD_OUT = 10_000_000
"""First user of the final judgement; no log, training or model choice has seen these users."""
BEHAVIOR = "behavior"
"""Name of the policy that made the log."""
ORACLES = ("myopic", "planning")
"""Names of the policies that see the users' hidden state."""


def oracles(
    config: TrainConfig, world: World, task: TaskConfig, *, rollouts: int | None = None
) -> dict[str, Policy]:
    """The policies that see the hidden state of `world`'s users; none where its simulator cannot be looked into.

    Args:
        config: Effort and seed of the planner.
        world: Whose users.
        task: Sizes and score.
        rollouts: Rollouts of the planner in place of the configured ones.
    """
    from agents.oracles import MyopicOracle, PlanningConfig, PlanningOracle
    from agents.planning import Tuning

    simulator = world.simulator
    if not isinstance(simulator, InspectableSimulator):
        return {}
    planning = PlanningConfig(
        rollouts=config.judge.planner_rollouts if rollouts is None else rollouts,
        tuning=Tuning(users=config.judge.planner_practice),
        seed=config.run.seed,
        progress=not config.run.quiet,
    )
    return {
        "myopic": MyopicOracle(simulator, purchase_weight=task.purchase_weight),
        "planning": PlanningOracle.for_world(world, task, planning),
    }


def gather(
    config: TrainConfig,
    shop: ShopData,
    world: World,
    task: TaskConfig,
    observed: Observed,
    learned: Learned,
    *,
    others: Mapping[str, UserSimulator] | None = None,
) -> RunArtifacts:
    """Policies, worlds and log of a run; `others` are the simulators that its own is compared with."""
    from pipeline.worlds import judged_world, trained_in

    policies = dict(learned.policies)
    truth = shop.truth
    if truth is not None:
        # Behind the baselines, before what was trained.
        mine = {name: policies.pop(name) for name in tuple(policies) if name.split(",")[0] == learned.name}
        policies |= {BEHAVIOR: truth.behavior_policy, **mine}
    # Longer logged pages are judged by as many positions as the task's have.
    test = shop.test if shop.test.single_impressions else shop.test.top(task.slate_size)
    known = test.propensity[test.item >= 0]
    has_log = observed.test is not None and not bool(np.isnan(known).all())
    true_world = judged_world(shop, world) if truth is not None else None
    inside = oracles(config, world, task)
    if true_world is not None:
        inside.pop("planning", None)  # costly, and of no use beside the true store's own
    return RunArtifacts(
        world_fitted=world,
        world_true=true_world,
        task=task,
        policies=policies,
        steps_test=test if has_log else None,
        observation_test=observed.test if has_log else None,
        oracles_true=oracles(config, true_world, task) if true_world is not None else {},
        oracles_fitted=inside,
        trained=learned.name,
        trained_in=trained_in(config, world),
        simulator=config.user.simulator,
        other_simulators=others or {},
        behaviour=BEHAVIOR,
        # The policy of the log ranks the candidates that its shop gave it, as it did when it made the log.
        own_candidates={BEHAVIOR: truth.candidates} if truth is not None else {},
        relevance=truth.relevance if truth is not None else None,
        seed=config.run.seed,
        first_user=HELD_OUT,
    )


@dataclass(frozen=True, kw_only=True)
class OpenedRun:
    """A finished run, and what it was made of."""

    folder: Path
    config: TrainConfig
    shop: ShopData
    relevance: Relevance
    artifacts: RunArtifacts


def open_run(folder: Path) -> RunArtifacts:
    """A finished run from its folder.

    Raises:
        InputError: The folder holds no finished run.
    """
    return open_whole(folder).artifacts


def open_whole(folder: Path) -> OpenedRun:
    """A finished run from its folder, with its log and its relevance model.

    Raises:
        InputError: The folder holds no finished run.
    """
    from pipeline.data import load_shop
    from pipeline.learning import reopen
    from pipeline.relevance import learn_relevance
    from pipeline.users import fit_users
    from pipeline.worlds import fitted_world, observe, task_for

    config = read_config(folder / "config.yaml")
    for name in ("candidates.npz", "simulators"):
        if not (folder / name).exists():
            raise InputError(
                f"the run is not finished: it holds no {name}",
                where=str(folder),
                mend=f"finish it with: python train.py --resume {folder}",
            )
    shop = load_shop(config)
    relevance = learn_relevance(config, shop, folder)
    users = fit_users(config, shop, relevance.features, folder)
    config = with_choice(config, folder)
    task = task_for(config, shop)
    world = fitted_world(shop, relevance, users.simulator)
    observed = observe(config, shop, relevance, task)
    learned = reopen(folder, config, shop, relevance, world, task)
    return OpenedRun(
        folder=folder,
        config=config,
        shop=shop,
        relevance=relevance,
        artifacts=gather(config, shop, world, task, observed, learned, others=users.others),
    )
