"""Settings that can be seen to be wrong before any work is done."""

from __future__ import annotations

import dataclasses
import difflib
import math

import gymnasium

from behavior.errors import InputError
from pipeline.choice import AUTO_FAMILIES
from pipeline.config import AUTO, TrainConfig

__all__ = ["check_config"]


def check_config(config: TrainConfig) -> None:
    """Raise `InputError` for an unknown agent, task or simulator, and for numbers that make no sense."""
    from agents.registry import agent_names, learner_names

    names = agent_names()
    if config.learner.agent not in names:
        raise InputError(
            f"there is no agent {config.learner.agent!r}",
            where="--agent",
            mend=_choose(config.learner.agent, names),
        )
    if config.learner.warm_start != "none" and config.learner.agent not in learner_names():
        raise InputError(
            f"{config.learner.agent} does not learn in the simulator: it has no start to warm",
            where=f"--warm-start {config.learner.warm_start}",
            mend=f"leave it out, or choose --agent {' or '.join(learner_names())}",
        )
    import envs  # noqa: F401  (registers the tasks)

    tasks = tuple(name for name in gymnasium.registry if name.startswith("SlateRank"))
    if config.task.task not in tasks:
        raise InputError(
            f"there is no task {config.task.task!r}", where="--task", mend=_choose(config.task.task, tasks)
        )
    from simulators.fitting.checks import FAMILIES
    from simulators.options import read_options
    from simulators.registry import check_name

    if read_options(config.user.simulator_options) and config.user.simulator == AUTO:
        raise InputError(
            "these settings are of one simulator, and which it will be is left to the log",
            where=f"--simulator-options {' '.join(config.user.simulator_options)}",
            mend=f"name the simulator that they are for, such as --simulator {AUTO_FAMILIES[0]}",
        )
    for option, name in (
        *((("--simulator", config.user.simulator),) if config.user.simulator != AUTO else ()),
        *(("--compare", name) for name in config.user.compare),
    ):
        try:
            check_name(name)
        except InputError as error:
            raise InputError(error.what, where=f"{option} {name}", mend=error.mend) from error
    at_least_one = {
        "--steps": config.learner.steps,
        "--evaluate-every": config.learner.evaluate_every,
        "--checkpoint-every": config.learner.checkpoint_every,
        "--slate-size": config.task.slate_size,
        "--n-candidates": config.task.n_candidates,
        "--max-steps": config.task.max_steps,
        "--history": config.task.history,
        "--eval-users": config.judge.eval_users,
        "--validation-users": config.judge.validation_users,
        "--planner-users": config.judge.planner_users,
        "--planner-rollouts": config.judge.planner_rollouts,
        "--planner-practice": config.judge.planner_practice,
        "--width": config.relevance.width,
        "--finetune-pairs": config.relevance.finetune_pairs,
        "--threads": config.run.threads,
        "--latest-impressions": 1
        if config.source.latest_impressions is None
        else config.source.latest_impressions,
        "--members": config.user.members,
        "--n-envs": config.learner.n_envs if config.learner.n_envs is not None else 1,
    }
    for option, value in at_least_one.items():
        if value < 1:
            raise InputError(
                f"{option} is {value}, expected 1 or more", where=option, mend="give a larger number"
            )
    if config.task.memory < 0:
        raise InputError(
            f"--memory is {config.task.memory}, expected 0 or more",
            where="--memory",
            mend="give the number of pages to keep, or 0",
        )
    for option, value in {
        "--explained-users": config.judge.explained_users,
        "--explained-rollouts": config.judge.explained_rollouts,
    }.items():
        if value < 0:
            raise InputError(
                f"{option} is {value}, expected 0 or more", where=option, mend="give a number, or 0 for none"
            )
    if not 0 <= config.run.seed < 2**32:
        raise InputError(
            f"the seed is {config.run.seed}, expected 0 to {2**32 - 1}",
            where="--seed",
            mend="give such a number",
        )
    doubt = config.user.pessimism
    if doubt is not None and not (math.isfinite(doubt) and doubt >= 0):
        raise InputError(
            f"--pessimism is {doubt}, expected 0 or more",
            where="--pessimism",
            mend="1 takes off one standard deviation between the members",
        )
    if doubt and config.user.simulator in (AUTO, *FAMILIES):
        model = (
            "a click model" if config.user.simulator == AUTO else f"the click model {config.user.simulator}"
        )
        raise InputError(
            f"--pessimism is {doubt:g}, and {model} has no members that could disagree",
            where=f"--pessimism {doubt:g}, --simulator {config.user.simulator}",
            mend="choose --simulator ensemble, or leave --pessimism out",
        )
    rate = config.learner.learning_rate
    if rate is not None and not (math.isfinite(rate) and rate > 0):
        raise InputError(
            f"--learning-rate is {rate}, expected more than 0",
            where="--learning-rate",
            mend="leave it out for the agent's own",
        )
    if not (math.isfinite(config.task.purchase_weight) and config.task.purchase_weight >= 0):
        raise InputError(
            f"--purchase-weight is {config.task.purchase_weight}, expected 0 or more",
            where="--purchase-weight",
            mend="say how many clicks a purchase is worth",
        )
    for name, weight in dataclasses.asdict(config.reward).items():
        if not math.isfinite(weight):
            raise InputError(
                f"--reward.{name} is {weight}, expected a number",
                where=f"--reward.{name}",
                mend="0 is no part",
            )
    if config.learner.gamma is not None and not 0 <= config.learner.gamma <= 1:
        raise InputError(
            f"gamma is {config.learner.gamma}, expected 0 to 1", where="--gamma", mend="0.95 suits sessions"
        )
    if config.task.n_candidates < config.task.slate_size:
        raise InputError(
            f"{config.task.n_candidates} candidates cannot fill a page of {config.task.slate_size}",
            where="--n-candidates, --slate-size",
            mend="ask for more candidates or a shorter page",
        )
    if config.run.device == "cuda":
        import torch

        if not torch.cuda.is_available():
            raise InputError(
                "no CUDA device is to be seen",
                where="--device cuda",
                mend="use --device auto, or mend the driver",
            )


def _choose(given: str, known: tuple[str, ...]) -> str:
    names = {name.lower(): name for name in known}
    close = [names[name] for name in difflib.get_close_matches(given.lower(), names, n=1, cutoff=0.5)]
    return (f"did you mean {close[0]!r}? " if close else "") + "known: " + ", ".join(known)
