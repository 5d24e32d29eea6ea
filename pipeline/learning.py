"""Fifth stage: a policy is trained in the fitted simulator, or a baseline takes its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from agents.registry import (
    AgentInputs,
    agent_names,
    learner_config,
    learner_names,
    log_agent_names,
    make_agent,
    pages_of,
)
from behavior.errors import InputError
from envs.world import TaskConfig, World
from evaluation.report_data import Curve
from pipeline.config import TrainConfig
from pipeline.config_file import config_to_mapping
from pipeline.data import ShopData
from pipeline.relevance import Relevance, hidden_scores
from pipeline.run_folder import RunFolder
from pipeline.worlds import pessimism_of, training_task
from simulators.base import UncertainSimulator

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents.base import Policy
    from agents.checkpoint import LearnerConfig
    from agents.ranks import Ranks

__all__ = ["BEFORE", "VALIDATION", "Learned", "baselines", "learn", "learn_along", "reopen"]

VALIDATION = 5_000_000
"""First user of the evaluations during training."""
BEFORE = "relevance order"
"""What an untrained policy ranks by, for the pages before and after training."""

SAMPLED = "ppo, sampled"
"""PPO's policy as it explores: slates drawn from its Plackett-Luce law."""

_CURVES = {
    "eval/score": ("score, validation users", "score"),
    "eval/share_of_gap": ("share of the gap, validation users", "share"),
    "slate/clicks": ("per session, while training", "clicks"),
    "slate/purchases": ("per session, while training", "purchases"),
    "rollout/ep_len_mean": ("session length, while training", "pages"),
    "slate/value_predicted": ("return from the first page on", "foretold"),
    "slate/value_realised": ("return from the first page on", "came"),
    "slate/coverage": ("shown while training", "of the catalogue"),
    "slate/repetition": ("shown while training", "seen before in the session"),
}

_PICTURED = 4

_NOWHERE: tuple[Path | None, Path | None] = (None, None)
"""No checkpoint to resume from, and none to begin with."""


@dataclass(frozen=True, kw_only=True)
class Learned:
    """The policies to be judged."""

    name: str | None  # of the trained policy; None where a baseline was chosen
    policies: dict[str, Policy]  # baselines and the trained policy
    shown: dict[str, Policy]  # for the pages before and after training
    summary: str

    def curves(self, folder: Path) -> tuple[Curve, ...]:
        """Learning curves, read back from the run's events."""
        if self.name is None:
            return ()
        from evaluation.tensorboard import read_scalars

        found = read_scalars(folder)
        return tuple(
            Curve(
                title=title,
                label=label,
                steps=found[tag].steps.astype(np.float64),
                values=found[tag].values,
            )
            for tag, (title, label) in _CURVES.items()
            if tag in found
        )


def baselines(
    config: TrainConfig, relevance: Relevance, shop: ShopData, world: World, task: TaskConfig
) -> tuple[dict[str, Policy], dict[str, str]]:
    """The policies that need no training in the simulator, by name, and why others cannot be learned from the log."""
    inputs = _inputs(config, relevance, shop, world, task)
    found: dict[str, Policy] = {}
    left_out: dict[str, str] = {}
    for name in agent_names():
        of_log = name in log_agent_names()
        if name in learner_names() or (of_log and shop.train.single_impressions):
            continue
        if name == "lints" and config.learner.agent != name:  # LinUCB stands for the bandits
            continue
        try:
            found[name] = make_agent(name, inputs)
        except InputError as error:
            if not of_log:
                raise
            # Too few clicks or whole pages to learn from; the others always stand.
            left_out[name] = error.what
    return found, left_out


def _inputs(
    config: TrainConfig, relevance: Relevance, shop: ShopData, world: World, task: TaskConfig
) -> AgentInputs:
    return AgentInputs(
        features=relevance.features,
        train=shop.train,
        world=world,
        task=task,
        hide_scores=None if config.relevance.as_observation else hidden_scores,
        seed=config.run.seed,
        device=_device(config),
        progress=not config.run.quiet,
    )


def learn(
    run: RunFolder,
    config: TrainConfig,
    shop: ShopData,
    relevance: Relevance,
    world: World,
    task: TaskConfig,
    ranks: Ranks,
) -> Learned:
    """Train, or go on training; the policy judged is the best one on validation users.

    With several `ranks` this is what the first does; the others call `learn_along`.

    Raises:
        InputError: A checkpoint of another configuration, or no room for one.
        KeyboardInterrupt: After a checkpoint has been written.
    """
    others, left_out = baselines(config, relevance, shop, world, task)
    run.note("left_out", left_out)
    agent = config.learner.agent
    if agent not in learner_names():
        policy = others.get(agent)
        if policy is None:
            raise InputError(
                f"{agent} cannot be made from this log", where="--agent", mend="choose another one"
            )
        shown = {BEFORE: others["relevance"], agent: policy}
        return Learned(name=None, policies=others, shown=shown, summary=f"{agent} needs no training")
    inputs = _inputs(config, relevance, shop, world, task)
    model_steps = _train(run, config, world, task, others, inputs, ranks)
    best = run.record.get("best", {})
    return _learned(
        run.path,
        config,
        world,
        task,
        others,
        summary=f"{agent}, {model_steps:,} user-steps in simulator {config.user.simulator}{_doubt(config, world)}"
        + (
            f"; best score on validation users {best['score']:.3f}, after {run.record['trained']['best_after']:,}"
            if "score" in best
            else ""
        ),
    )


def learn_along(folder: Path, config: TrainConfig, world: World, task: TaskConfig, ranks: Ranks) -> None:
    """What every process but the first does of `learn`: it trains with the first, and writes nothing.

    Raises:
        InputError: As `learn` does, or where another process stopped.
    """
    from agents.learning import TrainingOptions, train_agent

    if config.learner.agent not in learner_names():
        return
    device = ranks.device(_device(config))
    resume_from, start_from = ranks.share(_NOWHERE)
    train_agent(
        _settings(config, task),
        world,
        training_task(config, world, task),
        total_steps=config.learner.steps,
        seed=config.run.seed,
        device=device,
        options=TrainingOptions(
            folder=folder, checkpoint_every=config.learner.checkpoint_every, progress=False
        ),
        resume_from=resume_from,
        start_from=start_from,
        ranks=ranks,
    )


def reopen(
    folder: Path, config: TrainConfig, shop: ShopData, relevance: Relevance, world: World, task: TaskConfig
) -> Learned:
    """The policies of a finished run.

    Raises:
        InputError: The run was stopped before it had a policy.
    """
    others, _ = baselines(config, relevance, shop, world, task)
    if config.learner.agent not in learner_names():
        return Learned(name=None, policies=others, shown={}, summary="")
    return _learned(folder, config, world, task, others, summary="")


def _learned(
    folder: Path,
    config: TrainConfig,
    world: World,
    task: TaskConfig,
    others: dict[str, Policy],
    *,
    summary: str,
) -> Learned:
    from agents.learning import load_policy

    agent = config.learner.agent
    best = load_policy(folder / "best_model.zip", world, task, device=_device(config))
    trained: dict[str, Policy] = {agent: best}
    if agent == "ppo":
        # Its own law explores, so a log can say more of it than of the greedy order.
        sampled = load_policy(folder / "best_model.zip", world, task, temperature=1.0, device=_device(config))
        trained[SAMPLED] = sampled
    return Learned(
        name=agent,
        policies={**others, **trained},
        shown={BEFORE: others["relevance"], f"{agent}, trained": best},
        summary=summary,
    )


def _train(
    run: RunFolder,
    config: TrainConfig,
    world: World,
    task: TaskConfig,
    others: Mapping[str, Policy],
    inputs: AgentInputs,
    ranks: Ranks,
) -> int:
    from agents.checkpoint import read_checkpoint
    from agents.learning import TrainingOptions, train_agent

    options, settings = config.learner, _settings(config, task)
    last = run.path / "last_model.zip"
    marks = _marks(run, config, world, task, others)
    begun = last.exists()
    beginning = (last if begun else None, None if begun else _warm_start(run, config, settings, inputs))
    resume_from, start_from = ranks.share(beginning)
    model = train_agent(
        settings,
        world,
        training_task(config, world, task),
        total_steps=options.steps,
        seed=config.run.seed,
        device=ranks.device(_device(config)),
        options=TrainingOptions(
            folder=run.path,
            checkpoint_every=options.checkpoint_every,
            evaluate=lambda policy: _validate(config, world, task, policy),
            evaluate_every=options.evaluate_every,
            tensorboard=run.path,
            reference_scores=marks,
            picture=lambda policy: _picture(config, world, task, policy),
            progress=not config.run.quiet,
        ),
        resume_from=resume_from,
        start_from=start_from,
        ranks=ranks,
    )
    best = read_checkpoint(run.path / "best_model.zip")
    run.note("best", dict(best.metrics))
    run.note("trained", {"user_steps": int(model.num_timesteps), "best_after": best.num_timesteps})
    run.note("settings", {options.agent: config_to_mapping(settings)})
    return int(model.num_timesteps)


def _doubt(config: TrainConfig, world: World) -> str:
    """What the summary adds about an ensemble."""
    if not isinstance(world.simulator, UncertainSimulator):
        return ""
    return f" of {world.simulator.n_members} members, pessimism {pessimism_of(config, world):g}"


def _settings(config: TrainConfig, task: TaskConfig) -> LearnerConfig:
    options = config.learner
    return learner_config(
        options.agent,
        n_envs=options.n_envs,
        learning_rate=options.learning_rate,
        gamma=options.gamma,
        bootstrap_at_limit=task.max_steps > 1,
    )


def _warm_start(
    run: RunFolder, config: TrainConfig, settings: LearnerConfig, inputs: AgentInputs
) -> Path | None:
    """A checkpoint of what the log teaches, where the run is to begin with it."""
    if config.learner.warm_start == "none":
        return None
    from agents.offline.warm_start import WarmStartConfig, warm_start

    pages, world, task = pages_of(inputs, f"the warm start of {config.learner.agent}")
    taught = warm_start(
        WarmStartConfig(),
        settings,
        pages,
        world,
        task,
        seed=config.run.seed,
        device=inputs.device,
        progress=inputs.progress,
    )
    run.note("warm_start", {name: round(value, 4) for name, value in taught.metrics.items()})
    return taught.save(run.path / "warm_start.zip")


def _marks(
    run: RunFolder, config: TrainConfig, world: World, task: TaskConfig, others: Mapping[str, Policy]
) -> dict[str, float] | None:
    """Scores of random and of the planning oracle on the validation users of the fitted simulator, kept in the run."""
    from pipeline.artifacts import oracles

    known = run.record.get("marks")
    if known is not None:
        return {name: float(value) for name, value in known.items()}
    planner = oracles(config, world, task, rollouts=0).get("planning")
    if planner is None:
        return None
    marks = {
        "random": _validate(config, world, task, others["random"])["score"],
        "oracle": _validate(config, world, task, planner)["score"],
    }
    run.note("marks", marks)
    return marks


def _validate(config: TrainConfig, world: World, task: TaskConfig, policy: Policy) -> dict[str, float]:
    from evaluation.online import evaluate_policy

    outcome = evaluate_policy(
        policy,
        world,
        task,
        n_users=config.judge.validation_users,
        seed=config.run.seed,
        first_user=VALIDATION,
        progress=False,
    )
    return {
        name: float(getattr(outcome, name).mean())
        for name in ("score", "reward", "clicks", "purchases", "length", "diversity")
    } | {"coverage": outcome.coverage}


def _picture(config: TrainConfig, world: World, task: TaskConfig, policy: Policy) -> NDArray[np.uint8]:
    """The first pages of a few validation users, always the same ones."""
    from evaluation.pictures import first_pages_picture

    users = range(VALIDATION, VALIDATION + _PICTURED)
    return first_pages_picture(policy, world, task, users=users, seed=config.run.seed)


def _device(config: TrainConfig) -> str:
    if config.run.device != "auto":
        return config.run.device
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
